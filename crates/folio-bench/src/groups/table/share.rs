//! What several processes take that read the same table.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::data::Data;
use super::ours::Ours;
use crate::args::Settings;
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

const PROCESSES: usize = 4;

/// How often the figures are read.
const ROUNDS: usize = 5;

/// What a process says when it has read all of the table.
const READY: &[u8] = b"ready\n";

pub(in crate::groups) fn share() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "table.pss_4_processes",
                unit: "B",
                peer_name: "file",
                limit_name: None,
                goal: Some(1.05),
                about: "memory of 4 processes (sum of PSS: the table's mappings, heaps and stacks) that have \
                        all read the same 10 million records (--keys; quick: 1 million) to the last byte, \
                        against the length of the file (goal 1.05)",
            }]
        },
        measure,
    }
}

/// The work of one of the processes: reads the table, says so, and holds it until nobody waits for it
/// any more.
pub(crate) fn hold(path: &Path) -> Result<(), Skipped> {
    let table = Ours::open(path)?;
    table.touch()?;
    table.scan()?;
    std::io::stdout().write_all(READY)?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(table);
    Ok(())
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("table.folio");
    Ours::make(&Data::of(settings), &path)?;
    let len = u32::try_from(fs::metadata(&path)?.len())?;
    let mut holders = Vec::new();
    for _ in 0..PROCESSES {
        holders.push(Holder::start(&path)?);
    }
    for holder in &mut holders {
        holder.wait()?;
    }
    let mut costs = Costs {
        folio: Vec::new(),
        peer: Vec::new(),
        limit: None,
    };
    for _ in 0..ROUNDS {
        let mut sum = 0_u32;
        for holder in &holders {
            let memory = holder.memory(&path)?;
            // Else the machine has taken back pages that nobody has read for a while.
            if memory.mapped < u64::from(len) / 100 * 99 {
                return Err(Skipped("not all of the table is in memory".into()));
            }
            sum += u32::try_from(memory.share)?;
        }
        costs.folio.push(f64::from(sum));
        costs.peer.push(f64::from(len));
    }
    Ok(vec![Ok(costs)])
}

/// A process that holds a table. It ends when this is dropped.
struct Holder(Child);

impl Holder {
    fn start(path: &Path) -> Result<Self, Skipped> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--hold").arg(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    /// Waits until it has read all.
    fn wait(&mut self) -> Result<(), Skipped> {
        let mut said = [0; READY.len()];
        if let Some(out) = &mut self.0.stdout {
            out.read_exact(&mut said)?;
        }
        if said == READY {
            return Ok(());
        }
        Err(Skipped("a process could not read the table".into()))
    }

    fn memory(&self, table: &Path) -> Result<Memory, Skipped> {
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.0.id()))?;
        Memory::parse(&maps, &table.canonicalize()?.to_string_lossy())
            .ok_or_else(|| Skipped("/proc/PID/smaps is not as expected".into()))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // The end of its input ends it; where it hangs, this does.
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Memory of one process, in bytes.
#[derive(Debug, Default, PartialEq)]
struct Memory {
    /// Of the table: what is mapped and there.
    mapped: u64,
    /// Of the table and of memory without a file, each page divided by the processes that have it.
    share: u64,
}

impl Memory {
    /// From `/proc/PID/smaps` (`man 5 proc_pid_smaps`). Programs and libraries are left out.
    fn parse(maps: &str, table: &str) -> Option<Self> {
        let mut memory = Self::default();
        let mut mapping = Mapping::Other;
        for line in maps.lines() {
            let mut fields = line.split_ascii_whitespace();
            let first = fields.next()?;
            match first.strip_suffix(':') {
                None => mapping = Mapping::of(line, table)?,
                Some(name @ ("Rss" | "Pss")) => {
                    let bytes = fields.next()?.parse::<u64>().ok()?.checked_mul(1024)?;
                    match (name, mapping) {
                        ("Rss", Mapping::Table) => memory.mapped += bytes,
                        ("Pss", Mapping::Table | Mapping::Anonymous) => memory.share += bytes,
                        _ => (),
                    }
                }
                Some(_) => (),
            }
        }
        Some(memory)
    }
}

#[derive(Clone, Copy)]
enum Mapping {
    Table,
    Anonymous,
    Other,
}

impl Mapping {
    /// From a line like `7f00-7f01 r--p 00000000 fe:00 1234    /folder/name`.
    fn of(line: &str, table: &str) -> Option<Self> {
        let inode = line.split_ascii_whitespace().nth(4)?;
        Some(match inode {
            _ if line.ends_with(table) => Self::Table,
            "0" => Self::Anonymous,
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_memory_without_a_file_count() {
        let maps = "\
55d0-55d8 r-xp 00000000 fe:00 77                         /bin/program
Rss:                  32 kB
Pss:                  16 kB
55e0-55e8 rw-p 00000000 00:00 0                          [heap]
Rss:                   8 kB
Pss:                   8 kB
Pss_Dirty:             8 kB
VmFlags: rd wr mr mw me ac
7f00-7f01 r--s 00000000 fe:00 99                         /data/a table
Rss:                 100 kB
Pss:                  25 kB
";
        let expected = Memory {
            mapped: 100 * 1024,
            share: 33 * 1024,
        };
        assert_eq!(Memory::parse(maps, "/data/a table"), Some(expected));
        assert_eq!(Memory::parse("Pss: many kB\n", "/data/a table"), None);
    }
}
