//! `folio man [SUBCOMMAND] [--out FOLDER]`

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory};

use crate::args::Cli;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Print a man page, or write all of them to a folder.
///
/// To read one: `folio man serve | man -l -`. To install all:
/// `folio man --out ~/.local/share/man/man1`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The subcommand to print the page of; without it, folio's own page.
    #[arg(conflicts_with = "out")]
    subcommand: Option<String>,

    /// Write every page to this folder, which is made if need be.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut folio = Cli::command();
    folio.build();
    if let Some(folder) = &args.out {
        let failed = |error| {
            let error: std::io::Error = error;
            Failure::new(format!(
                "{}: cannot write man pages: {error}",
                folder.display()
            ))
        };
        fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(folio, folder).map_err(failed)?;
        return Ok(());
    }
    let page = match &args.subcommand {
        None => folio,
        Some(name) => folio
            .find_subcommand(name)
            .cloned()
            .unwrap_or_else(|| no_subcommand(folio, name)),
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    let mut out = output::stdout()?;
    out.write_all(&text)?;
    out.flush()?;
    Ok(())
}

/// Ends as clap does when usage is wrong.
fn no_subcommand(folio: Command, name: &str) -> ! {
    let mut man = folio.find_subcommand("man").cloned().unwrap_or(folio);
    let problem = format!("no subcommand is called '{name}'");
    man.error(ErrorKind::InvalidSubcommand, problem).exit()
}
