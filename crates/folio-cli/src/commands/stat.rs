//! `folio stat FILE` and `folio stat --pid PID`

mod file;
mod process;
mod table;

pub(crate) use self::file::{extend, pages_json, percent};

use std::io::Write;
use std::path::{Path, PathBuf};

use folio::Residency;
use folio_table::Error;

use crate::commands::store::Opened;
use crate::commands::verify::VerifyArgs;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Print what of a file is in memory, and who has it there; of a table, also what it holds.
///
/// With --pid, print which files a process has in memory, the one with most first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Any file; or a table, as `folio build` made it, or a store's folder.
    #[arg(value_name = "FILE", required_unless_present = "pid")]
    file: Option<PathBuf>,

    /// Look at this process instead.
    #[arg(long, value_name = "PID", conflicts_with = "file")]
    pid: Option<u32>,

    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut out = output::stdout()?;
    if let Some(pid) = args.pid {
        process::print(&mut out, pid, args.json)?;
    } else if let Some(path) = &args.file {
        // First of all: to see whether it is a table reads its beginning in, and what the kernel reads ahead.
        let file = Residency::open(path);
        let pages = file.and_then(|file| file.pages(..)).ok();
        match Opened::at(path, VerifyArgs::default()) {
            Ok(table) => table::print(&mut out, path, &table, pages, args.json)?,
            Err(failure) => {
                // Damaged tables are that; what never was one is a file, if it is one.
                let residency = plain_file(path, &failure).ok_or(failure)?;
                file::print(&mut out, &residency, pages, args.json)?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// The file at a path, when this is why it is no table and it can be mapped.
fn plain_file(path: &Path, failure: &Failure) -> Option<Residency> {
    matches!(failure.cause(), Some(Error::NotATable { .. }))
        .then(|| Residency::open(path).ok())
        .flatten()
        .filter(|residency| residency.file_id().is_ok())
}
