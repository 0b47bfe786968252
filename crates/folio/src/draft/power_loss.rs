//! Loses power, on a disk that keeps in memory what was written to it and not yet synced, at every step of
//! commits and recoveries. What was not synced may be there afterwards, or not, or in part: every
//! combination is tried where there are few enough, and a sample otherwise.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::journal::{Found, Identity, commit, recover, remove};
use super::storage::Storage;

/// A disk keeps or loses a sector as one, or tears it.
const SECTOR: usize = 512;
const FILE_BYTES: usize = 4000;
/// The most combinations that are tried all.
const MOST: usize = 3_000;

/// Bytes, and what was written to them since they were last synced.
#[derive(Debug, Clone, Default)]
struct Content {
    synced: Vec<u8>,
    /// In pieces of a sector at most.
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl Content {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = usize::try_from(offset).unwrap();
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(SECTOR - at % SECTOR));
            self.unsynced.push((at, piece.to_vec()));
            at += piece.len();
            bytes = rest;
        }
    }

    /// What is there after the pieces of which `fate` says how much of each: 0 nothing, 1 all, 2 a part.
    fn after(&self, fates: &[usize]) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for ((at, piece), fate) in self.unsynced.iter().zip(fates) {
            let len = [0, piece.len(), piece.len().div_ceil(3)][*fate];
            if len > 0 {
                bytes.resize(bytes.len().max(at + len), 0);
                bytes[*at..at + len].copy_from_slice(&piece[..len]);
            }
        }
        bytes
    }

    fn now(&self) -> Vec<u8> {
        self.after(&vec![1; self.unsynced.len()])
    }

    fn sync(&mut self) {
        *self = Self {
            synced: self.now(),
            unsynced: Vec::new(),
        };
    }
}

/// A disk that loses power after so many steps.
#[derive(Debug, Clone)]
struct Trial {
    file: Content,
    journals: BTreeMap<u32, Content>,
    /// Which journal has the name, on the disk, and what changed since.
    named: Option<u32>,
    renamed: Vec<Option<u32>>,
    open: Option<u32>,
    steps_left: usize,
}

impl Trial {
    fn new(file: Vec<u8>, journal: Option<Vec<u8>>) -> Self {
        let content = |synced| Content {
            synced,
            unsynced: Vec::new(),
        };
        let named = journal.as_ref().map(|_| 0);
        Self {
            file: content(file),
            journals: journal
                .map(|bytes| (0, content(bytes)))
                .into_iter()
                .collect(),
            named,
            renamed: Vec::new(),
            open: None,
            steps_left: usize::MAX,
        }
    }

    fn after_steps(mut self, steps: usize) -> Self {
        self.steps_left = steps;
        self
    }

    fn step(&mut self) -> io::Result<()> {
        let no_power = || io::Error::other("no power");
        self.steps_left = self.steps_left.checked_sub(1).ok_or_else(no_power)?;
        Ok(())
    }

    fn name(&self) -> Option<u32> {
        self.renamed.last().copied().unwrap_or(self.named)
    }

    fn journal(&mut self) -> &mut Content {
        let open = self.open.unwrap();
        self.journals.get_mut(&open).unwrap()
    }

    /// All that may be there when the power is back, or a sample of it.
    fn outcomes(&self, numbers: &mut Numbers) -> Vec<Self> {
        let mut outcomes = Vec::new();
        for name in self.names() {
            let pieces = self.pieces(name);
            let all = u32::try_from(pieces)
                .ok()
                .and_then(|pieces| 3_usize.checked_pow(pieces))
                .filter(|&all| all <= MOST);
            for round in 0..all.unwrap_or(MOST) {
                let mut digits = round;
                let fates = (0..pieces).map(|_| {
                    if all.is_none() {
                        return numbers.below(3);
                    }
                    let digit = digits % 3;
                    digits /= 3;
                    digit
                });
                let fates: Vec<usize> = fates.collect();
                outcomes.push(self.outcome(name, &fates));
            }
        }
        outcomes
    }

    /// One of these, at random.
    fn any_outcome(&self, numbers: &mut Numbers) -> Self {
        let names = self.names();
        let name = names[numbers.below(names.len())];
        let fates: Vec<usize> = (0..self.pieces(name)).map(|_| numbers.below(3)).collect();
        self.outcome(name, &fates)
    }

    /// Which journal may have the name.
    fn names(&self) -> Vec<Option<u32>> {
        let renamed = self.renamed.iter().copied();
        std::iter::once(self.named).chain(renamed).collect()
    }

