//! Seeing what of a file is in memory.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::args::Settings;
use crate::measure::two_by_turns;
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

const FILE_BYTES: u64 = 4 << 30;
/// How often the pages are counted again when some had left memory.
const ATTEMPTS: u32 = 5;

pub(in crate::groups) fn stat() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "paging.stat_vs_vmtouch",
                unit: "ns CPU",
                peer_name: "vmtouch",
                limit_name: None,
                goal: Some(0.3),
                about: "the whole command `folio stat` of a file of 4 GiB that is all in memory, against \
                        vmtouch, with the same count of pages (goal 0.3)",
            }]
        },
        measure,
    }
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let missing = |what: &str, error| Skipped(format!("{what} cannot be started: {error}"));
    if !settings.folio.exists() {
        let command = settings.folio.display();
        return Err(Skipped(format!(
            "there is no folio command at {command} (see --folio)"
        )));
    }
    let program = Command::new("vmtouch")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    program.map_err(|error| missing("vmtouch", error))?;
    let file = cached_file(FILE_BYTES)?;
    let rounds = if settings.quick { 7 } else { 21 };
    let [folio, peer] = two_by_turns(rounds, |turn| cost_of(turn == 0, settings, file.path()))?;
    Ok(vec![Ok(Costs {
        folio,
        peer,
        limit: None,
    })])
}

/// What it costs to count the pages of a file that is all in memory.
fn cost_of(is_folio: bool, settings: &Settings, file: &Path) -> Result<f64, Skipped> {
    let pages = FILE_BYTES / rustix::param::page_size() as u64;
    let mut counted = None;
    for _ in 0..ATTEMPTS {
        let cost;
        (cost, counted) = if is_folio {
            let (cost, said) = run(Command::new(&settings.folio).args(["stat", "--json"]), file)?;
            (cost, resident_by_folio(&said))
        } else {
            let (cost, said) = run(&mut Command::new("vmtouch"), file)?;
            (cost, resident_by_vmtouch(&said))
        };
        if counted == Some(pages) {
            return Ok(cost);
        }
        // The kernel takes pages away when it sees fit.
        folio::Residency::open(file)?.load(.., |_| {})?;
    }
    Err(Skipped(format!(
        "{} counts {counted:?} pages, not {pages}",
        if is_folio { "folio" } else { "vmtouch" }
    )))
}

/// A file all of which is in memory, and in which nothing is left to be written back.
fn cached_file(len: u64) -> Result<NamedTempFile, Skipped> {
    let mut file = NamedTempFile::new()?;
    let block = vec![7; 1 << 20];
    for _ in 0..len / block.len() as u64 {
        file.write_all(&block)?;
    }
    file.as_file().sync_all()?;
    folio::Residency::open(file.path())?.load(.., |_| {})?;
    Ok(file)
}

/// Runs a command on a file to its end: the CPU time that it took, in nanoseconds, and what it said.
fn run(command: &mut Command, file: &Path) -> Result<(f64, String), Skipped> {
    let mut child = command
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut said)?;
    }
    // It has ended, and is still there to be asked.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Skipped("a process has no id".into()))?;
    let _ = waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )?;
    let stat = fs::read_to_string(format!("/proc/{}/schedstat", child.id()));
    let status = child.wait()?;
    if !status.success() {
        return Err(Skipped(format!(
            "{} ended by {status}",
            command.get_program().to_string_lossy()
        )));
    }
    // Of the first thread, and these commands have but one (Documentation/scheduler/sched-stats.rst).
    let cost = stat?.split(' ').next().and_then(|nanos| nanos.parse().ok());
    let cost = cost.ok_or_else(|| Skipped("the system does not tell CPU times".into()))?;
    Ok((cost, said))
}

fn resident_by_folio(said: &str) -> Option<u64> {
    let stat: Value = serde_json::from_str(said).ok()?;
    stat.get("resident_pages")?.as_u64()
}

fn resident_by_vmtouch(said: &str) -> Option<u64> {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Resident Pages: "))?;
    line.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_they_are_printed() {
        let said = "           Files: 1\n  Resident Pages: 1048576/1048577  4G/4G  100%\n";
        assert_eq!(resident_by_vmtouch(said), Some(1_048_576));
        assert_eq!(resident_by_vmtouch(""), None);
        assert_eq!(resident_by_folio(r#"{"resident_pages": 12}"#), Some(12));
        assert_eq!(resident_by_folio(r#"{"resident_pages": null}"#), None);
    }

    #[test]
    fn a_command_is_charged_and_heard() {
        let file = NamedTempFile::new().unwrap();
        let (cost, said) = run(&mut Command::new("echo"), file.path()).unwrap();
        assert!(cost > 0.0);
        assert_eq!(said.trim_end(), file.path().to_str().unwrap());
        assert!(run(&mut Command::new("false"), file.path()).is_err());
    }
}
