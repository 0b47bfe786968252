//! The ways to read bytes that somebody else cuts short.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use folio::{Error, FaultPolicy, Kind, Map, MapMut, ReadAt, Source, View, Windows};

use crate::counts::Verdict;
use crate::random::Random;
use crate::stage::{Facts, Stage};

/// Reads something, and judges what came of it.
pub(crate) trait Way: Sync {
    fn read(&self, stage: &Stage, random: &mut Random) -> Verdict;
}

/// The bytes that a file should have, and the judge of those that were read.
#[derive(Clone, Copy)]
pub(crate) struct Truth<'a> {
    pub(crate) content: &'a [u8],
    /// Whether bytes may end early without an error, where they are read by `pread(2)`.
    pub(crate) may_be_short: bool,
    /// Whether somebody writes right bytes after the cut, which the page may keep.
    pub(crate) is_written: bool,
}

/// What a read gave: bytes, and perhaps an error after them.
pub(crate) struct Outcome<'a> {
    pub(crate) offset: u64,
    pub(crate) asked: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) error: Option<&'a Error>,
}

impl Truth<'_> {
    /// The same, for reads that may be short.
    pub(crate) fn or_short(self) -> Self {
        Self {
            may_be_short: true,
            ..self
        }
    }

    pub(crate) fn judge(&self, outcome: &Outcome<'_>, facts: Facts) -> Verdict {
        let wrong = |what: String| {
            let (offset, asked) = (outcome.offset, outcome.asked);
            Verdict::Wrong(format!("{what}: {asked} bytes at {offset}, {facts:?}"))
        };
        let mut has_zeros = false;
        for (&found, at) in outcome.bytes.iter().zip(outcome.offset..) {
            let right = self.content[usize::try_from(at).unwrap()];
            let may_be_right = at < facts.end || facts.is_changing || self.is_written;
            if at >= facts.end && found == 0 {
                has_zeros = true;
            } else if found != right || !may_be_right {
                return wrong(format!("byte {at} is {found:#04x}, not {right:#04x}"));
            }
        }
        let end = outcome.offset + outcome.bytes.len() as u64;
        if !outcome.bytes.is_empty() && end > facts.lost_from {
            return wrong(format!("bytes up to {end}"));
        }
        let asked_end = outcome.offset + outcome.asked;
        match outcome.error {
            Some(&Error::Fault { offset: lost, .. })
                if lost >= facts.end && (outcome.offset..asked_end).contains(&lost) =>
            {
                Verdict::Fault
            }
            Some(error) => wrong(format!("{error}")),
            None if end == asked_end && has_zeros => Verdict::Zeros,
            None if end == asked_end => Verdict::Whole,
            None if self.may_be_short && end >= facts.end => Verdict::Short,
            None => wrong(format!("{} bytes", outcome.bytes.len())),
        }
    }

    /// A range of some bytes, often small.
    fn range(&self, random: &mut Random) -> (u64, usize) {
        let len = self.content.len();
        let offset = random.below(len);
        let most = [8, 100, 5000, 20_000][random.below(4)];
        let count = 1 + random.below(most.min(len - offset));
        (offset as u64, count)
    }
}

/// By [`ReadAt::read_at`], of whatever has it.
pub(crate) struct ByReadAt<'a, B> {
    pub(crate) bytes: B,
    pub(crate) truth: Truth<'a>,
}

impl<B: ReadAt + Sync> Way for ByReadAt<'_, B> {
    fn read(&self, stage: &Stage, random: &mut Random) -> Verdict {
        let (offset, count) = self.truth.range(random);
        let mut buf = vec![0xEE; count];
        let (read, facts) = stage.watch(|| self.bytes.read_at(offset, &mut buf));
        let got = *read.as_ref().unwrap_or(&0);
        let outcome = Outcome {
            offset,
            asked: count as u64,
            bytes: &buf[..got],
            error: read.as_ref().err(),
        };
        self.truth.judge(&outcome, facts)
    }
}

pub(crate) fn view(path: &Path, policy: FaultPolicy) -> View {
    let source = Source::options().fault_policy(policy).open(path).unwrap();
    assert_eq!(source.kind(), Kind::Mapped);
    source.whole().unwrap()
}

pub(crate) fn positioned(path: &Path) -> Source {
    let options = Source::options().kind(Kind::Positioned);
    options.open(path).unwrap()
}

/// By [`View::get`].
pub(crate) struct ByGet<'a> {
    pub(crate) view: View,
    pub(crate) truth: Truth<'a>,
}

