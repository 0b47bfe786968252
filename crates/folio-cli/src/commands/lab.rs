//! `folio lab EXPERIMENT`

mod chart;
mod dirty;
mod ipc;
mod paging;
mod pressure;
mod program;
mod report;
mod share;
mod windows;

use crate::failure::Outcome;

/// See for yourself what folio claims, on this machine.
///
/// Each experiment prints what it did and found, and a verdict; the exit status is 1 if the
/// claim does not hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    experiment: Experiment,
}

#[derive(Debug, clap::Subcommand)]
enum Experiment {
    Share(share::Args),
    Paging(paging::Args),
    Dirty(dirty::Args),
    Ipc(ipc::Args),
    Windows(windows::Args),
    #[command(hide = true)]
    Program(program::Args),
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.experiment {
        Experiment::Share(args) => share::run(args),
        Experiment::Paging(args) => paging::run(args),
        Experiment::Dirty(args) => dirty::run(args),
        Experiment::Ipc(args) => ipc::run(args),
        Experiment::Windows(args) => windows::run(args),
        Experiment::Program(args) => program::run(args),
    }
}
