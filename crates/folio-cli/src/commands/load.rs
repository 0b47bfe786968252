//! `folio load FILE…`

use std::io::Write;
use std::path::{Path, PathBuf};

use folio::Residency;
use indicatif::HumanBytes;
use serde_json::json;

use crate::commands::cat::parse_bytes;
use crate::commands::stat::{extend, pages_json};
use crate::failure::{Outcome, one_line};
use crate::targets::Targets;
use crate::{output, progress};

/// Read files into memory, so that whoever reads or maps them next waits for no disk.
///
/// They stay until memory is short; `folio lock` keeps them there.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) what: What,

    /// Read at most this much, from the first file on; K, M, G or T after the number multiply by
    /// powers of 1024.
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    budget: Option<u64>,
}

/// Which files, for all subcommands that have pages come and go.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// Files; folders, with all files in them; or patterns such as `'data/**/*.bin'`.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Print a JSON object for each file, one a line.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut targets = Targets::find(&args.what.files)?;
    let mut out = output::stdout()?;
    let mut left = args.budget.unwrap_or(u64::MAX);
    for path in std::mem::take(&mut targets.files) {
        match load(&path, left) {
            Ok((residency, bytes)) => {
                left -= bytes;
                report(&mut out, &residency, "loaded", bytes, args.what.json)?;
            }
            Err(error) => targets.failed(&one_line(&error)),
        }
        out.flush()?;
    }
    targets.outcome()
}

/// Loads as much of a file as there is left, and says how much that is.
fn load(path: &Path, left: u64) -> folio::Result<(Residency, u64)> {
    let residency = Residency::open(path)?;
    let bytes = residency.len()?.min(left);
    let bar = progress::of_bytes("loading", Some(bytes));
    let loaded = residency.load(..bytes, |done| bar.set_position(done));
    bar.finish_and_clear();
    loaded.map(|()| (residency, bytes))
}

/// Prints what was done to how much of a file, and what of it is in memory now.
pub(crate) fn report(
    out: &mut impl Write,
    residency: &Residency,
    what: &str,
    bytes: u64,
    as_json: bool,
) -> Outcome {
    let pages = residency.pages(..)?;
    let path = residency.path();
    if as_json {
        let mut object = json!({
            "file": path.to_string_lossy(),
            "bytes": pages.len_bytes,
        });
        let done = [(format!("{what}_bytes"), bytes.into())];
        extend(
            &mut object,
            serde_json::Value::Object(done.into_iter().collect()),
        );
        extend(&mut object, pages_json(&pages));
        writeln!(out, "{object}")?;
        return Ok(());
    }
    let size = pages.len_bytes;
    let in_memory = match pages.resident {
        // The last page may be there in part only, as a file goes.
        Some(resident) => HumanBytes(
            resident
                .saturating_mul(folio_sys::page::size() as u64)
                .min(size),
        )
        .to_string(),
        None => "an unknown part".to_owned(),
    };
    writeln!(
        out,
        "{}: {what} {}; {in_memory} of {} in memory",
        path.display(),
        HumanBytes(bytes),
        HumanBytes(size)
    )?;
    Ok(())
}
