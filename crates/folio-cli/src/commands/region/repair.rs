//! `folio region repair PATH`

use std::io::Write;

use folio_ipc::{Region, Repaired};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::{Shown, explain};
use crate::failure::{Outcome, say};
use crate::output;

/// Clean up behind the dead, and check the heap and the directory.
///
/// Locks whose owner is none that can be are taken from it: the next to lock one is told that its owner died.
/// What a living process holds is never touched.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    shown: Shown,
}

pub(super) fn run(args: &Args) -> Outcome {
    let region = Region::open(&args.shown.path).map_err(explain)?;
    let repaired = region.repair()?;
    if args.shown.json {
        let mut out = output::stdout()?;
        writeln!(out, "{}", object(args, &repaired))?;
        out.flush()?;
        return Ok(());
    }
    say(&format!(
        "{}: {} dead processes cleaned up behind, {} threads, {} locks released, {} blocks ({}) freed; \
         heap and directory are in order",
        args.shown.path.display(),
        repaired.participants,
        repaired.threads,
        repaired.locks,
        repaired.blocks,
        HumanBytes(repaired.block_bytes),
    ));
    Ok(())
}

fn object(args: &Args, repaired: &Repaired) -> Value {
    json!({
        "region": args.shown.path.to_string_lossy(),
        "participants": repaired.participants,
        "threads": repaired.threads,
        "locks": repaired.locks,
        "blocks": repaired.blocks,
        "block_bytes": repaired.block_bytes,
    })
}
