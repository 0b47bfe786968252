//! Small reads at random offsets.

use std::hint::black_box;
use std::os::unix::fs::FileExt;

use folio::ReadAt;

use super::fixture::Fixture;
use crate::args::Settings;
use crate::groups::pages::touch_slice;
use crate::groups::random::Random;
use crate::measure::{Clock, Plan, Work, interleave};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

/// How much a row of this group reads at once.
const READ_LEN: usize = 64;

pub(in crate::groups) fn read_at_64() -> Bench {
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

fn measure_read_at_64(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let fixture = Fixture::of(settings)?;
    let Fixture {
        view,
        mapped,
        file,
        memory,
        ..
    } = &fixture;

    let last = u64::try_from(memory.len() - READ_LEN)?;
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
    Ok(vec![Ok(row(memmap2)), Ok(row(pread))])
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

pub(in crate::groups) fn get_u64() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "files.get_u64_vs_pointer",
                unit: "ns",
                peer_name: "pointer",
                limit_name: None,
                goal: Some(1.5),
                about: "a u64 at a random offset of a cached file of 1 GiB (quick: 64 MiB): \
                        View::get, against an unguarded load through a raw pointer (goal 1.5)",
            }]
        },
        measure: measure_get_u64,
    }
}

fn measure_get_u64(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let fixture = Fixture::of(settings)?;
    let Fixture { view, mapped, .. } = &fixture;
    let last = u64::try_from(mapped.len() - size_of::<u64>())?;
    let (mut random, mut again) = (Random::new(), Random::new());
    let folio: Work<'_> = Box::new(move |units| {
        let mut sum = 0_u64;
        for _ in 0..units {
            sum = sum.wrapping_add(view.get::<u64>(random.below(last))?);
        }
        black_box(sum);
        Ok(())
    });
    let pointer: Work<'_> = Box::new(move |units| {
        let mut sum = 0_u64;
        for _ in 0..units {
            let offset = usize::try_from(again.below(last))?;
            sum = sum.wrapping_add(load(mapped, offset));
        }
        black_box(sum);
        Ok(())
    });
    let [folio, peer] = interleave(
        Plan::of(settings),
        Clock::Wall,
        || fixture.touch(),
        [folio, pointer],
    )?;
    Ok(vec![Ok(Costs {
        folio,
        peer,
        limit: None,
    })])
}

/// What a program does that trusts its offsets.
#[inline]
#[expect(unsafe_code, reason = "the peer is a load that nothing checks")]
fn load(bytes: &[u8], offset: usize) -> u64 {
    let pointer = bytes.as_ptr().wrapping_add(offset);
    // SAFETY: the caller's offset is at most the length less eight.
    unsafe { pointer.cast::<u64>().read_unaligned() }
}

pub(in crate::groups) fn frozen() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "files.frozen_vs_vec",
                unit: "ns",
                peer_name: "Vec",
                limit_name: None,
                goal: Some(1.05),
                about: "64 bytes at a random offset of 1 GiB (quick: 64 MiB): a slice of Frozen \
                        bytes, against one of a Vec (goal 1.05)",
            }]
        },
        measure: measure_frozen,
    }
}

fn measure_frozen(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let fixture = Fixture::of(settings)?;
    let memory = &fixture.memory;
    let frozen = folio::Frozen::copy_of(memory)?;
    let last = u64::try_from(memory.len() - READ_LEN)?;
    let ours = reads(last, |offset, buf| copy_from(&frozen, offset, buf));
    let theirs = reads(last, |offset, buf| copy_from(memory, offset, buf));
    let [folio, peer] = interleave(
        Plan::of(settings),
        Clock::Wall,
        || {
            touch_slice(&frozen);
            touch_slice(memory);
            Ok(())
        },
        [ours, theirs],
    )?;
    Ok(vec![Ok(Costs {
        folio,
        peer,
        limit: None,
    })])
}
