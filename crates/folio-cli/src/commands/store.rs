//! `folio store publish|list|rollback|prune FOLDER`

mod list;
mod publish;

use std::ops::Deref;
use std::path::{Path, PathBuf};

use folio::View;
use folio_table::{Checked, Error, Store, StoreReader, Table};
use indicatif::HumanBytes;

use crate::commands::verify::VerifyArgs;
use crate::failure::{Failure, Outcome, say};

/// Keep generations of a table in a folder, of which one is current.
///
/// Readers, `folio serve FOLDER` among them, go on to what is published without a pause.
/// Whatever happens to a publisher, the current generation is the old one or the new one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Publish(publish::Args),
    List(list::Args),
    Rollback(RollbackArgs),
    Prune(PruneArgs),
}

/// Make an earlier generation current again.
///
/// The one that is given up stays, and its number is not used again.
#[derive(Debug, clap::Args)]
struct RollbackArgs {
    /// The store's folder.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// The generation's number; by default the one that was current before the current one
    /// was published.
    #[arg(value_name = "GENERATION")]
    generation: Option<u64>,
}

/// Remove old generations that no process reads, and what killed publishers left.
#[derive(Debug, clap::Args)]
struct PruneArgs {
    /// The store's folder.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// How many of the newest generations stay; the current one does in any case.
    #[arg(long, value_name = "N", default_value = "2")]
    keep: usize,
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.action {
        Action::Publish(args) => publish::run(args),
        Action::List(args) => list::run(args),
        Action::Rollback(args) => rollback(args),
        Action::Prune(args) => prune(args),
    }
}

fn rollback(args: &RollbackArgs) -> Outcome {
    let store = open(&args.folder)?;
    let number = store.rollback(args.generation).map_err(|error| {
        let is_missing = matches!(error, Error::NoGeneration { .. });
        let failure = Failure::from(error);
        if is_missing {
            failure.hint("folio store list FOLDER shows those that there are")
        } else {
            failure
        }
    })?;
    say(&format!(
        "{}: generation {number} is current",
        args.folder.display()
    ));
    Ok(())
}

fn prune(args: &PruneArgs) -> Outcome {
    let pruned = open(&args.folder)?.prune(args.keep)?;
    let in_use = match pruned.in_use.as_slice() {
        [] => String::new(),
        numbers => format!("; in use: {}", generations(numbers)),
    };
    let leftovers = match pruned.leftovers {
        0 => String::new(),
        count => format!("; left by killed publishers: {count}"),
    };
    say(&format!(
        "{}: removed {}, {}{in_use}{leftovers}",
        args.folder.display(),
        generations(&pruned.removed),
        HumanBytes(pruned.freed_bytes)
    ));
    Ok(())
}

/// Opens the store in a folder.
pub(crate) fn open(folder: &Path) -> Outcome<Store> {
    Store::open(folder).map_err(explain)
}

/// Adds what can be done where there is nothing to read.
pub(crate) fn explain(error: Error) -> Failure {
    let hint = match error {
        Error::NotAStore { .. } => Some("folio store publish FOLDER TABLE makes one"),
        Error::EmptyStore { .. } => Some("folio store publish FOLDER TABLE makes the first one"),
        _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A table, alone or as a store's current generation.
#[derive(Debug)]
pub(crate) enum Opened {
    Table(Table<Checked<View>>),
    Generation(StoreReader<Checked<View>>),
}

impl Opened {
    /// Opens what is at a path, a table's file or a store's folder, to be checked as was asked for.
    pub(crate) fn at(path: &Path, verify: VerifyArgs) -> Outcome<Self> {
        if Store::is_at(path) {
            let reader = open(path)?.checked_reader(verify.when());
            Ok(Self::Generation(reader.map_err(explain)?))
        } else {
            Ok(Self::Table(verify.check(Table::open(path)?)?))
        }
    }
}

impl Deref for Opened {
    type Target = Table<Checked<View>>;

    fn deref(&self) -> &Table<Checked<View>> {
        match self {
            Self::Table(table) => table,
            Self::Generation(reader) => reader.current().table(),
        }
    }
}

fn generations(numbers: &[u64]) -> String {
    let list: Vec<_> = numbers.iter().map(u64::to_string).collect();
    match numbers.len() {
        0 => "no generation".to_owned(),
        1 => format!("generation {}", list.concat()),
        _ => format!("generations {}", list.join(", ")),
    }
}
