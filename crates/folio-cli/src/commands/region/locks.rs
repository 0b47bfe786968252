//! `folio region locks PATH`

use std::io::Write;

use folio_ipc::{Inspection, LockInfo, ThreadInfo};
use serde_json::{Value, json};

use super::{Shown, duration, inspect};
use crate::failure::Outcome;
use crate::output;

/// List the locks of a region: who holds each, and who waits for it how long.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    shown: Shown,
}

pub(super) fn run(args: &Args) -> Outcome {
    let seen = inspect(&args.shown.path)?;
    let mut out = output::stdout()?;
    if !args.shown.json {
        writeln!(out, "kind        name                     state")?;
    }
    for lock in &seen.locks {
        if args.shown.json {
            writeln!(out, "{}", object(lock, &seen))?;
        } else {
            writeln!(out, "{}", row(lock, &seen))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn row(lock: &LockInfo, seen: &Inspection) -> String {
    let waiters = waiters(lock, seen);
    let longest = waiters.iter().filter_map(|waiter| waiter.waiting_for_ns);
    let waiting = longest.max().map_or_else(String::new, |time| {
        format!("; {} wait, up to {}", waiters.len(), duration(time))
    });
    format!(
        "{:<11} {:<24} {}{waiting}",
        lock.kind.to_string(),
        name(lock).escape_debug().to_string(),
        state(lock, seen)
    )
}

/// The region's own lock has no name.
fn name(lock: &LockInfo) -> &str {
    if lock.name.is_empty() {
        "(heap and directory)"
    } else {
        &lock.name
    }
}

fn state(lock: &LockInfo, seen: &Inspection) -> String {
    match lock.owner_tid {
        Some(tid) if lock.is_owner_unknown => {
            format!("held by thread {tid}, which there is none of: folio region repair")
        }
        Some(tid) => match pid(lock, seen) {
            Some(pid) => format!("held by process {pid}, thread {tid}"),
            None => format!("held by thread {tid}"),
        },
        None if lock.owner_died => "its owner died: the next to take it is told".to_owned(),
        None => "free".to_owned(),
    }
}

fn pid(lock: &LockInfo, seen: &Inspection) -> Option<u32> {
    let record = lock.owner_record?;
    let thread = seen
        .threads
        .iter()
        .find(|thread| thread.record == record && Some(thread.tid) == lock.owner_tid)?;
    let owner = seen
        .participants
        .iter()
        .find(|one| one.slot == thread.slot)?;
    Some(owner.pid)
}

/// The region's own lock is in no object.
fn waiters<'a>(lock: &LockInfo, seen: &'a Inspection) -> Vec<&'a ThreadInfo> {
    let waits = |thread: &&ThreadInfo| {
        thread.is_alive
            && thread.waiting_on_offset_bytes.is_some()
            && thread.waiting_on.as_deref().unwrap_or_default() == lock.name
    };
    seen.threads.iter().filter(waits).collect()
}

fn object(lock: &LockInfo, seen: &Inspection) -> Value {
    let waiter = |thread: &&ThreadInfo| {
        json!({
            "tid": thread.tid,
            "slot": thread.slot,
            "waiting_for_ns": thread.waiting_for_ns,
        })
    };
    json!({
        "name": lock.name,
        "kind": lock.kind.to_string(),
        "owner_tid": lock.owner_tid,
        "owner_pid": pid(lock, seen),
        "owner_died": lock.owner_died,
        "owner_unknown": lock.is_owner_unknown,
        "waiters": waiters(lock, seen).iter().map(waiter).collect::<Value>(),
    })
}
