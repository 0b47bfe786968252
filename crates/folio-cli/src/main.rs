//! The `folio` command: build, look up, serve and inspect files shared as memory.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod failure;
mod output;
mod progress;
mod svg;
mod targets;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::Outcome;

fn main() -> ExitCode {
    // Wrong usage ends in here, with status 2.
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Build(args) => commands::build::run(&args),
        Command::Get(args) => commands::get::run(&args),
        Command::Scan(args) => commands::scan::run(&args),
        Command::Dump(args) => commands::dump::run(&args),
        Command::Serve(args) => commands::serve::run(args),
        Command::Stat(args) => commands::stat::run(&args),
        Command::Map(args) => commands::map::run(&args),
        Command::Load(args) => commands::load::run(&args),
        Command::Evict(args) => commands::evict::run(&args),
        Command::Lock(args) => commands::lock::run(&args),
        Command::Store(args) => commands::store::run(&args),
        Command::Region(args) => commands::region::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::Cat(args) => commands::cat::run(&args),
        Command::Probe(args) => commands::probe::run(&args),
        Command::Lab(args) => commands::lab::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args),
    }
}