    /// How many pieces of the file and of a journal may be there or not.
    fn pieces(&self, name: Option<u32>) -> usize {
        let of_journal = name.map_or(0, |name| self.journals[&name].unsynced.len());
        self.file.unsynced.len() + of_journal
    }

    fn outcome(&self, name: Option<u32>, fates: &[usize]) -> Self {
        let (of_file, of_journal) = fates.split_at(self.file.unsynced.len());
        let journal = name.map(|name| self.journals[&name].after(of_journal));
        Self::new(self.file.after(of_file), journal)
    }
}

impl Storage for Trial {
    fn write_file(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        self.file.write(offset, bytes);
        Ok(())
    }

    fn sync_file(&mut self) -> io::Result<()> {
        self.step()?;
        self.file.sync();
        Ok(())
    }

    fn make_journal(&mut self) -> io::Result<bool> {
        if self.open.is_some() {
            return Ok(false);
        }
        self.step()?;
        let id = u32::try_from(self.journals.len()).unwrap();
        self.journals.insert(id, Content::default());
        self.renamed.push(Some(id));
        self.open = Some(id);
        Ok(true)
    }

    fn find_journal(&mut self) -> io::Result<Option<u64>> {
        self.open = self.name();
        Ok(self.open.map(|_| self.journal().now().len() as u64))
    }

    fn read_journal(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&self.journal().now()[offset..offset + buf.len()]);
        Ok(())
    }

    fn write_journal(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        self.journal().write(offset, bytes);
        Ok(())
    }

    fn sync_journal(&mut self) -> io::Result<()> {
        self.step()?;
        self.journal().sync();
        Ok(())
    }

    fn remove_journal(&mut self) -> io::Result<()> {
        self.step()?;
        self.open = None;
        self.renamed.push(None);
        Ok(())
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.step()?;
        self.named = self.name();
        self.renamed.clear();
        Ok(())
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(word).unwrap() % limit
    }
}

const IDENTITY: Identity = Identity {
    inode: 7,
    len: FILE_BYTES as u64,
};

/// The file after so many commits: each changes other places, some of them the same ones.
fn version(commits: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=250).cycle().take(FILE_BYTES).collect();
    for commit in 1..=commits {
        for run in runs(commit) {
            let run = usize::try_from(run.start).unwrap()..usize::try_from(run.end).unwrap();
            bytes[run].fill(200 + commit);
        }
    }
    bytes
}

fn runs(commit: u8) -> Vec<Range<u64>> {
    match commit {
        1 => vec![0..700, 1024..1536, 3000..4000],
        // A shorter journal over a longer one.
        2 => vec![512..800, 2048..2060],
        _ => vec![0..1, 512..1300, 1400..1800, 3999..4000],
    }
}

fn write(trial: &mut Trial, number: u8) -> bool {
    let new = version(number);
    let read = |offset, buf: &mut [u8]| {
        let offset = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&new[offset..offset + buf.len()]);
        Ok(())
    };
    commit(trial, IDENTITY, &runs(number), read).is_ok()
}

/// Commits three times and closes; says how many commits were over, and whether it came to the end.
fn session(trial: &mut Trial) -> (u8, bool) {
    for commit in 1..=3 {
        if !write(trial, commit) {
            return (commit - 1, false);
        }
    }
    (3, remove(trial).is_ok())
}

/// Recovers, and loses power while doing so at every step first.
fn recovered(outcome: &Trial, numbers: &mut Numbers, states: &mut u64) -> Vec<u8> {
    let mut whole = outcome.clone();
    recover(&mut whole, IDENTITY).unwrap();
    *states += 1;
    let bytes = whole.file.now();
    for steps in 0.. {
        let mut half = outcome.clone().after_steps(steps);
        if recover(&mut half, IDENTITY).is_ok() {
            break;
        }
        let mut again = half.any_outcome(numbers);
        recover(&mut again, IDENTITY).unwrap();
        assert!(again.file.now() == bytes, "a recovery that was interrupted");
        *states += 1;
    }
    bytes
}

