//! `folio lab windows`

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::thread;

use folio::{Map, WindowStats, Windows};
use folio_sys::reservation::{Fragmented, address_space_in_use, largest_hole};
use indicatif::{HumanBytes, HumanCount};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::chart::Chart;
use super::report::{Options, Report, print_rows};
use crate::failure::{Failure, Outcome, one_line};

const FILE_BYTES: u64 = 16 << 30;
const MARKS: u64 = 1000;
const HOLES: usize = 16;
const HOLE_BYTES: usize = 64 << 20;
/// What the limit leaves to be mapped: half of what the holes hold together.
const LEFT_BYTES: u64 = 512 << 20;
/// Enough for all that the experiment calls.
const STACK_BYTES: usize = 4 << 20;

/// Read a file that is larger than the largest hole in the address space.
///
/// Makes a sparse file of 16 GiB with marks in it, and a process whose address space is
/// limited and in pieces, none larger than 64 MiB. There, mapping the file whole is refused, and
/// reading it through windows succeeds. The file takes little room in the folder for temporary files
/// ($TMPDIR), and is gone afterwards.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,

    /// Be the process that is short of address space; the file is standard input.
    #[arg(long, hide = true)]
    inside: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let options = &args.options;
    if args.inside {
        // The first thread's stack could hardly grow once the address space is taken.
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        return thread::scope(|scope| {
            let experiment = thread.spawn_scoped(scope, || {
                let shown = experiment().and_then(|findings| findings.show(options));
                shown.map_err(|failure| failure.report())
            })?;
            match experiment.join() {
                Ok(Ok(())) => Ok(()),
                _ => Err(Failure::Reported),
            }
        });
    }
    let file = marked_file().map_err(|error| {
        Failure::new(format!("cannot make a sparse file: {error}"))
            .hint("set TMPDIR to a folder whose file system holds sparse files of 16 GiB")
    })?;
    let mut inside = Command::new(std::env::current_exe()?);
    inside.args(["lab", "windows", "--inside"]);
    if options.json {
        inside.arg("--json");
    }
    if let Some(path) = &options.svg {
        inside.arg("--svg").arg(path);
    }
    let status = inside.stdin(Stdio::from(file)).status()?;
    match status.code() {
        Some(0) => Ok(()),
        Some(_) => Err(Failure::Reported),
        None => Err(Failure::new(format!(
            "the process came to an end: {status}"
        ))),
    }
}

/// Has no name, so that it is gone when both processes are, whatever ends them.
fn marked_file() -> io::Result<File> {
    let file = tempfile::tempfile()?;
    file.set_len(FILE_BYTES)?;
    for number in 0..MARKS {
        file.write_all_at(&mark(number).to_le_bytes(), place_of(number))?;
    }
    Ok(file)
}

/// What a mark says.
fn mark(number: u64) -> u64 {
    scramble(number ^ 0x6d61_726b)
}

/// Where a mark is: anywhere, also across the boundaries of pages and windows.
fn place_of(number: u64) -> u64 {
    // Each in a stretch of its own, so that none is in another; the stretches in no order.
    let stretch = FILE_BYTES / MARKS;
    (number * 619 % MARKS) * stretch + scramble(number) % (stretch - 8)
}

/// A number that looks random (the finalizer of splitmix64).
fn scramble(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// What was found.
struct Findings {
    largest_hole: u64,
    /// Why, if it was refused.
    whole_mapping: Option<String>,
    stats: WindowStats,
    right: u64,
}

fn experiment() -> Outcome<Findings> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let _fragmented = Fragmented::new(HOLES, HOLE_BYTES)
        .map_err(|error| Failure::new(format!("cannot take up the address space: {error}")))?;
    let largest_hole = u64::try_from(largest_hole())?;
    limit_address_space()?;

    let name = "a sparse file";
    let whole_mapping = Map::options().map(&file, name).err();
    // Reads at random do thrash, and by themselves would go by pread soon.
    let windows = Windows::options().adaptive(false).map(file, name)?;
    let mut right = 0;
    for number in 0..MARKS {
        let read: [u8; 8] = windows.get(place_of(number))?;
        right += u64::from(u64::from_le_bytes(read) == mark(number));
    }
    Ok(Findings {
        largest_hole,
        whole_mapping: whole_mapping.map(|error| one_line(&error)),
        stats: windows.stats(),
        right,
    })
}

