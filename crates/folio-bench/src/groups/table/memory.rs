//! What a build takes that has less memory than its input is long.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use folio_table::Table;
use folio_table::export::{Format, Writer};

use super::data::{Data, Records};
use crate::args::Settings;
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

/// What `folio build` is told to take.
const MEMORY: &str = "64M";

/// What it may have at most: that, and 32 MiB for the program itself.
const ALLOWED_BYTES: u32 = (64 + 32) << 20;

/// Fewer records are sorted in memory, and show nothing.
const LEAST_COUNT: u64 = 2_000_000;

/// How often the peak is read: what comes after the last time is not seen.
const INTERVAL: Duration = Duration::from_millis(1);

pub(in crate::groups) fn build_memory() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "table.build_memory",
                unit: "B",
                peer_name: "64 MiB + 32 MiB",
                limit_name: None,
                goal: Some(1.0),
                about: "the most memory that `folio build - --memory 64M` has had at once (peak RSS), from 10 \
                        million unsorted records through a pipe (--keys, but not below 2 million, which is more \
                        than fits; quick: 2 million), against what it may have (goal 1.0)",
            }]
        },
        measure,
    }
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let command = settings.folio()?;
    let mut data = Data::of(settings);
    if settings.quick && settings.keys.is_none() {
        data.count = 0;
    }
    data.count = data.count.max(LEAST_COUNT);
    let folder = tempfile::tempdir()?;
    let mut costs = Costs {
        folio: Vec::new(),
        peer: Vec::new(),
        limit: None,
    };
    for _ in 0..if settings.quick { 2 } else { 5 } {
        let path = folder.path().join("table.folio");
        let build = Build::start(command, &path)?;
        let peak = build.feed(data)?;
        if Table::open(&path)?.count() != data.count {
            return Err(Skipped("the table has not all of the records".into()));
        }
        costs.folio.push(f64::from(u32::try_from(peak)?));
        costs.peer.push(f64::from(ALLOWED_BYTES));
    }
    Ok(vec![Ok(costs)])
}

/// A process that builds a table. It does not outlive this.
struct Build(Child);

impl Build {
    fn start(folio: &Path, output: &Path) -> Result<Self, Skipped> {
        let mut command = Command::new(folio);
        command.args(["build", "-", "--memory", MEMORY, "-o"]);
        command.arg(output).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// Gives it these records, and waits for its end. Returns the most memory that it had, in bytes.
    fn feed(mut self, data: Data) -> Result<u64, Skipped> {
        let input = self.0.stdin.take();
        let input = input.ok_or_else(|| Skipped("there is no pipe".into()))?;
        let feeder = thread::spawn(move || -> Result<(), Skipped> {
            let mut writer = Writer::new(Format::Tsv, BufWriter::with_capacity(1 << 16, input));
            data.each(|key, value| Ok(writer.record(key, value)?))?;
            Ok(writer.into_inner().flush()?)
        });
        // Not `ru_maxrss`, which remembers what this program had when it started the other one.
        let status = format!("/proc/{}/status", self.0.id());
        let mut peak = None;
        let ended = loop {
            if let Some(ended) = self.0.try_wait()? {
                break ended;
            }
            peak = peak.max(peak_bytes(&fs::read_to_string(&status)?));
            thread::sleep(INTERVAL);
        };
        let fed = feeder.join();
        if !ended.success() {
            return Err(Skipped(format!("folio build: {ended}")));
        }
        fed.map_err(|_| Skipped("the records could not be made".into()))??;
        peak.ok_or_else(|| Skipped("/proc/PID/status is not as expected".into()))
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // It has ended, unless something went wrong.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From `/proc/PID/status` (`man 5 proc_pid_status`), which does not have it of a process that has ended.
fn peak_bytes(status: &str) -> Option<u64> {
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib = peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_where_there_is_one() {
        let status =
            "Name:\tfolio\nVmPeak:\t  123456 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(peak_bytes(status), Some(2 << 20));
        assert_eq!(peak_bytes("Name:\tfolio\nState:\tZ (zombie)\n"), None);
        assert_eq!(peak_bytes("VmHWM: many kB\n"), None);
    }

    #[test]
    fn a_build_that_fails_is_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let build = Build::start(Path::new("false"), &folder.path().join("t")).unwrap();
        let data = Data {
            count: 1,
            value_len: 32,
        };
        let why = build.feed(data).unwrap_err();
        assert_eq!(why.0, "folio build: exit status: 1");
    }
}
