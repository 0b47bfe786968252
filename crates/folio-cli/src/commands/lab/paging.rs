//! `folio lab paging`

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use folio::Residency;
use folio::residency::ProcessMemory;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use super::chart::Chart;
use super::pressure::Pressure;
use super::program::{Program, Way};
use super::report::{Options, Report, nanos, print_rows};
use super::share::sample_file;
use crate::commands::cat::parse_bytes;
use crate::failure::Outcome;

/// Take memory away from a program that copied a file and from one that maps it, and see where it goes.
///
/// Program A reads a file into memory of its own, program B maps it. What A loses has to be written to swap, and
/// read back; what B loses is dropped, since the file has it. Memory is taken away by a control
/// group where this user may make one (root), otherwise by asking the kernel for it, range by range (see `madvise(2)`, pageout).
/// Without swap, A can lose nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The size of the file, which is made in the folder for temporary files ($TMPDIR); K, M, G or T after
    /// the number multiply by powers of 1024.
    #[arg(long, value_name = "N", default_value = "128M", value_parser = parse_bytes)]
    size: u64,

    #[command(flatten)]
    options: Options,
}

/// What became of one program.
#[derive(Debug, Clone, Copy, Default)]
struct Suffered {
    /// How much less it had in memory afterwards.
    taken_bytes: u64,
    /// How much of its memory was in swap then.
    swapped_bytes: u64,
    /// What the whole machine wrote to swap meanwhile, and read from it while all was touched again.
    swap_written_bytes: u64,
    swap_read_bytes: u64,
    /// Page faults that waited for a device while all was touched again.
    major_faults: u64,
    touched_in: Duration,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let file = sample_file(args.size)?;
    let has_swap = swap_bytes() > 0;
    let (copied, means) = measure(Way::Copy, file.path(), args.size)?;
    let (mapped, _) = measure(Way::Map, file.path(), args.size)?;
    let findings = Findings {
        size: args.size,
        has_swap,
        means,
        copied,
        mapped,
    };
    findings.show(&args.options)
}

fn measure(way: Way, path: &Path, size: u64) -> Outcome<(Suffered, String)> {
    let residency = Residency::open(path)?;
    // So that the pages are counted as the program's that reads them in.
    residency.evict(..)?;
    let pressure = Pressure::new("folio-lab");
    let mut program = Program::start(way, path, pressure.group())?;
    program.wait()?;
    if way == Way::Copy {
        // What is left of the reading would be taken first.
        residency.evict(..)?;
    }
    let before = ProcessMemory::of(program.pid())?.total;
    let written = swap_pages("pswpout");
    pressure.apply(&mut program, size / 4)?;
    let after = ProcessMemory::of(program.pid())?.total;
    let swap_written = swap_pages("pswpout").saturating_sub(written);
    let (faults, read) = (major_faults(program.pid()), swap_pages("pswpin"));
    let touched_in = program.touch()?;
    let suffered = Suffered {
        taken_bytes: before.rss_bytes.saturating_sub(after.rss_bytes),
        swapped_bytes: after.swapped_bytes.saturating_sub(before.swapped_bytes),
        swap_written_bytes: in_bytes(swap_written),
        swap_read_bytes: in_bytes(swap_pages("pswpin").saturating_sub(read)),
        major_faults: major_faults(program.pid()).saturating_sub(faults),
        touched_in,
    };
    drop(program);
    Ok((suffered, pressure.describe()))
}

fn in_bytes(pages: u64) -> u64 {
    pages.saturating_mul(folio_sys::page::size() as u64)
}

/// The machine's swap (`proc_meminfo(5)`).
fn swap_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("SwapTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib.saturating_mul(1024))
}

/// How many pages the machine has swapped out or in so far (`/proc/vmstat`).
fn swap_pages(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(found, _)| *found == name)
        .and_then(|(_, count)| count.parse().ok())
        .unwrap_or(0)
}

/// The process's major page faults so far (`proc_pid_stat(5)`).
fn major_faults(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; the state is the first field after it.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let field = fields.split(' ').nth(9);
    field.and_then(|count| count.parse().ok()).unwrap_or(0)
}

struct Findings {
    size: u64,
    has_swap: bool,
    means: String,
    copied: Suffered,
    mapped: Suffered,
}

impl Report for Findings {
    const NAME: &'static str = "paging";

