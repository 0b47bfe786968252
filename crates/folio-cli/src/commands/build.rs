//! `folio build INPUT -o OUT.folio`

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use folio::Source;
use folio_table::import::{self, Format};
use folio_table::{Builder, Error, IndexKind, Info, OnDuplicate};
use indicatif::{HumanBytes, HumanCount};

use crate::commands::cat;
use crate::failure::{Failure, Outcome, one_line, say};
use crate::progress;

/// Build a table from TSV, CSV or JSON Lines.
///
/// TSV has no header: the first field is the key, the rest of the line the value. CSV has
/// one: the key is a column, the value another, or the whole row as JSON. In JSON Lines
/// the key is a field, and the value the line.
///
/// The table is written beside OUT and renamed into place when it is complete and on
/// disk, so that OUT is the old table or the new one at any moment.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file, or `-` for standard input.
    input: PathBuf,

    /// The table to write.
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,

    /// What finds a key's record in the table.
    #[arg(long, value_enum, default_value = "hash", value_name = "KIND")]
    index: IndexName,

    #[command(flatten)]
    options: InputArgs,
}

/// How an input is read, for all subcommands that read one.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputArgs {
    /// The input's format; by default, by the ending of its name, and otherwise TSV.
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatName>,

    /// The column (CSV, by name or number from 1) or field (JSON Lines) that is the key.
    /// By default the first column, or the field `key`.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) key: Option<String>,

    /// The column or field that is the value; by default the whole row as JSON, or the line.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) value: Option<String>,

    /// Which value a key gets that comes more than once.
    #[arg(long, value_enum, default_value = "error", value_name = "WHICH")]
    pub(crate) on_duplicate: Duplicates,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
enum IndexName {
    /// The fastest: 7.5 bytes a record.
    Hash,
    /// The smallest: 0.7 bytes a record.
    Perfect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum FormatName {
    /// Tab-separated: key, tab, value.
    Tsv,
    /// Comma-separated, with a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Duplicates {
    /// None: it is an error that names both lines.
    Error,
    /// The first one.
    First,
    /// The last one.
    Last,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let source = cat::open(&args.input)?;
    let index = match args.index {
        IndexName::Hash => IndexKind::Hash,
        IndexName::Perfect => IndexKind::Perfect,
    };
    let imported = import(&[source], &args.options)?.index(index);
    let info = imported.write_to(&args.output)?;
    say(&format!(
        "{}: {} records, {}",
        args.output.display(),
        HumanCount(info.count),
        HumanBytes(info.file_len)
    ));
    Ok(())
}

/// All records of an input, on their way into a table.
#[derive(Debug)]
pub(crate) struct Imported {
    builder: Builder,
    /// The inputs' names, for errors.
    inputs: String,
}

impl Imported {
    /// Sets which index the table gets.
    fn index(self, index: IndexKind) -> Self {
        Self {
            builder: self.builder.index(index),
            ..self
        }
    }

    /// Writes them as a table, whole or not at all.
    pub(crate) fn write_to(self, path: &Path) -> Outcome<Info> {
        let Self { builder, inputs } = self;
        builder
            .write_to(path)
            .map_err(|error| explain(error, &inputs))
    }
}

/// Reads all records of all inputs.
pub(crate) fn import(sources: &[Source], args: &InputArgs) -> Outcome<Imported> {
    let mut builder = Builder::new().on_duplicate(match args.on_duplicate {
        Duplicates::Error => OnDuplicate::Error,
        Duplicates::First => OnDuplicate::First,
        Duplicates::Last => OnDuplicate::Last,
    });
    for source in sources {
        let mut options = import::Options::new(args.format_of(source.path()));
        options.key.clone_from(&args.key);
        options.value.clone_from(&args.value);
        let bar = progress::of_bytes("reading", source.len());
        let outcome = import::read_into(
            source.reader(),
            source.path(),
            &options,
            &mut builder,
            |done| bar.set_position(done),
        );
        bar.finish_and_clear();
        outcome.map_err(|error| explain(error, &source.path().display().to_string()))?;
    }
    let names = sources
        .iter()
        .map(|source| source.path().display().to_string());
    Ok(Imported {
        builder,
        inputs: names.collect::<Vec<_>>().join(", "),
    })
}

/// Names the inputs in errors about all the records together, which name no file, and
/// adds what can be done about them.
fn explain(error: Error, inputs: &str) -> Failure {
    let named = format!("{inputs}: {}", one_line(&error));
    match error {
        Error::DuplicateKey { .. } => {
            Failure::new(named).hint("--on-duplicate last (or first) keeps one of them")
        }
        Error::OutOfMemory { .. } | Error::TooLarge { .. } | Error::NoSeed { .. } => {
            Failure::new(named)
        }
        error => error.into(),
    }
}

impl InputArgs {
    /// The format asked for, else the one that the name tells.
    fn format_of(&self, path: &Path) -> Format {
        match self.format {
            Some(FormatName::Tsv) => Format::Tsv,
            Some(FormatName::Csv) => Format::Csv,
            Some(FormatName::Jsonl) => Format::JsonLines,
            None => Format::from_path(path).unwrap_or(Format::Tsv),
        }
    }
}
