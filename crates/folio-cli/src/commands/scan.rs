//! `folio scan TABLE`

use std::ffi::OsString;
use std::io::Write;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use folio_table::export::{Format, Writer};

use crate::commands::verify::VerifyArgs;
use crate::failure::Outcome;
use crate::output;

/// Print records in the order of their keys, a line each: key, tab, value.
///
/// The order is that of the keys' bytes. A record that has a tab in its key, or a line end, gets an
/// escaped line, as `folio dump` writes it and `folio build` reads it: an empty first
/// field, a backslash as the second, and key and value with \t, \n and \\ in them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The table, as `folio build` made it, or a store's folder.
    table: PathBuf,

    /// Only keys that begin with this.
    #[arg(long)]
    prefix: Option<OsString>,

    /// Only this key and those after it.
    #[arg(long, value_name = "KEY")]
    from: Option<OsString>,

    /// Only keys before this one, which is left out itself.
    #[arg(long, value_name = "KEY")]
    to: Option<OsString>,

    /// Print from the last key to the first.
    #[arg(long)]
    reverse: bool,

    /// Print so many records at most.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,

    #[command(flatten)]
    verify: VerifyArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let table = args.verify.open(&args.table)?;
    let prefix = args.prefix.as_ref().map_or(&[][..], |key| key.as_bytes());
    let mut scan = table.scan_prefix(prefix)?;
    let from = args.from.as_ref().map(|key| key.as_bytes());
    let to = args.to.as_ref().map(|key| key.as_bytes());
    scan.narrow((
        from.map_or(Bound::Unbounded, Bound::Included),
        to.map_or(Bound::Unbounded, Bound::Excluded),
    ))?;
    let mut lines = Writer::new(Format::Tsv, output::stdout()?);
    for _ in 0..args.limit {
        let record = if args.reverse {
            scan.next_record_back()?
        } else {
            scan.next_record()?
        };
        let Some((key, value)) = record else {
            break;
        };
        lines.record(key, value)?;
    }
    lines.into_inner().flush()?;
    Ok(())
}
