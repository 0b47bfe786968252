//! `folio region repair PATH`

use std::path::PathBuf;

use folio_ipc::Region;
use indicatif::HumanBytes;

use super::explain;
use crate::failure::{Outcome, say};

/// Clean up behind the dead, and check the heap and the directory.
///
/// What a living process holds is never touched.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The region's file.
    path: PathBuf,
}

pub(super) fn run(args: &Args) -> Outcome {
    let region = Region::open(&args.path).map_err(explain)?;
    let repaired = region.repair()?;
    say(&format!(
        "{}: {} dead processes cleaned up behind, {} threads, {} blocks ({}) freed; heap and directory are in order",
        args.path.display(),
        repaired.participants,
        repaired.threads,
        repaired.blocks,
        HumanBytes(repaired.block_bytes),
    ));
    Ok(())
}
