//! The truncation campaign: a file is cut at every page boundary and in the middle of every page,
//! while threads read it by each way that there is, and restored between. What folio's readers came
//! away with is counted, and anything but right bytes, documented short reads and
//! [`folio::Error::Fault`] is a failure. memmap2's reader is ended by SIGBUS, which is counted too.
//!
//! ```sh
//! cargo test --release -p folio-bench --test truncation -- --nocapture
//! FOLIO_TRUNCATION_SCALE=20 cargo test --release -p folio-bench --test truncation -- --nocapture
//! ```
//!
//! # Zeros
//!
//! A file is mapped in whole pages. "The remaining bytes in the partial page at the end of the mapping
//! are zeroed when mapped, and modifications to that region are not written out to the file"
//! (`mmap(2)`); and cutting a file zeroes the rest of the page of its new end, in memory, where all
//! who map it see it at once. So a mapping that was made when the file was longer has zeros there, and
//! no fault: no way exists to tell them from zeros that were written. A whole page that is
//! lost faults.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::match_bool,
    reason = "a test ends at the first surprise"
)]

mod child;
#[path = "truncation/counts.rs"]
mod counts;
#[path = "truncation/peer.rs"]
mod peer;
#[path = "truncation/random.rs"]
mod random;
#[path = "truncation/stage.rs"]
mod stage;
#[path = "truncation/table.rs"]
mod table;
#[path = "truncation/ways.rs"]
mod ways;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use counts::Counts;
use folio::{FaultPolicy, Source};
use folio_table::Verify;
use random::Random;
use stage::Stage;
use ways::{ByChunks, ByGet, ByMapMut, ByReadAt, ByReader, ByWindowView, Truth, Way};

const THREADS: usize = 4;

/// How much each thread reads of each state of the file, at least.
const READS: u64 = 10;

fn page() -> u64 {
    rustix::param::page_size() as u64
}

/// How many times larger than usual the campaign is.
fn scale() -> u64 {
    let scale = std::env::var("FOLIO_TRUNCATION_SCALE");
    scale.map_or(1, |scale| scale.parse().unwrap())
}

/// Bytes that say where they stand, none of them zero: each 8 are their number.
fn content() -> Vec<u8> {
    let words = 12 * scale() * page() / 8;
    (0..words)
        .flat_map(|word| format!("{word:08x}").into_bytes())
        .collect()
}

/// Every page boundary and a place in each page, for a file of this length.
fn cuts(len: u64) -> Vec<u64> {
    (0..len)
        .step_by(usize::try_from(page()).unwrap())
        .flat_map(|start| [start, (start + page() / 2 + 13).min(len - 1)])
        .collect()
}

/// A file that is cut, and restored, again and again, while threads read it in one way.
fn campaign<'a>(
    path: &Path,
    content: &'a [u8],
    way: impl FnOnce(&Path, Truth<'a>) -> Box<dyn Way + 'a>,
) -> Counts {
    let file = File::options().write(true).open(path).unwrap();
    restore(&file, content);
    let truth = Truth {
        content,
        may_be_short: false,
        is_written: false,
    };
    let way = way(path, truth);
    let cuts = cuts(content.len() as u64);
    let stage = Stage::new(content.len() as u64, &cuts, page());
    let is_over = AtomicBool::new(false);
    let progress: [AtomicU64; THREADS] = Default::default();
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let readers: Vec<_> = (1..)
            .zip(&progress)
            .map(|(seed, progress)| {
                let (way, stage, is_over) = (&way, &stage, &is_over);
                scope.spawn(move || {
                    let (mut counts, mut random) = (Counts::default(), Random::new(seed));
                    while !is_over.load(Ordering::Relaxed) {
                        counts.add(way.read(stage, &mut random));
                        progress.fetch_add(1, Ordering::Relaxed);
                    }
                    counts
                })
            })
            .collect();
        let ended = Ended(&is_over);
        for &cut in &cuts {
            wait_for(&progress);
            stage.advance();
            file.set_len(cut).unwrap();
            stage.advance();
            wait_for(&progress);
            stage.advance();
            restore(&file, content);
            stage.advance();
        }
        wait_for(&progress);
        drop(ended);
        for reader in readers {
            counts += reader.join().unwrap();
        }
    });
    counts
}

/// Lets the readers end, also when the one who cuts does so by a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn restore(file: &File, content: &[u8]) {
    file.set_len(content.len() as u64).unwrap();
    file.write_all_at(content, 0).unwrap();
}

/// Waits until every reader has read some more.
fn wait_for(progress: &[AtomicU64]) {
    let before: Vec<u64> = progress
        .iter()
        .map(|it| it.load(Ordering::Relaxed))
        .collect();
    let started = Instant::now();
    while (before.iter().zip(progress))
        .any(|(before, now)| now.load(Ordering::Relaxed) < before + READS)
    {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "a reader has hung for a minute"
        );
        thread::sleep(Duration::from_micros(100));
    }
}