fn limit_address_space() -> Outcome {
    let in_use = address_space_in_use()
        .ok_or_else(|| Failure::new("this system does not say how much address space is in use"))?;
    let limit = Rlimit {
        current: Some(in_use + LEFT_BYTES),
        maximum: getrlimit(Resource::As).maximum,
    };
    setrlimit(Resource::As, limit)
        .map_err(|error| Failure::new(format!("cannot limit the address space: {error}")))
}

impl Report for Findings {
    const NAME: &'static str = "windows";

    fn holds(&self) -> bool {
        let stats = &self.stats;
        self.whole_mapping.is_some()
            && self.largest_hole <= HOLE_BYTES as u64
            && self.right == MARKS
            && stats.maps > 0
            && stats.pread_reads == 0
            && stats.peak_mapped_bytes <= LEFT_BYTES
    }

    fn verdict(&self) -> String {
        let verdict = if self.holds() {
            "holds: the file is larger than any hole, and was read through windows"
        } else {
            "does not hold"
        };
        verdict.to_owned()
    }

    fn print_table(&self, out: &mut impl Write) -> io::Result<()> {
        let stats = &self.stats;
        let whole_mapping = match &self.whole_mapping {
            Some(why) => format!("refused: {why}"),
            None => "succeeded".to_owned(),
        };
        let windows = format!(
            "{} mapped, {} evicted, of {} each",
            HumanCount(stats.maps),
            HumanCount(stats.evictions),
            HumanBytes(stats.window_bytes)
        );
        let right = format!("{} of {}", HumanCount(self.right), HumanCount(MARKS));
        let rows = [
            ("file size", HumanBytes(FILE_BYTES).to_string()),
            ("address space left", HumanBytes(LEFT_BYTES).to_string()),
            ("largest hole", HumanBytes(self.largest_hole).to_string()),
            ("whole mapping", whole_mapping),
            ("windows", windows),
            (
                "most mapped",
                HumanBytes(stats.peak_mapped_bytes).to_string(),
            ),
            ("read unmapped", HumanCount(stats.pread_reads).to_string()),
            ("marks read right", right),
        ];
        print_rows(out, &rows)
    }

    fn charts(&self) -> Vec<Chart> {
        let mut sizes = Chart::new("the file, the room for it, and what was mapped at a time");
        for (name, bytes, is_folio) in [
            ("file", FILE_BYTES, false),
            ("address space left", LEFT_BYTES, false),
            ("largest hole", self.largest_hole, false),
            ("most mapped", self.stats.peak_mapped_bytes, true),
        ] {
            sizes = sizes.bar(name, bytes, HumanBytes(bytes), is_folio);
        }
        vec![sizes]
    }

    fn json(&self) -> Value {
        let stats = &self.stats;
        json!({
            "experiment": Self::NAME,
            "file_bytes": FILE_BYTES,
            "address_space_left_bytes": LEFT_BYTES,
            "largest_hole_bytes": self.largest_hole,
            "whole_mapping_refused": self.whole_mapping,
            "window_bytes": stats.window_bytes,
            "windows_mapped": stats.maps,
            "windows_evicted": stats.evictions,
            "most_mapped_bytes": stats.peak_mapped_bytes,
            "unmapped_reads": stats.pread_reads,
            "marks": MARKS,
            "marks_read_right": self.right,
            "holds": self.holds(),
            "verdict": self.verdict(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_lie_apart_and_in_the_file() {
        let mut places: Vec<_> = (0..MARKS).map(place_of).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0] + 8 <= pair[1]));
        assert!(places.iter().all(|place| place + 8 <= FILE_BYTES));
        assert!(places.iter().filter(|&&place| place >= 4 << 30).count() > 700);
    }

    #[test]
    fn one_wrong_mark_is_enough() {
        let mut stats = WindowStats::default();
        stats.maps = 1;
        let good = || Findings {
            largest_hole: HOLE_BYTES as u64,
            whole_mapping: Some("no room".to_owned()),
            stats,
            right: MARKS,
        };
        assert!(good().holds());
        let wrong = [
            Findings {
                right: MARKS - 1,
                ..good()
            },
            Findings {
                whole_mapping: None,
                ..good()
            },
            Findings {
                largest_hole: 1 << 40,
                ..good()
            },
            Findings {
                stats: WindowStats::default(),
                ..good()
            },
        ];
        assert!(wrong.iter().all(|findings| !findings.holds()));
    }
}
