//! `folio lock FILE…`

use std::io::Write;
use std::path::PathBuf;

use folio::{Map, Residency};
use indicatif::HumanBytes;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::commands::cat::parse_bytes;
use crate::commands::load::{What, report};
use crate::failure::{Failure, Outcome, one_line, say};
use crate::targets::Targets;
use crate::{output, progress};

/// Keep files in memory, whatever else the machine does, until this command ends.
///
/// Reads them in, locks them, and waits for Ctrl-C.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,

    /// Lock at most this much, from the first file on; K, M, G or T after the number multiply by
    /// powers of 1024.
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    budget: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    // First of all, so that a signal that comes early is one as well.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let mut targets = Targets::find(&args.what.files)?;
    let mut out = output::stdout()?;
    let mut left = args.budget.unwrap_or(u64::MAX);
    let mut locked = Vec::new();
    for path in std::mem::take(&mut targets.files) {
        if signals.pending().next().is_some() {
            return Ok(());
        }
        match lock(&path, left) {
            Ok((map, bytes)) => {
                left -= bytes;
                report(
                    &mut out,
                    &Residency::open(&path)?,
                    "locked",
                    bytes,
                    args.what.json,
                )?;
                locked.push(map);
            }
            Err(error) => targets.failed(&explain(&error)),
        }
        out.flush()?;
    }
    if locked.is_empty() {
        return Err(Failure::Reported);
    }
    let total = args.budget.unwrap_or(u64::MAX) - left;
    say(&format!("{} locked; Ctrl-C lets go", HumanBytes(total)));
    signals.forever().next();
    targets.outcome()
}

/// Locks as much of a file as there is left.
fn lock(path: &PathBuf, left: u64) -> folio::Result<(Map, u64)> {
    let size = Residency::open(path)?.len()?;
    let map = Map::open(path)?;
    let bar = progress::of_bytes("locking", Some(size.min(left)));
    let locked = map.lock_within(.., left, |done| bar.set_position(done));
    bar.finish_and_clear();
    locked.map(|bytes| (map, bytes))
}

fn explain(error: &folio::Error) -> String {
    let line = one_line(error);
    let is_refused = match error {
        folio::Error::Io { source, .. } => matches!(
            source.kind(),
            std::io::ErrorKind::OutOfMemory | std::io::ErrorKind::PermissionDenied
        ),
        _ => false,
    };
    if is_refused {
        format!("{line} (`ulimit -l` says how much may be locked)")
    } else {
        line
    }
}
