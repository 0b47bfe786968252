//! `folio verify TABLE…`, and `--verify` of other subcommands.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use clap::ValueEnum;
use folio::{ReadAt, View};
use folio_table::{Checked, Findings, Table, Verify};
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use crate::commands::store::Opened;
use crate::failure::{Failure, Outcome, complain, one_line};
use crate::{output, progress};

/// Check tables whole: every checksum, and that records, index and order agree.
///
/// All that is damaged is named, with its place. The exit status is 1 if anything is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tables, as `folio build` made them.
    #[arg(required = true, value_name = "TABLE")]
    tables: Vec<PathBuf>,

    /// How many threads check; by default, one for each processor.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Print a JSON object for each table, one a line.
    #[arg(long)]
    json: bool,
}

/// When checksums are checked, for all subcommands that read records.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct VerifyArgs {
    /// When the checksums of the table's pages are checked.
    #[arg(long, value_enum, default_value = "never", value_name = "WHEN")]
    verify: When,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum When {
    /// Never: those of the header and the footer alone are.
    #[default]
    Never,
    /// All, when the table is opened.
    Open,
    /// Each when something of its page is first read, by any of the processes.
    Touch,
    /// Each whenever something of its page is read.
    Always,
}

impl VerifyArgs {
    /// Opens a table, or a store's current generation, that is checked as was asked for.
    pub(crate) fn open(self, path: &Path) -> Outcome<Opened> {
        Opened::at(path, self)
    }

    /// What the library calls it.
    pub(crate) fn when(self) -> Verify {
        match self.verify {
            When::Never => Verify::Never,
            When::Open => Verify::Open,
            When::Touch => Verify::Touch,
            When::Always => Verify::Always,
        }
    }

    /// The same table, checked from now on as was asked for.
    pub(crate) fn check(self, table: Table<View>) -> Outcome<Table<Checked<View>>> {
        let mut when = self.when();
        if when == Verify::Open {
            // As the library does, but in parallel, and where it can be watched.
            let found = verify(&table, None);
            if let Some(damage) = found.damages.into_iter().next() {
                return Err(damage.error.into());
            }
            when = Verify::Never;
        }
        Ok(table.checked(when)?)
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut out = output::stdout()?;
    let mut is_whole = true;
    for path in &args.tables {
        match Opened::at(path, VerifyArgs::default()) {
            Ok(table) => {
                let found = verify(&table, args.threads);
                is_whole &= found.is_whole();
                if args.json {
                    writeln!(out, "{}", as_json(path, &table, &found))?;
                } else {
                    write(&mut out, path, &table, &found)?;
                }
            }
            Err(error) => {
                is_whole = false;
                let error = error.to_string();
                if args.json {
                    let (table, whole) = (path.to_string_lossy(), false);
                    writeln!(
                        out,
                        "{}",
                        json!({ "table": table, "whole": whole, "error": error })
                    )?;
                }
                complain(&error);
            }
        }
        out.flush()?;
    }
    if is_whole {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

/// Checks a table under a progress bar.
fn verify<B: ReadAt + Sync>(table: &Table<B>, threads: Option<NonZeroUsize>) -> Findings {
    let threads = threads
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let bar = progress::of_bytes("verifying", Some(table.info().file_len));
    let found = table.verify_all(threads, |done| bar.set_position(done));
    bar.finish_and_clear();
    found
}

fn write(out: &mut impl Write, path: &Path, table: &Opened, found: &Findings) -> Outcome {
    for damage in &found.damages {
        let what = one_line(&damage.error);
        match damage.section {
            Some(section) => writeln!(out, "{what} (section: {section})")?,
            None => writeln!(out, "{what}")?,
        }
    }
    let kept = found.damages.len() as u64;
    if found.count > kept {
        let more = HumanCount(found.count - kept);
        writeln!(out, "{}: and {more} places more", path.display())?;
    }
    if found.is_whole() {
        writeln!(
            out,
            "{}: whole: {} records, {}",
            path.display(),
            HumanCount(table.count()),
            HumanBytes(table.info().file_len)
        )?;
    } else {
        out.flush()?;
        let places = if found.count == 1 { "place" } else { "places" };
        let count = HumanCount(found.count);
        complain(&format!("{}: damaged in {count} {places}", path.display()));
    }
    Ok(())
}

fn as_json(path: &Path, table: &Opened, found: &Findings) -> Value {
    let damages: Vec<_> = found
        .damages
        .iter()
        .map(|damage| {
            json!({
                "section": damage.section.map(|section| section.to_string()),
                "offset": damage.offset_bytes,
                "error": one_line(&damage.error),
            })
        })
        .collect();
    json!({
        "table": path.to_string_lossy(),
        "whole": found.is_whole(),
        "records": table.count(),
        "bytes": table.info().file_len,
        "damaged": found.count,
        "damages": damages,
    })
}
