//! What it costs to change ten pages of a file, all or none.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use folio::Draft;
use tempfile::TempDir;

use super::PAGE_BYTES;
use super::sqlite::{Database, JournalMode};
use crate::args::Settings;
use crate::measure::{Clock, order, timed};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

/// How many pages each commit changes.
pub(super) const PAGES: u64 = 10;
/// All files have this many at the least.
const LEAST_PAGES: u64 = (1 << 20) / PAGE_BYTES;

pub(in crate::groups) fn size() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "paging.commit_4g_vs_1m",
                unit: "ns",
                peer_name: "1 MiB",
                limit_name: None,
                goal: Some(1.3),
                about: "writing to ten pages of a Draft and committing it: in a file of 4 GiB, \
                        against the same pages of one of 1 MiB (goal 1.3)",
            }]
        },
        measure: measure_size,
    }
}

pub(in crate::groups) fn copy() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "paging.commit_vs_copy",
                unit: "ns",
                peer_name: "whole copy",
                limit_name: None,
                goal: Some(0.05),
                about: "changing ten pages of a file of 1 GiB (quick: 256 MiB), all or none: by a Draft, \
                        against a copy of the file, its fsync and its rename (goal 0.05)",
            }]
        },
        measure: measure_copy,
    }
}

pub(in crate::groups) fn sqlite() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    name: "paging.commit_vs_sqlite",
                    unit: "ns",
                    peer_name: "SQLite",
                    limit_name: None,
                    goal: Some(1.0),
                    about: "changing ten pages of a file of 1 MiB, on the disk and all or none: by a Draft, against ten rows \
                            of a page each in SQLite, synchronous=FULL, journal_mode=DELETE as it comes (goal 1)",
                },
                Spec {
                    name: "paging.commit_vs_sqlite_wal",
                    unit: "ns",
                    peer_name: "SQLite WAL",
                    limit_name: None,
                    goal: None,
                    about: "the same, with SQLite's journal_mode=WAL, which writes to the database later",
                },
            ]
        },
        measure: measure_sqlite,
    }
}

fn measure_size(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let folder = TempDir::new()?;
    let mut large = Edited::new(&folder.path().join("large"), 4 << 30)?;
    let mut small = Edited::new(&folder.path().join("small"), 1 << 20)?;
    let [folio, peer] = alternate(
        rounds(settings),
        [&mut || large.commit(), &mut || small.commit()],
    )?;
    let limit = None;
    Ok(vec![Ok(Costs { folio, peer, limit })])
}

fn measure_copy(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let len: u64 = if settings.quick { 256 << 20 } else { 1 << 30 };
    let folder = TempDir::new()?;
    let (path, other) = (folder.path().join("draft"), folder.path().join("copied"));
    fill(&path, len)?;
    fill(&other, len)?;
    let mut edited = Edited::open(&path)?;
    let mut round = 0;
    let mut copied = || {
        let new = folder.path().join("new");
        round += 1;
        fs::copy(&other, &new)?;
        let file = File::options().write(true).open(&new)?;
        for page in 0..PAGES {
            file.write_all_at(&content(round), place(page))?;
        }
        file.sync_all()?;
        Ok(fs::rename(&new, &other)?)
    };
    let rounds = if settings.quick { 5 } else { 11 };
    let [folio, peer] = alternate(rounds, [&mut || edited.commit(), &mut copied])?;
    let limit = None;
    Ok(vec![Ok(Costs { folio, peer, limit })])
}

fn measure_sqlite(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let folder = TempDir::new()?;
    let mut edited = Edited::new(&folder.path().join("draft"), 1 << 20)?;
    let mut against = |name: &str, mode: JournalMode| -> Measured {
        settings.peer(name, || {
            let path = folder.path().join(name);
            let mut database = Database::create(&path, mode, LEAST_PAGES)?;
            let mut round = 0;
            let mut update = || {
                round += 1;
                database.update((0..PAGES).map(row), &content(round))
            };
            let [folio, peer] =
                alternate(rounds(settings), [&mut || edited.commit(), &mut update])?;
            let limit = None;
            Ok(Costs { folio, peer, limit })
        })
    };
    Ok(vec![
        against("SQLite", JournalMode::Delete),
        against("SQLite WAL", JournalMode::Wal),
    ])
}

fn rounds(settings: &Settings) -> usize {
    if settings.quick { 41 } else { 201 }
}

/// One commit of each contestant a round, in turn, timed; the first few are not counted.
fn alternate<const N: usize>(
    rounds: usize,
    mut contestants: [&mut dyn FnMut() -> Result<(), Skipped>; N],
) -> Result<[Vec<f64>; N], Skipped> {
    let mut costs = [(); N].map(|()| Vec::new());
    for commit in &mut contestants {
        commit()?;
    }
    for round in 0..rounds {
        for turn in order(round, N) {
            if let (Some(commit), Some(costs)) = (contestants.get_mut(turn), costs.get_mut(turn)) {
                costs.push(timed(Clock::Wall, commit)?);
            }
        }
    }
    Ok(costs)
}

/// A file of which the same ten pages are changed again and again.
struct Edited {
    draft: Draft,
    round: u64,
}

impl Edited {
    fn new(path: &Path, len: u64) -> Result<Self, Skipped> {
        // What is never written to takes no room on the disk.
        File::create(path)?.set_len(len)?;
        Self::open(path)
    }

    fn open(path: &Path) -> Result<Self, Skipped> {
        let draft = Draft::open(path)?;
        Ok(Self { draft, round: 0 })
    }

    fn commit(&mut self) -> Result<(), Skipped> {
        self.round += 1;
        let bytes = content(self.round);
        for page in 0..PAGES {
            self.draft.write_all_at(place(page), &bytes)?;
        }
        let committed = self.draft.commit()?.page_count();
        if committed != PAGES {
            return Err(Skipped(format!("{committed} pages committed of {PAGES}")));
        }
        Ok(())
    }
}

fn fill(path: &Path, len: u64) -> Result<(), Skipped> {
    let file = File::create(path)?;
    let block = vec![7; 1 << 20];
    for at in (0..len).step_by(1 << 20) {
        file.write_all_at(&block, at)?;
    }
    Ok(file.sync_all()?)
}

/// Which of the pages of the first MiB is changed, none beside another.
fn row(page: u64) -> u64 {
    page * 23 % LEAST_PAGES
}

fn place(page: u64) -> u64 {
    row(page) * PAGE_BYTES
}

fn content(round: u64) -> [u8; 4000] {
    let mut bytes = [7; 4000];
    bytes
        .chunks_exact_mut(8)
        .for_each(|word| word.copy_from_slice(&round.to_le_bytes()));
    bytes
}
