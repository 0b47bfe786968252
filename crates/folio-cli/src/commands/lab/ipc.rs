//! `folio lab ipc`

mod child;
mod crew;
mod ledger;
mod shared;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::HumanCount;

use self::crew::Crew;
use self::ledger::Kind;
use self::shared::Shared;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Bump counters that processes share, each under a lock, while the processes are killed at random.
///
/// Each process adds to a counter of the region and to a tally of its own, over and over, under one lock of each kind in
/// turn. Whoever is killed leaves a half-done change to the next, which finishes it. In the end the counter
/// must be the sum of the tallies, nobody may hang, and nobody may have seen a sum that was wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many processes.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=ledger::MOST_PROCESSES as i64))]
    processes: u32,

    /// How long, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,

    /// How many milliseconds between two kills; 0: nobody is killed.
    #[arg(long, value_name = "MS", default_value = "20")]
    kill_every_ms: u32,

    /// Where the region is made for the while.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// Be the process of that number; the region is the folder's.
    #[arg(long, value_name = "NUMBER", hide = true, requires = "folder")]
    child: Option<u32>,
}

/// How long the processes may take to see that it is over.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(args: &Args) -> Outcome {
    if let (Some(number), Some(region)) = (args.child, &args.folder) {
        return child::run(region, number);
    }
    let shared_memory = Path::new("/dev/shm");
    let folder = match &args.folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None if shared_memory.is_dir() => tempfile::tempdir_in(shared_memory),
        None => tempfile::tempdir(),
    };
    let folder = folder.map_err(|error| {
        Failure::new(format!("cannot make a folder for the region: {error}"))
            .hint("--folder names another place")
    })?;
    let path = folder.path().join("region");
    let shared = Shared::create(&path)?;
    let findings = experiment(args, &path, &shared)?;
    findings.print(args)
}

/// What was found.
struct Findings {
    /// How often a process was killed.
    kills: u64,
    /// How many processes did not see that it was over.
    hung: usize,
    took: Duration,
    /// Of each kind of lock.
    locks: Vec<OfLock>,
}

struct OfLock {
    kind: Kind,
    operations: u64,
    recoveries: u64,
    /// How often somebody who had the lock, and was told of no death, saw a wrong sum.
    wrong_seen: u64,
    is_sum_right: bool,
}

fn experiment(args: &Args, path: &Path, shared: &Shared) -> Outcome<Findings> {
    let mut crew = Crew::start(path, args.processes)?;
    let start = Instant::now();
    let (end, mut next_kill) = (
        Duration::from_secs(args.seconds.into()),
        Duration::from_millis(args.kill_every_ms.into()),
    );
    let mut kills = 0;
    while start.elapsed() < end {
        let next = if args.kill_every_ms == 0 {
            end
        } else {
            next_kill.min(end)
        };
        std::thread::sleep(next.saturating_sub(start.elapsed()));
        if next < end {
            crew.kill_one()?;
            kills += 1;
            next_kill += Duration::from_millis(args.kill_every_ms.into());
        }
    }
    let took = start.elapsed();
    shared.say_over()?;
    let hung = crew.wait(PATIENCE)?;
    let mut locks = Vec::new();
    // A lock that somebody hangs in is not to hang us.
    for kind in Kind::ALL.into_iter().filter(|_| hung == 0) {
        let (is_sum_right, operations) = shared.settle(kind)?;
        locks.push(OfLock {
            kind,
            operations,
            recoveries: shared.recoveries(kind)?,
            wrong_seen: shared.wrong_seen(kind)?,
            is_sum_right,
        });
    }
    Ok(Findings {
        kills,
        hung,
        took,
        locks,
    })
}

impl Findings {
    fn print(&self, args: &Args) -> Outcome {
        let mut out = output::stdout()?;
        writeln!(out, "processes       {}", args.processes)?;
        writeln!(out, "time            {:.1?}", self.took)?;
        writeln!(out, "kills           {}", HumanCount(self.kills))?;
        if self.hung > 0 {
            writeln!(out, "hung            {} processes", self.hung)?;
        } else {
            writeln!(
                out,
                "lock             operations   recoveries  sum of the tallies"
            )?;
        }
        for lock in &self.locks {
            let sum = match (lock.is_sum_right, lock.wrong_seen) {
                (true, 0) => "is the counter".to_owned(),
                (true, times) => format!("is the counter, but was not {times} times"),
                (false, _) => "is NOT the counter".to_owned(),
            };
            writeln!(
                out,
                "{:<14} {:>12} {:>12}  {sum}",
                lock.kind.name(),
                HumanCount(lock.operations).to_string(),
                HumanCount(lock.recoveries).to_string(),
            )?;
        }
        let wrong = self
            .locks
            .iter()
            .any(|lock| !lock.is_sum_right || lock.wrong_seen > 0 || lock.operations == 0);
        if self.hung > 0 || wrong {
            writeln!(out, "verdict:        does not hold")?;
            out.flush()?;
            return Err(Failure::Reported);
        }
        writeln!(
            out,
            "verdict:        holds: {} processes died with locks in their hands or without, and no count was lost",
            HumanCount(self.kills)
        )?;
        out.flush()?;
        Ok(())
    }
}
