//! `folio lab ipc`

mod child;
mod crew;
mod ledger;
mod shared;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::HumanCount;
use serde_json::{Value, json};

use self::crew::Crew;
use self::ledger::Kind;
use self::shared::Shared;
use super::chart::Chart;
use super::report::{Options, Report, nanos, print_rows};
use crate::failure::{Failure, Outcome};

/// Bump counters that processes share, each under a lock, while the processes are killed at random.
///
/// Each process adds to a counter of the region and to a tally of its own, over and over, under one lock of each kind in
/// turn, and now and then dawdles halfway. Whoever is killed there leaves a half-done change to the next, which finishes it: a recovery. In the end the counter
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

    #[command(flatten)]
    options: Options,

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
    findings.show(&args.options)
}

/// What was found.
struct Findings {
    processes: u32,
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
    /// How often an owner was said to have died; a permit comes back without a word.
    deaths: Option<u64>,
    /// How often a half-done change was finished.
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
        let [deaths, recoveries, wrong_seen] = shared.notes(kind)?;
        locks.push(OfLock {
            kind,
            operations,
            deaths: (kind != Kind::Semaphore).then_some(deaths),
            recoveries,
            wrong_seen,
            is_sum_right,
        });
    }
    Ok(Findings {
        processes: args.processes,
        kills,
        hung,
        took,
        locks,
    })
}

impl Report for Findings {
    const NAME: &'static str = "ipc";

    fn holds(&self) -> bool {
        self.hung == 0 && self.locks.iter().all(OfLock::holds)
    }

    fn verdict(&self) -> String {
        if self.holds() {
            format!(
                "holds: {} processes died with locks in their hands or without, and no count was lost",
                HumanCount(self.kills)
            )
        } else {
            "does not hold".to_owned()
        }
    }

    fn print_table(&self, out: &mut impl Write) -> io::Result<()> {
        let rows = [
            ("processes", self.processes.to_string()),
            ("time", format!("{:.1?}", self.took)),
            ("kills", HumanCount(self.kills).to_string()),
            ("hung", format!("{} processes", self.hung)),
        ];
        print_rows(out, &rows)?;
        if self.hung > 0 {
            return Ok(());
        }
        writeln!(
            out,
            "\n{:19} {:>12} {:>12} {:>12}  sum of the tallies",
            "lock", "operations", "owners died", "recoveries"
        )?;
        for lock in &self.locks {
            let sum = match (lock.is_sum_right, lock.wrong_seen) {
                (true, 0) => "is the counter".to_owned(),
                (true, times) => format!("is the counter, but was not {times} times"),
                (false, _) => "is NOT the counter".to_owned(),
            };
            writeln!(
                out,
                "{:19} {:>12} {:>12} {:>12}  {sum}",
                lock.kind.name(),
                HumanCount(lock.operations).to_string(),
                lock.deaths
                    .map_or("-".to_owned(), |deaths| HumanCount(deaths).to_string()),
                HumanCount(lock.recoveries).to_string(),
            )?;
        }
        Ok(())
    }

    fn charts(&self) -> Vec<Chart> {
        let mut operations = Chart::new("operations under each lock");
        let mut recoveries = Chart::new("changes that somebody died in, finished by the next");
        for lock in &self.locks {
            let bar =
                |chart: Chart, count| chart.bar(lock.kind.name(), count, HumanCount(count), true);
            operations = bar(operations, lock.operations);
            recoveries = bar(recoveries, lock.recoveries);
        }
        vec![operations, recoveries]
    }

    fn json(&self) -> Value {
        let locks: Vec<_> = self
            .locks
            .iter()
            .map(|lock| {
                json!({
                    "lock": lock.kind.name(),
                    "operations": lock.operations,
                    "owner_deaths": lock.deaths,
                    "recoveries": lock.recoveries,
                    "wrong_seen": lock.wrong_seen,
                    "is_sum_right": lock.is_sum_right,
                })
            })
            .collect();
        json!({
            "experiment": Self::NAME,
            "processes": self.processes,
            "ran_ns": nanos(self.took),
            "kills": self.kills,
            "hung": self.hung,
            "locks": locks,
            "holds": self.holds(),
            "verdict": self.verdict(),
        })
    }
}

impl OfLock {
    fn holds(&self) -> bool {
        self.is_sum_right && self.wrong_seen == 0 && self.operations > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_hangs_or_a_count_that_is_lost_is_seen() {
        let findings = |hung, operations, wrong_seen, is_sum_right| Findings {
            processes: 4,
            kills: 10,
            hung,
            took: Duration::from_secs(1),
            locks: vec![OfLock {
                kind: Kind::Mutex,
                operations,
                deaths: Some(2),
                recoveries: 1,
                wrong_seen,
                is_sum_right,
            }],
        };
        assert!(findings(0, 5, 0, true).holds());
        assert!(!findings(1, 5, 0, true).holds());
        assert!(!findings(0, 0, 0, true).holds());
        assert!(!findings(0, 5, 1, true).holds());
        assert!(!findings(0, 5, 0, false).holds());
    }
}
