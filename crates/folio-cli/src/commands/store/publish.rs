//! `folio store publish FOLDER TABLE|INPUT…`

use std::path::{Path, PathBuf};

use folio_table::import::Format;
use folio_table::{Store, Table};
use indicatif::{HumanBytes, HumanCount};

use crate::commands::build::{self, InputArgs, MemoryArgs};
use crate::failure::{Failure, Outcome, say};

/// Make a table, or what is built from inputs, the current generation.
///
/// A table is copied, and the copy verified. Inputs, as `folio build` takes them, become one table, which
/// is built in the store's folder. The folder is made if there is none, or none with anything in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store's folder.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// A table; or TSV, CSV or JSON Lines, one or more; `-` reads standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    memory: MemoryArgs,

    #[command(flatten)]
    input: InputArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let number = match args.paths.as_slice() {
        [table] if !is_input(table, &args.input) => {
            // Not to leave an empty store where there is nothing to publish.
            Table::open(table).map_err(explain)?;
            Store::create(&args.folder)?.publish(table)?
        }
        paths => {
            let sources = paths.iter().map(|path| {
                if is_input(path, &args.input) {
                    return build::open_in_order(path);
                }
                Err(Failure::new(format!(
                    "{}: several paths are several inputs, and this is none by its name",
                    path.display()
                ))
                .hint("say what they are: --format tsv, csv or jsonl"))
            });
            let sources = sources.collect::<Outcome<Vec<_>>>()?;
            let store = Store::create(&args.folder)?;
            store.publish_with(|path| {
                let builder = args.memory.builder();
                build::import(builder, &sources, &args.input, build::folder_of(path))?
                    .write_to(path)
            })?
        }
    };
    report(&args.folder, number)
}

fn is_input(path: &Path, input: &InputArgs) -> bool {
    path == Path::new("-") || input.format.is_some() || Format::from_path(path).is_some()
}

/// What has to be known is the number; the rest is a courtesy.
fn report(folder: &Path, number: u64) -> Outcome {
    let list = Store::open(folder)?.list()?;
    let details = list
        .iter()
        .find(|info| info.number == number)
        .map(|info| {
            let records = info.records.unwrap_or_default();
            format!(
                ": {} records, {}",
                HumanCount(records),
                HumanBytes(info.size_bytes)
            )
        })
        .unwrap_or_default();
    say(&format!(
        "{}: generation {number}{details}",
        folder.display()
    ));
    Ok(())
}

fn explain(error: folio_table::Error) -> Failure {
    let is_other = matches!(error, folio_table::Error::NotATable { .. });
    let failure = Failure::from(error);
    if is_other {
        failure.hint("to build a table from it first, say what it is: --format tsv, csv or jsonl")
    } else {
        failure
    }
}
