//! `folio completions SHELL`

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Outcome;
use crate::output;

/// Print a completion script for a shell.
///
/// For bash: `folio completions bash > ~/.local/share/bash-completion/completions/folio`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to print it for.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "folio", &mut script);
    let mut out = output::stdout()?;
    out.write_all(&script)?;
    out.flush()?;
    Ok(())
}
