//! `folio build INPUT -o OUT.folio`

mod cleaning;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use folio::{Kind, Source};
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
/// disk, so that OUT is the old table or the new one at any moment. The input may be larger
/// than memory: what does not fit is sorted in temporary files, in the same folder.
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
    memory: MemoryArgs,

    #[command(flatten)]
    options: InputArgs,
}

/// With how much memory a table is built, for all subcommands that build one.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct MemoryArgs {
    /// How much memory to build with, beside some MiB for the program itself; K, M, G or T (or KiB,
    /// MiB, GiB, TiB) after the number multiply by powers of 1024. At least 1M.
    #[arg(long, value_name = "SIZE", default_value = DEFAULT_MEMORY, value_parser = parse_memory)]
    memory: u64,
}

/// Less would be spent on writing and reading temporary files over and over.
const LEAST_MEMORY_BYTES: u64 = 1 << 20;

/// What the library takes by itself.
#[cfg(target_pointer_width = "64")]
const DEFAULT_MEMORY: &str = "1G";
#[cfg(not(target_pointer_width = "64"))]
const DEFAULT_MEMORY: &str = "256M";

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
    cleaning::before_signals_end_us()?;
    let source = open_in_order(&args.input)?;
    let index = match args.index {
        IndexName::Hash => IndexKind::Hash,
        IndexName::Perfect => IndexKind::Perfect,
    };
    let builder = args.memory.builder().index(index);
    let info = import(builder, &[source], &args.options, folder_of(&args.output))?
        .write_to(&args.output)?;
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
    /// Writes them as a table, whole or not at all.
    pub(crate) fn write_to(self, path: &Path) -> Outcome<Info> {
        self.write(|builder, progress| builder.write_with_progress(path, progress))
    }

    /// Writes them as a table into a file that has no name.
    pub(crate) fn write_unnamed(self, folder: &Path) -> Outcome<File> {
        self.write(|builder, progress| builder.write_unnamed(folder, progress))
    }

    fn write<T>(
        self,
        write: impl FnOnce(Builder, &mut dyn FnMut(u64)) -> folio_table::Result<T>,
    ) -> Outcome<T> {
        let Self { builder, inputs } = self;
        let bar = progress::of_records("writing", builder.added());
        let written = write(builder, &mut |done| bar.set_position(done));
        bar.finish_and_clear();
        written.map_err(|error| explain(error, &inputs))
    }
}

/// The folder of a file to be written.
pub(crate) fn folder_of(output: &Path) -> &Path {
    match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Reads all records of all inputs into a builder, for a table that is to be written to a file in `folder`.
pub(crate) fn import(
    builder: Builder,
    sources: &[Source],
    args: &InputArgs,
    folder: &Path,
) -> Outcome<Imported> {
    let builder = builder.on_duplicate(match args.on_duplicate {
        Duplicates::Error => OnDuplicate::Error,
        Duplicates::First => OnDuplicate::First,
        Duplicates::Last => OnDuplicate::Last,
    });
    let mut builder = builder.temporary_folder(folder);
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

/// Opens an input without mapping it: it is read once, from its beginning to its end, and the pages
/// of a mapping would count as memory of this process.
pub(crate) fn open_in_order(path: &Path) -> Outcome<Source> {
    in_order(cat::open(path)?, path)
}

/// The same of what is open already, by the path that was asked for.
pub(crate) fn in_order(source: Source, path: &Path) -> Outcome<Source> {
    if !matches!(source.kind(), Kind::Mapped | Kind::Windowed) {
        return Ok(source);
    }
    let options = Source::options().kind(Kind::Positioned);
    if path == Path::new("-") {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        return Ok(options.of_file(File::from(stdin), source.path())?);
    }
    Ok(options.open(path)?)
}

fn parse_memory(text: &str) -> Result<u64, String> {
    let memory = cat::parse_bytes(text)?;
    if memory < LEAST_MEMORY_BYTES {
        return Err("at least 1M is needed".to_owned());
    }
    Ok(memory)
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

impl MemoryArgs {
    pub(crate) fn builder(self) -> Builder {
        Builder::new().memory_bytes(self.memory)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_a_least_amount() {
        assert_eq!(parse_memory("256M"), Ok(256 << 20));
        assert_eq!(parse_memory("1048576"), Ok(LEAST_MEMORY_BYTES));
        assert!(parse_memory(DEFAULT_MEMORY).is_ok());
        assert_eq!(
            parse_memory("1023K"),
            Err("at least 1M is needed".to_owned())
        );
        assert!(parse_memory("much").is_err());
    }
}
