//! `folio region remove PATH`

use std::fs;
use std::path::PathBuf;

use folio_ipc::Region;

use super::{explain, inspect, stat::living};
use crate::failure::{Failure, Outcome, say};

/// Remove a region that no process has open, or one of its objects.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The region's file.
    path: PathBuf,

    /// Remove this object alone. Its name is gone at once; its memory, when nobody uses it any more.
    #[arg(long, value_name = "NAME")]
    object: Option<String>,

    /// Remove the region also if processes have it open: they keep it, and nobody else finds it.
    #[arg(long, conflicts_with = "object")]
    force: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let path = args.path.display();
    if let Some(name) = &args.object {
        let region = Region::open(&args.path).map_err(explain)?;
        if !region.remove(name)? {
            let failure = Failure::new(format!("{path}: no object is called {name:?}"));
            return Err(failure.hint("folio region objects PATH shows those that there are"));
        }
        say(&format!("{path}: removed object {name:?}"));
        return Ok(());
    }
    // A file that is no region is not ours to remove.
    let users = living(&inspect(&args.path)?);
    if users > 0 && !args.force {
        let failure = Failure::new(format!("{path}: {users} processes have it open"));
        return Err(failure
            .hint("folio region participants PATH shows them; --force removes it all the same"));
    }
    fs::remove_file(&args.path)
        .map_err(|error| Failure::new(format!("{path}: cannot remove: {error}")))?;
    say(&format!("{path}: removed"));
    Ok(())
}