    fn print_table(&self, out: &mut impl Write) -> io::Result<()> {
        let swap = if self.has_swap {
            "on"
        } else {
            "none: A can lose nothing"
        };
        let rows = [
            ("file size", HumanBytes(self.size).to_string()),
            ("taken away by", self.means.clone()),
            ("swap", swap.to_owned()),
        ];
        print_rows(out, &rows)?;
        writeln!(out, "\n{:19} {:>14} {:>14}", "", "A (copied)", "B (mapped)")?;
        let bytes = |field: fn(&Suffered) -> u64| {
            [&self.copied, &self.mapped].map(|program| HumanBytes(field(program)).to_string())
        };
        let faults = [&self.copied, &self.mapped]
            .map(|program| HumanCount(program.major_faults).to_string());
        let times =
            [&self.copied, &self.mapped].map(|program| format!("{:.1?}", program.touched_in));
        for (name, [copied, mapped]) in [
            ("taken away", bytes(|program| program.taken_bytes)),
            ("of it in swap", bytes(|program| program.swapped_bytes)),
            ("swap written", bytes(|program| program.swap_written_bytes)),
            ("swap read", bytes(|program| program.swap_read_bytes)),
            ("major faults", faults),
            ("touched again in", times),
        ] {
            writeln!(out, "{name:19} {copied:>14} {mapped:>14}")?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let suffered = |program: &Suffered| {
            json!({
                "taken_bytes": program.taken_bytes,
                "swapped_bytes": program.swapped_bytes,
                "swap_written_bytes": program.swap_written_bytes,
                "swap_read_bytes": program.swap_read_bytes,
                "major_faults": program.major_faults,
                "touched_ns": nanos(program.touched_in),
            })
        };
        json!({
            "experiment": Self::NAME,
            "file_bytes": self.size,
            "taken_by": self.means,
            "has_swap": self.has_swap,
            "copied": suffered(&self.copied),
            "mapped": suffered(&self.mapped),
            "holds": self.holds(),
            "verdict": self.verdict(),
        })
    }

    fn charts(&self) -> Vec<Chart> {
        let mut memory = Chart::new("memory taken away, and how much of it had to be swapped");
        let mut time = Chart::new("time to touch all of it again");
        for (name, program, is_folio) in [
            ("A (copied)", self.copied, false),
            ("B (mapped)", self.mapped, true),
        ] {
            memory = memory
                .bar(
                    format!("{name}, taken"),
                    program.taken_bytes,
                    HumanBytes(program.taken_bytes),
                    is_folio,
                )
                .bar(
                    format!("{name}, swapped"),
                    program.swapped_bytes,
                    HumanBytes(program.swapped_bytes),
                    is_folio,
                );
            let took = nanos(program.touched_in);
            time = time.bar(name, took, format!("{:.1?}", program.touched_in), is_folio);
        }
        vec![memory, time]
    }

    fn verdict(&self) -> String {
        let verdict = match (self.holds(), self.has_swap) {
            (false, _) => "does not hold",
            (true, true) => "holds: what A lost was swapped, what B lost was dropped",
            (true, false) => {
                "holds as far as it can be seen without swap: B lost its pages, A could lose nothing"
            }
        };
        verdict.to_owned()
    }

    fn holds(&self) -> bool {
        // Half of the file at the least: the rest may be in use.
        let mapped = self.mapped.taken_bytes >= self.size / 2 && self.mapped.swapped_bytes == 0;
        let copied = &self.copied;
        let swapped = if self.has_swap {
            copied.taken_bytes >= self.size / 2
                && copied.swapped_bytes >= copied.taken_bytes / 10 * 9
        } else {
            copied.swapped_bytes == 0 && copied.taken_bytes < self.size / 10
        };
        mapped && swapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_tenths_must_be_swapped_and_nothing_of_the_map() {
        let suffered = |taken_bytes, swapped_bytes| Suffered {
            taken_bytes,
            swapped_bytes,
            ..Suffered::default()
        };
        let holds = |has_swap, copied, mapped| {
            Findings {
                size: 1000,
                has_swap,
                means: String::new(),
                copied,
                mapped,
            }
            .holds()
        };
        assert!(holds(true, suffered(800, 790), suffered(800, 0)));
        assert!(!holds(true, suffered(800, 700), suffered(800, 0)));
        assert!(!holds(true, suffered(800, 800), suffered(800, 1)));
        assert!(!holds(true, suffered(800, 800), suffered(100, 0)));
        assert!(holds(false, suffered(0, 0), suffered(800, 0)));
        assert!(!holds(false, suffered(800, 0), suffered(800, 0)));
    }
}