#[test]
fn power_lost_at_any_step_leaves_old_or_new() {
    let mut numbers = Numbers(77);
    let (mut states, mut old, mut new) = (0, 0, 0);
    for steps in 0.. {
        let mut trial = Trial::new(version(0), None).after_steps(steps);
        let (commits, is_over) = session(&mut trial);
        for outcome in trial.outcomes(&mut numbers) {
            let bytes = recovered(&outcome, &mut numbers, &mut states);
            if bytes == version(commits) {
                old += 1;
            } else {
                assert!(
                    commits < 3 && bytes == version(commits + 1),
                    "a mixture, after {steps} steps"
                );
                new += 1;
            }
        }
        if is_over {
            break;
        }
    }
    println!("{states} states after a power loss: {old} old, {new} new, none mixed");
    assert!(old > 1000 && new > 1000);
}

#[test]
fn what_others_write_after_a_draft_is_closed_stays() {
    let mut numbers = Numbers(5);
    let mut trial = Trial::new(version(0), None);
    assert_eq!(session(&mut trial), (3, true));
    trial.file.write(0, b"others");
    trial.file.sync();
    for mut outcome in trial.outcomes(&mut numbers) {
        assert_eq!(recover(&mut outcome, IDENTITY).unwrap(), Found::Nothing);
        assert_eq!(outcome.file.now()[..6], *b"others");
    }
}

/// The journal of a commit that lost power when it was on the disk.
fn journal() -> Vec<u8> {
    for steps in 0.. {
        let mut trial = Trial::new(version(0), None).after_steps(steps);
        write(&mut trial, 1);
        if trial.named.is_some() {
            return trial.journals[&0].synced.clone();
        }
    }
    unreachable!()
}

#[test]
fn a_journal_that_is_damaged_or_anothers_changes_nothing() {
    let journal = journal();
    let mut whole = Trial::new(version(0), Some(journal.clone()));
    assert_eq!(recover(&mut whole, IDENTITY).unwrap(), Found::Commit);
    assert!(whole.file.now() == version(1));

    for at in 0..journal.len() {
        let mut damaged = journal.clone();
        damaged[at] ^= 0x40;
        let mut trial = Trial::new(version(0), Some(damaged));
        let found = recover(&mut trial, IDENTITY).unwrap();
        assert!(trial.file.now() == version(0));
        // The version's word is looked at before the checksum.
        let expected = match at {
            8 => Found::OfAnotherVersion(0x41),
            9 => Found::OfAnotherVersion(0x4001),
            10 => Found::OfAnotherVersion(0x40_0001),
            11 => Found::OfAnotherVersion(0x4000_0001),
            _ => Found::Nothing,
        };
        assert_eq!(found, expected, "byte {at}");
        let mut cut = Trial::new(version(0), Some(journal[..at].to_vec()));
        assert_eq!(recover(&mut cut, IDENTITY).unwrap(), Found::Nothing);
        assert!(cut.file.now() == version(0));
    }
    for identity in [
        Identity {
            inode: 8,
            ..IDENTITY
        },
        Identity {
            len: 4001,
            ..IDENTITY
        },
    ] {
        let mut trial = Trial::new(version(0), Some(journal.clone()));
        assert_eq!(recover(&mut trial, identity).unwrap(), Found::OfAnotherFile);
        assert!(trial.file.now() == version(0) && trial.name().is_some());
    }
}

#[test]
fn a_journal_with_a_right_checksum_and_wrong_runs_writes_nothing_outside() {
    let journal = journal();
    for (at, word) in [
        (64, u64::MAX - 3),
        (64, 3500),
        (72, 5000),
        (72, u64::MAX),
        (40, 100),
        (40, u64::MAX - 200),
        (32, u64::MAX / 16),
        (32, 4),
    ] {
        let mut hostile = journal.clone();
        hostile[at..at + 8].copy_from_slice(&word.to_le_bytes());
        let table = u64::from_le_bytes(hostile[32..40].try_into().unwrap()).saturating_mul(16);
        let data = u64::from_le_bytes(hostile[40..48].try_into().unwrap());
        let end = table.saturating_add(data).saturating_add(64);
        if let Some(payload) = usize::try_from(end)
            .ok()
            .and_then(|end| hostile.get(64..end))
        {
            let mut checksum = xxhash_rust::xxh3::Xxh3::new();
            checksum.update(&hostile[..56]);
            checksum.update(payload);
            let checksum = checksum.digest().to_le_bytes();
            hostile[56..64].copy_from_slice(&checksum);
        }
        let mut trial = Trial::new(version(0), Some(hostile));
        let found = recover(&mut trial, IDENTITY);
        assert!(!matches!(found, Ok(Found::Commit)), "{at} {word}");
        assert_eq!(trial.file.now().len(), FILE_BYTES);
    }
}
