//! `folio evict FILE…`

use std::io::Write;
use std::path::{Path, PathBuf};

use folio::Residency;
use folio_sys::page;

use crate::commands::cat::parse_bytes;
use crate::commands::load::{What, report};
use crate::failure::{Outcome, one_line};
use crate::targets::Targets;
use crate::{output, progress};

/// Drop files from memory; changes are written to them first.
///
/// What a process maps or has locked stays. Nothing is lost: it is read from the disk when it is needed
/// again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,

    /// Leave this much of the files in memory, and drop the rest, from the end of the last file on; K, M,
    /// G or T after the number multiply by powers of 1024.
    #[arg(long, value_name = "N", default_value = "0", value_parser = parse_bytes)]
    budget: u64,
}

/// How much is dropped at a time.
const PIECE_BYTES: u64 = 64 << 20;

pub(crate) fn run(args: &Args) -> Outcome {
    let mut targets = Targets::find(&args.what.files)?;
    let mut out = output::stdout()?;
    let files = std::mem::take(&mut targets.files);
    let mut in_memory: u64 = 0;
    if args.budget > 0 {
        // What cannot be looked at is said below.
        in_memory = files
            .iter()
            .filter_map(|path| resident_bytes(path).ok())
            .sum();
    }
    let mut surplus = match args.budget {
        0 => u64::MAX,
        budget => in_memory.saturating_sub(budget),
    };
    for path in files.iter().rev() {
        match evict(path, surplus) {
            Ok((residency, bytes)) => {
                surplus = surplus.saturating_sub(bytes);
                report(&mut out, &residency, "evicted", bytes, args.what.json)?;
            }
            Err(error) => targets.failed(&one_line(&error)),
        }
        out.flush()?;
    }
    targets.outcome()
}

fn resident_bytes(path: &PathBuf) -> folio::Result<u64> {
    resident(&Residency::open(path)?)
}

fn resident(residency: &Residency) -> folio::Result<u64> {
    // What is not told may all be there.
    let pages = residency.pages(..)?;
    let count = pages.resident.unwrap_or(pages.pages);
    Ok(count.saturating_mul(page::size() as u64))
}

/// Evicts from a file's end until so much has gone, and says how much has.
fn evict(path: &Path, surplus: u64) -> folio::Result<(Residency, u64)> {
    let residency = Residency::open(path)?;
    let before = resident(&residency)?;
    let bar = progress::of_bytes("evicting", Some(before.min(surplus)));
    let mut gone = 0;
    let mut end = residency.len()?;
    while end > 0 && gone < surplus {
        let len = PIECE_BYTES
            .min(end)
            .min((surplus - gone).max(page::size() as u64));
        // From a page's start: the kernel drops whole ones.
        let start = (end - len).next_multiple_of(page::size() as u64);
        let start = if start >= end {
            start - page::size() as u64
        } else {
            start
        };
        residency.evict(start..end)?;
        end = start;
        gone = before.saturating_sub(resident(&residency)?);
        bar.set_position(gone);
    }
    bar.finish_and_clear();
    Ok((residency, gone))
}
