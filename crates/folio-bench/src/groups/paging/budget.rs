//! A file read round and round in less memory than it takes.

use std::fs;
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use folio::residency::Mapper;
use folio::{Budgeted, Map, ReadAt, Residency};
use tempfile::NamedTempFile;

use crate::args::Settings;
use crate::groups::random::Random;
use crate::measure::two_by_turns;
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

pub(in crate::groups) fn budget() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "paging.budget_vs_cgroup",
                unit: "ns",
                peer_name: "cgroup",
                limit_name: None,
                goal: Some(1.5),
                about: "a file of 1 GiB (quick: 256 MiB) read from front to end, thrice, through a map with a budget \
                        of 25 % that drops what it gives back, resident set never above it + 2 %; against a plain \
                        map in a memory control group of that limit. For each round of the file (goal 1.5)",
            }]
        },
        measure,
    }
}

/// The work of a process of its own: reads a file round and round.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ScanArgs {
    /// The file, read thrice
    #[arg(long, value_name = "FILE", hide = true)]
    scan: Option<PathBuf>,

    /// The budget of that
    #[arg(long, value_name = "BYTES", hide = true, requires = "scan")]
    scan_budget: Option<u64>,
}

const ROUNDS: u32 = 3;
const CHUNK_LEN: usize = 64 << 10;

/// Reads the file that is asked for, if one is, and prints the nanoseconds that a round took and the largest
/// resident set.
pub(crate) fn scan(args: &ScanArgs) -> Result<bool, Skipped> {
    let Some(path) = &args.scan else {
        return Ok(false);
    };
    let map = Map::open(path)?;
    let id = map
        .file_id()
        .ok_or_else(|| Skipped("the system does not tell what is mapped".into()))?;
    let (nanos, most) = match args.scan_budget {
        None => read(&map, || Ok(0))?,
        Some(budget) => {
            let map = Budgeted::new(map, budget)?.drop_cached(true);
            // Looked at some fifty times: the walk over the page table is work of its own.
            read(&map, || {
                let us = Mapper::of(std::process::id(), id)?;
                Ok(us.map_or(0, |us| us.rss_bytes))
            })?
        }
    };
    writeln!(std::io::stdout(), "{nanos} {most}")?;
    Ok(true)
}

fn read(
    map: &impl ReadAt,
    resident: impl Fn() -> Result<u64, Skipped>,
) -> Result<(u128, u64), Skipped> {
    let mut buf = vec![0; CHUNK_LEN];
    let mut most = 0;
    let mut looking = std::time::Duration::ZERO;
    let look_every = (map.len() / CHUNK_LEN as u64 / 16).max(1);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for number in 0..map.len() / CHUNK_LEN as u64 {
            map.read_exact_at(number * CHUNK_LEN as u64, &mut buf)?;
            black_box(&buf);
            if number % look_every == 0 {
                let before = Instant::now();
                most = resident()?.max(most);
                looking += before.elapsed();
            }
        }
    }
    let took = start.elapsed().saturating_sub(looking);
    Ok((took.as_nanos() / u128::from(ROUNDS), most))
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let len: u64 = if settings.quick { 256 << 20 } else { 1 << 30 };
    let budget = len / 4;
    let group = Group::new(Path::new("/sys/fs/cgroup"), budget)?;
    let file = sample(len)?;
    let residency = Residency::open(file.path())?;
    let rounds = if settings.quick { 3 } else { 9 };
    let [folio, peer] = two_by_turns(rounds, |turn| {
        // Both begin with the disk; and what is read in the group is the group's.
        residency.evict(..)?;
        if turn != 0 {
            return Ok(start(Some(&group), file.path(), None)?.0);
        }
        let (cost, most) = start(None, file.path(), Some(budget))?;
        if most > budget / 100 * 102 || most < budget / 2 {
            return Err(Skipped(format!(
                "{most} bytes were resident under a budget of {budget}"
            )));
        }
        Ok(cost)
    })?;
    Ok(vec![Ok(Costs {
        folio,
        peer,
        limit: None,
    })])
}

fn sample(len: u64) -> Result<NamedTempFile, Skipped> {
    let mut random = Random::new();
    let mut file = NamedTempFile::new()?;
    let mut block = Vec::with_capacity(1 << 20);
    for _ in 0..len >> 20 {
        block.clear();
        while block.len() < 1 << 20 {
            block.extend_from_slice(&random.next().to_le_bytes());
        }
        file.write_all(&block)?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

/// Reads the file in a process of its own: the nanoseconds a round, and the largest resident set.
fn start(group: Option<&Group>, file: &Path, budget: Option<u64>) -> Result<(f64, u64), Skipped> {
    let us = std::env::current_exe()?;
    // The shell joins the group, if there is one, and becomes the program.
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
    let procs = group.map_or("/dev/null".into(), |group| group.0.join("cgroup.procs"));
    command.arg(procs).arg(us).arg("--scan").arg(file);
    if let Some(budget) = budget {
        command.args(["--scan-budget", &budget.to_string()]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut said)?;
    }
    let status = child.wait()?;
    let words = said.trim_end().split_once(' ');
    let figures = words.and_then(|(nanos, most)| Some((nanos.parse().ok()?, most.parse().ok()?)));
    figures.ok_or_else(|| Skipped(format!("a process that reads the file ended by {status}")))
}

/// A memory control group with a limit, removed when this is dropped.
struct Group(PathBuf);

impl Group {
    /// Makes it below the root of all.
    fn new(root: &Path, limit: u64) -> Result<Self, Skipped> {
        let failed = |error| {
            Skipped(format!(
                "no memory control group can be made (as root one can): {error}"
            ))
        };
        let is_v2 = fs::read_to_string(root.join("cgroup.controllers"))
            .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"));
        let (parent, file) = if is_v2 {
            // It is on already, or the limit's file is missing.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
            (root.to_owned(), "memory.max")
        } else {
            (root.join("memory"), "memory.limit_in_bytes")
        };
        let path = parent.join(format!("folio-bench-{}", std::process::id()));
        fs::create_dir(&path).map_err(failed)?;
        let group = Self(path);
        fs::write(group.0.join(file), limit.to_string()).map_err(failed)?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last of its processes may be on its way out.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder is no control group, but shows what is written to which file.
    #[test]
    fn a_group_of_either_version_has_the_limit() {
        for (controllers, parent, file) in [
            ("cpu memory pids\n", "", "memory.max"),
            ("hugetlb\n", "memory", "memory.limit_in_bytes"),
        ] {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("memory")).unwrap();
            fs::write(root.path().join("cgroup.controllers"), controllers).unwrap();
            let group = Group::new(root.path(), 12345).unwrap();
            let path = group.0.clone();
            assert_eq!(
                path.parent(),
                Some(root.path().join(parent).components().as_path())
            );
            assert_eq!(fs::read_to_string(path.join(file)).unwrap(), "12345");
            let is_enabled = root.path().join("cgroup.subtree_control").exists();
            assert_eq!(is_enabled, parent.is_empty());
            fs::remove_file(path.join(file)).unwrap();
            drop(group);
            assert!(!path.exists());
        }
    }
}
