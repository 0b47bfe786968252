//! Which files a process has in memory.

use std::io::Write;

use folio::residency::{Memory, ProcessMemory};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::file::{extend, memory_json};
use crate::failure::Outcome;

/// Prints them, the one with most in memory first.
pub(super) fn print(out: &mut impl Write, pid: u32, as_json: bool) -> Outcome {
    let process = ProcessMemory::of(pid)?;
    if as_json {
        writeln!(out, "{}", json(&process))?;
        return Ok(());
    }
    writeln!(
        out,
        "process         {pid} {}",
        process.command.escape_debug()
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "        RSS         PSS     private      shared     swapped      locked        huge  file"
    )?;
    for file in &process.files {
        let deleted = if file.is_deleted { " (deleted)" } else { "" };
        let name = file.path.to_string_lossy();
        write_row(
            out,
            &file.memory,
            &format!("{}{deleted}", name.escape_debug()),
        )?;
    }
    write_row(out, &process.anonymous, "(no file)")?;
    write_row(out, &process.total, "(all)")?;
    Ok(())
}

fn write_row(out: &mut impl Write, memory: &Memory, name: &str) -> std::io::Result<()> {
    let figures = [
        memory.rss_bytes,
        memory.pss_bytes,
        memory.private_bytes,
        memory.shared_bytes,
        memory.swapped_bytes,
        memory.locked_bytes,
        memory.huge_bytes,
    ];
    for bytes in figures {
        write!(out, "{:>11} ", HumanBytes(bytes).to_string())?;
    }
    writeln!(out, " {name}")
}

fn json(process: &ProcessMemory) -> Value {
    let files = process.files.iter().map(|file| {
        let mut object = json!({
            "file": file.path.to_string_lossy(),
            "deleted": file.is_deleted,
            "mapped_bytes": file.mapped_bytes,
        });
        extend(&mut object, memory_json(&file.memory));
        object
    });
    json!({
        "pid": process.pid,
        "command": process.command,
        "files": files.collect::<Value>(),
        "no_file": memory_json(&process.anonymous),
        "all": memory_json(&process.total),
    })
}
