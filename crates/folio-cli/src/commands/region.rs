//! `folio region list|stat|objects|participants|locks|repair|remove PATH`

mod list;
mod locks;
mod objects;
mod participants;
mod remove;
mod repair;
mod sightings;
mod stat;

use std::path::{Path, PathBuf};
use std::time::Duration;

use folio_ipc::{Error, Inspection, Region};

use crate::failure::{Failure, Outcome};

/// Look at regions, the memory that processes share, and clean up behind the dead.
///
/// To look at a region is to disturb nobody: nothing is locked, and nothing is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    List(list::Args),
    Stat(stat::Args),
    Objects(objects::Args),
    Participants(participants::Args),
    Locks(locks::Args),
    Repair(repair::Args),
    Remove(remove::Args),
}

/// Which region, and in what form it is shown.
#[derive(Debug, clap::Args)]
struct Shown {
    /// The region's file.
    path: PathBuf,

    /// Print JSON instead.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.action {
        Action::List(args) => list::run(args),
        Action::Stat(args) => stat::run(args),
        Action::Objects(args) => objects::run(args),
        Action::Participants(args) => participants::run(args),
        Action::Locks(args) => locks::run(args),
        Action::Repair(args) => repair::run(args),
        Action::Remove(args) => remove::run(args),
    }
}

/// All there is to be seen of a region, without becoming a participant of it.
fn inspect(path: &Path) -> Outcome<Inspection> {
    let inspection = Region::observe(path).and_then(|observer| observer.inspect());
    inspection.map_err(explain)
}

/// Adds what can be done about it.
fn explain(error: Error) -> Failure {
    let hint = match error {
        Error::NotARegion { .. } => {
            Some("folio region list FOLDER shows the regions that there are")
        }
        Error::Damaged { .. } => Some("folio region repair PATH puts in order what can be"),
        _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A time, in the largest unit that leaves a digit before the point.
fn duration(nanoseconds: u64) -> String {
    let time = Duration::from_nanos(nanoseconds);
    match time.as_secs() {
        0 => format!("{time:.0?}"),
        1..120 => format!("{time:.1?}"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        let second = 1_000_000_000;
        for (nanoseconds, text) in [
            (0, "0ns"),
            (2_400, "2µs"),
            (7 * second / 2, "3.5s"),
            (119 * second, "119.0s"),
            (121 * second, "2 min"),
            (3 * 3600 * second, "3 h"),
            (50 * 3600 * second, "2 days"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
    }
}
