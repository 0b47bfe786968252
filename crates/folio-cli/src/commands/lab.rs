//! `folio lab EXPERIMENT`

mod ipc;
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
    Ipc(ipc::Args),
    Windows(windows::Args),
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.experiment {
        Experiment::Ipc(args) => ipc::run(args),
        Experiment::Windows(args) => windows::run(args),
    }
}