/// How most reads after a cut end, by which it shows that the campaign reached them.
#[derive(Clone, Copy)]
enum Loss {
    Faults,
    Short,
}

/// What makes a way of a file.
type Make<'a> = Box<dyn FnOnce(&Path, Truth<'a>) -> Box<dyn Way + 'a>>;

/// The ways to read a plain file, by name.
fn ways<'a>() -> Vec<(&'static str, Loss, Make<'a>)> {
    let mut all = views();
    all.extend(readers_and_windows());
    all.push((
        "MapMut, with writes",
        Loss::Faults,
        Box::new(|path, truth| {
            let truth = Truth {
                is_written: true,
                ..truth
            };
            Box::new(ByMapMut::new(path, truth))
        }),
    ));
    all
}

fn views<'a>() -> Vec<(&'static str, Loss, Make<'a>)> {
    let read_at = |policy| -> Make<'a> {
        Box::new(move |path, truth| {
            let bytes = ways::view(path, policy);
            Box::new(ByReadAt { bytes, truth })
        })
    };
    let by_pread: Make<'a> = Box::new(|path, truth| {
        let bytes = ways::positioned(path).whole().unwrap();
        let truth = truth.or_short();
        Box::new(ByReadAt { bytes, truth })
    });
    let get: Make<'a> = Box::new(|path, truth| {
        let view = ways::view(path, FaultPolicy::Handler);
        Box::new(ByGet { view, truth })
    });
    let chunks: Make<'a> = Box::new(|path, truth| {
        let view = ways::view(path, FaultPolicy::Handler);
        Box::new(ByChunks { view, truth })
    });
    let with_handler = read_at(FaultPolicy::Handler);
    let without = read_at(FaultPolicy::Syscall);
    vec![
        ("View::read_at", Loss::Faults, with_handler),
        ("  without a handler", Loss::Faults, without),
        ("  by pread", Loss::Short, by_pread),
        ("View::get", Loss::Faults, get),
        ("View::for_each_chunk", Loss::Faults, chunks),
    ]
}

fn readers_and_windows<'a>() -> Vec<(&'static str, Loss, Make<'a>)> {
    let reader: Make<'a> = Box::new(|path, truth| {
        let source = Source::open(path).unwrap();
        Box::new(ByReader { source, truth })
    });
    let by_pread: Make<'a> = Box::new(|path, truth| {
        let source = ways::positioned(path);
        let truth = truth.or_short();
        Box::new(ByReader { source, truth })
    });
    let windows: Make<'a> = Box::new(|path, truth| {
        let bytes = ways::windows(path, page());
        Box::new(ByReadAt { bytes, truth })
    });
    // Where nothing can be mapped any more, a view goes by pread.
    let window_views: Make<'a> = Box::new(|path, truth| {
        let windows = ways::windows(path, page());
        let truth = truth.or_short();
        Box::new(ByWindowView { windows, truth })
    });
    vec![
        ("Source::reader", Loss::Faults, reader),
        ("  by pread", Loss::Short, by_pread),
        ("Windows::read_at", Loss::Faults, windows),
        ("Windows::view", Loss::Faults, window_views),
    ]
}

#[test]
fn readers_of_a_file_that_is_cut() {
    let content = content();
    for folder in [std::env::temp_dir().as_path(), Path::new("/dev/shm")] {
        println!(
            "\n{}: {} cuts",
            folder.display(),
            cuts(content.len() as u64).len()
        );
        println!("{}", Counts::head());
        let file = || tempfile::NamedTempFile::new_in(folder).unwrap();
        let mut all = Vec::new();
        for (name, loss, way) in ways() {
            let counts = campaign(file().path(), &content, way);
            println!("{}", counts.row(name));
            all.push((name, loss, counts));
        }
        let table = table::content(content.len());
        for (name, verify) in [
            ("Table::get", Verify::Never),
            ("  always checked", Verify::Always),
        ] {
            let counts = campaign(file().path(), &table, |path, _| {
                Box::new(table::ByTable::new(path, page(), verify))
            });
            println!("{}", counts.row(name));
            all.push((name, Loss::Faults, counts));
        }
        for (name, loss, counts) in &all {
            assert_eq!(counts.wrong, 0, "{name}: {:?}", counts.complaint);
            let lost = match loss {
                Loss::Faults => counts.faults,
                Loss::Short => counts.short,
            };
            assert!(counts.whole > 0 && lost > 0, "{name}");
        }
        assert!(all.iter().any(|(_, _, counts)| counts.zeros > 0));
        let counts = peer::campaign(folder, &content, &cuts(content.len() as u64));
        println!("{}", counts.row("memmap2"));
        assert_eq!(counts.reads, counts.killed + counts.zeros);
        assert_eq!(counts.zeros, 1, "a cut of the last page in its middle");
    }
}

/// For the campaign above: it does nothing in this process.
#[test]
fn memmap2_reads_what_is_cut() {
    if child::is(peer::NAME) {
        peer::be_memmap2();
    }
}
