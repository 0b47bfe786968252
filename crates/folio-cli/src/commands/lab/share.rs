//! `folio lab share`

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use folio::residency::ProcessMemory;
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::chart::Chart;
use super::program::{Program, Way};
use super::report::{Options, Report, nanos, print_rows};
use crate::commands::cat::parse_bytes;
use crate::failure::{Failure, Outcome};

/// Read one file from several processes, mapped and copied, and see what memory that takes.
///
/// Processes that map a file share its pages; those that read it into memory of their own have a copy each. The sum
/// of their PSS (proportional set size: each page divided by the number of its mappers) is what
/// they take of the machine's memory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; by default, one is made in the folder for temporary files ($TMPDIR).
    file: Option<PathBuf>,

    /// How many processes.
    #[arg(long, value_name = "N", default_value = "4",
          value_parser = clap::value_parser!(u16).range(2..=1000))]
    processes: u16,

    /// The size of the file that is made; K, M, G or T after the number multiply by powers of 1024.
    #[arg(long, value_name = "N", default_value = "128M", value_parser = parse_bytes)]
    size: u64,

    #[command(flatten)]
    options: Options,
}

/// What one way of reading took.
#[derive(Debug, Clone, Copy)]
struct Taken {
    pss_bytes: u64,
    ready_in: Duration,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let made;
    let path = if let Some(path) = &args.file {
        path.as_path()
    } else {
        made = sample_file(args.size)?;
        made.path()
    };
    // In memory for both, so that the time to be ready is not the disk's.
    let residency = folio::Residency::open(path)?;
    residency.load(.., |_| {})?;
    let size = residency.len()?;
    let mapped = measure(Way::Map, path, args.processes)?;
    let copied = measure(Way::Copy, path, args.processes)?;
    Findings {
        size,
        processes: u64::from(args.processes),
        mapped,
        copied,
    }
    .show(&args.options)
}

/// A file of some megabytes that are not all alike, gone when it is dropped.
pub(super) fn sample_file(size: u64) -> Outcome<tempfile::NamedTempFile> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot make a file: {error}"));
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    let mut state = 1_u64;
    let mut block = Vec::with_capacity(1 << 20);
    let mut left = size;
    while left > 0 {
        block.clear();
        while block.len() < 1 << 20 {
            // Marsaglia's xorshift: no compressed swap makes it small.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        let count = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        let bytes = block.get(..count).unwrap_or_default();
        file.write_all(bytes).map_err(failed)?;
        left -= count as u64;
    }
    File::sync_data(file.as_file()).map_err(failed)?;
    Ok(file)
}

fn measure(way: Way, path: &Path, processes: u16) -> Outcome<Taken> {
    let started = Instant::now();
    let mut programs = (0..processes)
        .map(|_| Program::start(way, path, None))
        .collect::<Outcome<Vec<_>>>()?;
    for program in &mut programs {
        program.wait()?;
    }
    let ready_in = started.elapsed();
    let mut pss_bytes: u64 = 0;
    for program in &programs {
        pss_bytes += ProcessMemory::of(program.pid())?.total.pss_bytes;
    }
    Ok(Taken {
        pss_bytes,
        ready_in,
    })
}

struct Findings {
    size: u64,
    processes: u64,
    mapped: Taken,
    copied: Taken,
}

/// What a process takes beside the data, at the most: its code, heap and stack.
const BESIDE_BYTES: u64 = 8 << 20;

impl Report for Findings {
    const NAME: &'static str = "share";

    fn print_table(&self, out: &mut impl Write) -> io::Result<()> {
        let rows = [
            ("file size", HumanBytes(self.size).to_string()),
            ("processes", self.processes.to_string()),
            (
                "mapped, PSS sum",
                HumanBytes(self.mapped.pss_bytes).to_string(),
            ),
            (
                "copied, PSS sum",
                HumanBytes(self.copied.pss_bytes).to_string(),
            ),
            ("mapped, ready in", format!("{:.1?}", self.mapped.ready_in)),
            ("copied, ready in", format!("{:.1?}", self.copied.ready_in)),
        ];
        print_rows(out, &rows)
    }

    fn json(&self) -> Value {
        let taken = |taken: &Taken| {
            json!({
                "pss_bytes": taken.pss_bytes,
                "ready_ns": nanos(taken.ready_in),
            })
        };
        json!({
            "experiment": Self::NAME,
            "file_bytes": self.size,
            "processes": self.processes,
            "mapped": taken(&self.mapped),
            "copied": taken(&self.copied),
            "holds": self.holds(),
            "verdict": self.verdict(),
        })
    }

    fn verdict(&self) -> String {
        if self.holds() {
            format!(
                "holds: {} processes that map the file hold it once",
                self.processes
            )
        } else {
            "does not hold".to_owned()
        }
    }

    fn charts(&self) -> Vec<Chart> {
        let pss = |taken: Taken| (taken.pss_bytes, HumanBytes(taken.pss_bytes));
        let time = |taken: Taken| (nanos(taken.ready_in), format!("{:.1?}", taken.ready_in));
        let mut memory = Chart::new("memory that all of them take (sum of PSS)");
        let mut ready = Chart::new("time until all have read the file");
        for (name, taken, is_folio) in [
            ("mapped", self.mapped, true),
            ("copied", self.copied, false),
        ] {
            let (value, text) = pss(taken);
            memory = memory.bar(name, value, text, is_folio);
            let (value, text) = time(taken);
            ready = ready.bar(name, value, text, is_folio);
        }
        vec![memory, ready]
    }

    fn holds(&self) -> bool {
        let beside = self.processes * BESIDE_BYTES;
        self.mapped.pss_bytes <= self.size + beside
            && self.mapped.pss_bytes >= self.size / 2
            && self.copied.pss_bytes >= self.size.saturating_mul(self.processes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_are_shared_or_maps_that_are_not_are_seen() {
        let taken = |pss_bytes| Taken {
            pss_bytes,
            ready_in: Duration::ZERO,
        };
        let findings = |mapped, copied| Findings {
            size: 1 << 30,
            processes: 4,
            mapped: taken(mapped),
            copied: taken(copied),
        };
        assert!(findings(1 << 30, (4 << 30) + 5).holds());
        assert!(!findings(4 << 30, (4 << 30) + 5).holds());
        assert!(!findings(1 << 30, 1 << 30).holds());
        assert!(!findings(0, (4 << 30) + 5).holds());
    }
}