impl Way for ByGet<'_> {
    fn read(&self, stage: &Stage, random: &mut Random) -> Verdict {
        let offset = random.below(self.truth.content.len() - 7) as u64;
        let (read, facts) = stage.watch(|| self.view.get::<[u8; 8]>(offset));
        let outcome = Outcome {
            offset,
            asked: 8,
            bytes: read.as_ref().map_or(&[], |value| value.as_slice()),
            error: read.as_ref().err(),
        };
        self.truth.judge(&outcome, facts)
    }
}

/// By [`View::for_each_chunk`], of a part of the view.
pub(crate) struct ByChunks<'a> {
    pub(crate) view: View,
    pub(crate) truth: Truth<'a>,
}

impl Way for ByChunks<'_> {
    fn read(&self, stage: &Stage, random: &mut Random) -> Verdict {
        let (offset, count) = self.truth.range(random);
        let part = self.view.part(offset, count as u64).unwrap();
        let mut bytes = Vec::new();
        let (read, facts) = stage.watch(|| {
            part.for_each_chunk(|chunk| {
                bytes.extend_from_slice(chunk);
                Ok::<(), Error>(())
            })
        });
        let outcome = Outcome {
            offset,
            asked: count as u64,
            bytes: &bytes,
            error: read.as_ref().err(),
        };
        self.truth.judge(&outcome, facts)
    }
}

/// By [`Source::reader`], from somewhere on to the end.
pub(crate) struct ByReader<'a> {
    pub(crate) source: Source,
    pub(crate) truth: Truth<'a>,
}

impl Way for ByReader<'_> {
    fn read(&self, stage: &Stage, random: &mut Random) -> Verdict {
        let (offset, _) = self.truth.range(random);
        let mut reader = self.source.reader();
        reader.seek(SeekFrom::Start(offset)).unwrap();
        let mut bytes = Vec::new();
        let (read, facts) = stage.watch(|| reader.read_to_end(&mut bytes));
        let error = read.as_ref().err().map(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            inner.expect("a reader's errors are folio's")
        });
        let outcome = Outcome {
            offset,
            asked: self.truth.content.len() as u64 - offset,
            bytes: &bytes,
            error,
        };
        self.truth.judge(&outcome, facts)
    }
}

/// By views of windows, made anew each time.
pub(crate) struct ByWindowView<'a> {
    pub(crate) windows: Windows,
    pub(crate) truth: Truth<'a>,
}

impl Way for ByWindowView<'_> {
    fn read(&self, stage: &Stage, random: &mut Random) -> Verdict {
        let (offset, count) = self.truth.range(random);
        let mut buf = vec![0xEE; count];
        let (read, facts) = stage.watch(|| {
            let view = self.windows.view(offset, count as u64)?;
            view.read_at(0, &mut buf)
        });
        let got = *read.as_ref().unwrap_or(&0);
        let outcome = Outcome {
            offset,
            asked: count as u64,
            bytes: &buf[..got],
            error: read.as_ref().err(),
        };
        self.truth.judge(&outcome, facts)
    }
}

/// A file through two windows of four pages.
pub(crate) fn windows(path: &Path, page: u64) -> Windows {
    Windows::options()
        .window_bytes(4 * page)
        .budget_bytes(8 * page)
        .open(path)
        .unwrap()
}

/// Reading from and writing to a [`MapMut`]: always the bytes that belong there.
pub(crate) struct ByMapMut<'a> {
    pub(crate) map: MapMut,
    pub(crate) truth: Truth<'a>,
}

impl<'a> ByMapMut<'a> {
    pub(crate) fn new(path: &Path, truth: Truth<'a>) -> Self {
        let map = Map::options().open_mut(path).unwrap();
        Self { map, truth }
    }
}

impl Way for ByMapMut<'_> {
    fn read(&self, stage: &Stage, random: &mut Random) -> Verdict {
        let (offset, count) = self.truth.range(random);
        let mut buf = vec![0xEE; count];
        let start = usize::try_from(offset).unwrap();
        let right = &self.truth.content[start..start + count];
        let writes = random.below(3) == 0;
        let (done, facts) = stage.watch(|| match writes {
            true => self.map.write_all_at(offset, right),
            false => self.map.read_exact_at(offset, &mut buf),
        });
        let bytes = match (&done, writes) {
            (Err(_), _) => &[],
            (Ok(()), true) => right,
            (Ok(()), false) => &buf[..],
        };
        let outcome = Outcome {
            offset,
            asked: count as u64,
            bytes,
            error: done.as_ref().err(),
        };
        self.truth.judge(&outcome, facts)
    }
}
