//! `folio get TABLE KEY…`

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::commands::verify::VerifyArgs;
use crate::failure::{Failure, Outcome, complain};
use crate::output;

/// Print the values of keys, each with a newline, in the order asked.
///
/// A key that is not in the table is named on stderr, and the exit status is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The table, as `folio build` made it.
    table: PathBuf,

    /// The keys. Their bytes are used as they come.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,

    #[command(flatten)]
    verify: VerifyArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let table = args.verify.open(&args.table)?;
    let mut out = output::stdout()?;
    let mut value = Vec::new();
    let mut is_missing = false;
    for key in &args.keys {
        value.clear();
        if table.get_into(key.as_bytes(), &mut value)? {
            value.push(b'\n');
            out.write_all(&value)?;
        } else {
            is_missing = true;
            complain(&format!(
                "{}: no such key: {}",
                args.table.display(),
                key.to_string_lossy().escape_debug()
            ));
        }
    }
    out.flush()?;
    if is_missing {
        Err(Failure::Reported)
    } else {
        Ok(())
    }
}
