//! Reading a file that is in memory.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;

use folio::{ReadAt, View};
use tempfile::NamedTempFile;

use super::pages::{touch_slice, touch_view};
use super::random::Random;
use crate::args::Settings;
use crate::measure::{Clock, Plan, Work, interleave};
use crate::row::{Bench, Costs, Skipped, Spec};

/// How much a row of this group reads at once.
const READ_LEN: usize = 64;

pub(super) fn read_at_64() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    name: "files.read_at_64_vs_memmap2",
                    unit: "ns",
                    peer_name: "memmap2",
                    limit_name: Some("memcpy"),
                    goal: Some(1.15),
                    about: "64 bytes at a random offset of a cached file of 1 GiB (quick: 64 MiB): \
                            View::read_at, against copy_from_slice of a mapping (goal 1.15)",
                },
                Spec {
                    name: "files.read_at_64_vs_pread",
                    unit: "ns",
                    peer_name: "pread",
                    limit_name: Some("memcpy"),
                    goal: Some(0.2),
                    about: "the same reads, against the system call (goal 0.2)",
                },
            ]
        },
        measure: measure_read_at_64,
    }
}

fn measure_read_at_64(settings: &Settings) -> Result<Vec<Costs>, Skipped> {
    let len: usize = if settings.quick { 64 << 20 } else { 1 << 30 };
    let fixture = Fixture::new(len)?;
    let Fixture {
        view,
        mapped,
        file,
        memory,
        ..
    } = &fixture;

    let last = u64::try_from(len - READ_LEN)?;
    let folio = reads(last, |offset, buf| {
        view.read_exact_at(offset, buf)?;
        Ok(())
    });
    let memmap2 = reads(last, |offset, buf| copy_from(mapped, offset, buf));
    let memcpy = reads(last, |offset, buf| copy_from(memory, offset, buf));
    let pread = reads(last, |offset, buf| {
        file.read_exact_at(buf, offset)?;
        Ok(())
    });
    let [folio, memmap2, pread, memcpy] = interleave(
        Plan::of(settings),
        Clock::Wall,
        || fixture.touch(),
        [folio, memmap2, pread, memcpy],
    )?;
    let row = |peer| Costs {
        folio: folio.clone(),
        peer,
        limit: Some(memcpy.clone()),
    };
    Ok(vec![row(memmap2), row(pread)])
}

/// The work of one contestant: that many reads, each at an offset of its own.
fn reads<'a>(
    last: u64,
    read: impl Fn(u64, &mut [u8; READ_LEN]) -> Result<(), Skipped> + 'a,
) -> Work<'a> {
    let mut random = Random::new();
    let mut buf = [0; READ_LEN];
    Box::new(move |units| {
        for _ in 0..units {
            read(random.below(last), black_box(&mut buf))?;
            black_box(&buf);
        }
        Ok(())
    })
}

/// What a program does with a slice of a mapping, or of memory: check the range, and copy.
#[inline]
fn copy_from(bytes: &[u8], offset: u64, buf: &mut [u8; READ_LEN]) -> Result<(), Skipped> {
    let start = usize::try_from(offset)?;
    let chunk = bytes.get(start..).and_then(<[u8]>::first_chunk::<READ_LEN>);
    buf.copy_from_slice(chunk.ok_or_else(|| Skipped("a read past the end".into()))?);
    Ok(())
}

/// The same bytes thrice: in a file mapped by folio, in the same file mapped by memmap2, and in
/// memory of our own.
struct Fixture {
    view: View,
    mapped: memmap2::Mmap,
    file: File,
    memory: Vec<u8>,
    _path: NamedTempFile,
}

impl Fixture {
    fn new(len: usize) -> Result<Self, Skipped> {
        let mut random = Random::new();
        let mut memory = Vec::with_capacity(len);
        while memory.len() < len {
            memory.extend_from_slice(&random.next().to_le_bytes());
        }
        let mut path = NamedTempFile::new()?;
        path.write_all(&memory)?;
        // Nothing is left to be written back while we measure.
        path.as_file().sync_all()?;
        let file = path.reopen()?;
        Ok(Self {
            view: folio::Source::open(path.path())?.whole()?,
            mapped: map(&file)?,
            file,
            memory,
            _path: path,
        })
    }

    fn touch(&self) -> Result<(), Skipped> {
        touch_slice(&self.mapped);
        touch_slice(&self.memory);
        touch_view(&self.view)
    }
}

/// The peer's mapping.
#[expect(
    unsafe_code,
    reason = "memmap2 leaves to its caller that the file does not change"
)]
fn map(file: &File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: the file is a temporary one of this process alone, unlinked when the bench ends,
    // and nobody writes to it or cuts it short after it was filled.
    unsafe { memmap2::Mmap::map(file) }
}
