//! `folio dump TABLE [--format tsv|jsonl]`

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use folio_table::export::{Format, Writer};

use crate::commands::verify::VerifyArgs;
use crate::failure::Outcome;
use crate::output;

/// Print all records, so that `folio build` makes the same table of them, byte for byte.
///
/// TSV is one record a line: key, tab, value. A record that has a tab in its key, or a line end, gets an
/// escaped line: an empty first field, a backslash as the second, and key and value with
/// \t, \n and \\ in them. JSON Lines are objects with the fields `key` and
/// `value`, or `key_base64` and `value_base64` for what is not UTF-8.
///
/// For example: `folio dump a.folio | folio build - -o b.folio`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The table, as `folio build` made it, or a store's folder.
    table: PathBuf,

    /// The format to print in.
    #[arg(long, value_enum, default_value = "tsv")]
    format: FormatName,

    #[command(flatten)]
    verify: VerifyArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// Tab-separated: key, tab, value.
    Tsv,
    /// A JSON object a line.
    Jsonl,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let table = args.verify.open(&args.table)?;
    let format = match args.format {
        FormatName::Tsv => Format::Tsv,
        FormatName::Jsonl => Format::JsonLines,
    };
    let mut lines = Writer::new(format, output::stdout()?);
    table.scan(..)?.for_each(|key, value| -> Outcome {
        lines.record(key, value)?;
        Ok(())
    })?;
    lines.into_inner().flush()?;
    Ok(())
}
