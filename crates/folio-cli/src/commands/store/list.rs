//! `folio store list FOLDER`

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use folio_table::GenerationInfo;
use indicatif::{HumanBytes, HumanCount, HumanDuration};
use serde_json::{Value, json};

use super::open;
use crate::failure::Outcome;
use crate::output;

/// List the generations of a store, the oldest first.
///
/// One that some process reads is in use, and is not pruned. What maps a generation's file
/// without regard to the store (`folio get FOLDER/00000000000000000001.folio`) does not count.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store's folder.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// Print a JSON object for each.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let list = open(&args.folder)?.list()?;
    let mut out = output::stdout()?;
    if args.json {
        for info in &list {
            writeln!(out, "{}", object(info))?;
        }
    } else {
        writeln!(out, "generation          records         size  written")?;
        let now = SystemTime::now();
        for info in &list {
            writeln!(out, "{}", row(info, now))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn row(info: &GenerationInfo, now: SystemTime) -> String {
    let records = info.records.map(|count| HumanCount(count).to_string());
    let age = now.duration_since(info.written).unwrap_or_default();
    let mut row = format!(
        "{:>10} {:>16} {:>12}  {:<16}",
        info.number,
        records.as_deref().unwrap_or("damaged"),
        HumanBytes(info.size_bytes).to_string(),
        format!("{} ago", HumanDuration(whole_seconds(age))),
    );
    let in_use = match info.in_use {
        Some(true) => Some("in use"),
        Some(false) => None,
        None => Some("perhaps in use"),
    };
    let current = info.is_current.then_some("current");
    let marks: Vec<_> = current.into_iter().chain(in_use).collect();
    if !marks.is_empty() {
        row.push_str("  ");
        row.push_str(&marks.join(", "));
    }
    row.truncate(row.trim_end().len());
    row
}

fn object(info: &GenerationInfo) -> Value {
    let written = info.written.duration_since(SystemTime::UNIX_EPOCH);
    json!({
        "generation": info.number,
        "records": info.records,
        "size_bytes": info.size_bytes,
        "written_unix_seconds": written.unwrap_or_default().as_secs(),
        "current": info.is_current,
        "in_use": info.in_use,
        "path": info.path.to_string_lossy(),
    })
}

fn whole_seconds(age: Duration) -> Duration {
    Duration::from_secs(age.as_secs())
}
