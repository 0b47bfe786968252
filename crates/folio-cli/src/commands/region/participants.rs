//! `folio region participants PATH`

use std::io::Write;

use folio_ipc::{Inspection, ParticipantInfo, ThreadInfo};
use serde_json::{Value, json};

use super::{Shown, duration, inspect};
use crate::failure::Outcome;
use crate::output;

/// List the processes that have a region open, and their threads that use its locks.
///
/// A dead one is there until somebody cleans up behind it: the next that needs its place, or `folio region repair`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    shown: Shown,
}

pub(super) fn run(args: &Args) -> Outcome {
    let seen = inspect(&args.shown.path)?;
    let mut out = output::stdout()?;
    if !args.shown.json {
        writeln!(out, "slot       pid  state   attached for  command")?;
    }
    for one in &seen.participants {
        let threads: Vec<_> = threads_of(&seen, one).collect();
        if args.shown.json {
            writeln!(out, "{}", object(one, &threads))?;
            continue;
        }
        writeln!(out, "{}", row(one))?;
        for thread in threads {
            writeln!(out, "{}", thread_row(thread))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn threads_of<'a>(
    seen: &'a Inspection,
    one: &ParticipantInfo,
) -> impl Iterator<Item = &'a ThreadInfo> + use<'a> {
    let slot = one.slot;
    seen.threads
        .iter()
        .filter(move |thread| thread.slot == slot)
}

fn row(one: &ParticipantInfo) -> String {
    let row = format!(
        "{:>4} {:>9}  {:<6} {:>13}  {}",
        one.slot,
        one.pid,
        state(one.is_alive),
        duration(one.attached_for_ns),
        command(one).unwrap_or_default().escape_debug(),
    );
    row.trim_end().to_owned()
}

fn thread_row(thread: &ThreadInfo) -> String {
    let waits = match (&thread.waiting_on, thread.waiting_for_ns) {
        (Some(name), Some(time)) => {
            format!(" waits for {} for {}", name.escape_debug(), duration(time))
        }
        (None, Some(time)) => format!(" waits for the region's own lock for {}", duration(time)),
        _ => String::new(),
    };
    format!("          thread {}{waits}", thread.tid)
}

pub(super) fn state(is_alive: bool) -> &'static str {
    if is_alive { "living" } else { "dead" }
}

/// What the process is called, if its id means the same here.
fn command(one: &ParticipantInfo) -> Option<String> {
    if !one.is_alive || one.pid_namespace != folio_sys::process::pid_namespace() {
        return None;
    }
    let name = std::fs::read_to_string(format!("/proc/{}/comm", one.pid)).ok()?;
    Some(name.trim_end().to_owned())
}

fn object(one: &ParticipantInfo, threads: &[&ThreadInfo]) -> Value {
    let thread = |thread: &&ThreadInfo| {
        json!({
            "record": thread.record,
            "tid": thread.tid,
            "pending_offset_bytes": thread.pending_offset_bytes,
            "waiting_on": thread.waiting_on,
            "waiting_on_offset_bytes": thread.waiting_on_offset_bytes,
            "waiting_for_ns": thread.waiting_for_ns,
        })
    };
    json!({
        "slot": one.slot,
        "epoch": one.epoch,
        "pid": one.pid,
        "pid_namespace": one.pid_namespace,
        "living": one.is_alive,
        "attached_for_ns": one.attached_for_ns,
        "command": command(one),
        "threads": threads.iter().map(thread).collect::<Value>(),
    })
}
