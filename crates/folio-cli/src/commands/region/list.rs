//! `folio region list [PATH…]`

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use folio_ipc::{Error, Inspection, Region};
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use super::stat::living;
use crate::failure::{Failure, Outcome, complain, one_line};
use crate::output;

/// List regions: how large they are, and how many use them.
///
/// Of a folder, all the regions in it; files that are none are passed over there.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files and folders.
    #[arg(value_name = "PATH", default_value = "/dev/shm")]
    paths: Vec<PathBuf>,

    /// Print a JSON object for each.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut out = output::stdout()?;
    if !args.json {
        writeln!(out, "        size  participants   objects  region")?;
    }
    let mut is_well = true;
    for path in &args.paths {
        for (path, is_named) in files(path)? {
            match Region::observe(&path).and_then(|observer| observer.inspect()) {
                Ok(seen) if args.json => writeln!(out, "{}", object(&path, &seen))?,
                Ok(seen) => writeln!(out, "{}", row(&path, &seen))?,
                Err(Error::NotARegion { .. }) if !is_named => (),
                Err(error) => {
                    complain(&one_line(&error));
                    is_well = false;
                }
            }
        }
    }
    out.flush()?;
    if is_well {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

/// The file itself, or those in a folder; and whether it was named.
fn files(path: &Path) -> Outcome<Vec<(PathBuf, bool)>> {
    if !path.is_dir() {
        return Ok(vec![(path.to_owned(), true)]);
    }
    let failed = |error| Failure::new(format!("{}: cannot list: {error}", path.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A pipe or a device would not answer.
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            files.push((entry.path(), false));
        }
    }
    files.sort();
    Ok(files)
}

fn row(path: &Path, seen: &Inspection) -> String {
    format!(
        "{:>12} {:>13} {:>9}  {}",
        HumanBytes(seen.region.size_bytes).to_string(),
        living(seen),
        HumanCount(seen.objects.len() as u64).to_string(),
        path.display()
    )
}

fn object(path: &Path, seen: &Inspection) -> Value {
    json!({
        "region": path.to_string_lossy(),
        "size_bytes": seen.region.size_bytes,
        "participants_living": living(seen),
        "objects": seen.objects.len(),
    })
}
