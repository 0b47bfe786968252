//! `folio region locks PATH`

use std::collections::BTreeMap;
use std::io::Write;

use folio_ipc::{HolderInfo, Inspection, LockInfo, ObjectKind, ThreadInfo};
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
            continue;
        }
        writeln!(out, "{}", row(lock, &seen))?;
        for (holder, times) in times_of_each(&lock.holders) {
            writeln!(out, "{}", holder_row(holder, times, &seen))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn row(lock: &LockInfo, seen: &Inspection) -> String {
    let waiters = waiters(lock, seen);
    let longest = waiters.iter().filter_map(|waiter| waiter.waiting_for_ns);
    let waiting = longest.max().map_or_else(String::new, |time| {
        let wait = if waiters.len() == 1 { "waits" } else { "wait" };
        format!("; {} {wait}, up to {}", waiters.len(), duration(time))
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
    if let Some(tid) = lock.owner_tid {
        let is_unknown = lock.is_owner_unknown;
        let owner = thread(lock.owner_record, tid, is_unknown, seen);
        let time = lock.held_at_least_ns.map(duration);
        let time = time.map_or_else(String::new, |time| format!(", ≥ {time}"));
        return format!("held by {owner}{time}");
    }
    let shared = match (lock.holders.len(), lock.kind) {
        (0, _) => "free".to_owned(),
        (1, ObjectKind::Semaphore) => "1 permit taken".to_owned(),
        (count, ObjectKind::Semaphore) => format!("{count} permits taken"),
        (1, _) => "read by 1 thread".to_owned(),
        (count, _) => format!("read by {count} threads"),
    };
    match lock.owner_died {
        true if lock.holders.is_empty() => "its owner died: the next to take it is told".to_owned(),
        true => format!("{shared}; its owner died: the next to take it is told"),
        false => shared,
    }
}

fn holder_row(holder: HolderInfo, times: usize, seen: &Inspection) -> String {
    let times = match times {
        1 => String::new(),
        times => format!(", {times} times"),
    };
    let holder = thread(Some(holder.record), holder.tid, holder.is_unknown, seen);
    format!("{:38}by {holder}{times}", "")
}

/// Who holds a lock, to be read by humans.
fn thread(record: Option<u32>, tid: u32, is_unknown: bool, seen: &Inspection) -> String {
    if is_unknown {
        return format!("thread {tid}, which there is none of: folio region repair");
    }
    match record.and_then(|record| pid(record, tid, seen)) {
        Some(pid) => format!("process {pid}, thread {tid}"),
        None => format!("thread {tid}"),
    }
}

fn pid(record: u32, tid: u32, seen: &Inspection) -> Option<u32> {
    let mut threads = seen.threads.iter();
    let thread = threads.find(|thread| thread.record == record && thread.tid == tid)?;
    let mut participants = seen.participants.iter();
    let owner = participants.find(|one| one.slot == thread.slot)?;
    Some(owner.pid)
}

/// Each holder once, with how many permits it has.
fn times_of_each(holders: &[HolderInfo]) -> impl Iterator<Item = (HolderInfo, usize)> {
    let mut each = BTreeMap::new();
    for holder in holders {
        let times = |(_, times): &mut (HolderInfo, usize)| *times += 1;
        let entry = each.entry((holder.record, holder.tid));
        entry.and_modify(times).or_insert((*holder, 1));
    }
    each.into_values()
}

fn waiters<'a>(lock: &LockInfo, seen: &'a Inspection) -> Vec<&'a ThreadInfo> {
    let at = Some(lock.offset_bytes);
    let waits = |thread: &&ThreadInfo| thread.is_alive && thread.waiting_on_offset_bytes == at;
    seen.threads.iter().filter(waits).collect()
}

fn object(lock: &LockInfo, seen: &Inspection) -> Value {
    let owner = lock.owner_record.zip(lock.owner_tid);
    let holder = |(holder, times): (HolderInfo, usize)| {
        json!({
            "record": holder.record,
            "tid": holder.tid,
            "pid": pid(holder.record, holder.tid, seen),
            "unknown": holder.is_unknown,
            "times": times,
        })
    };
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
        "offset_bytes": lock.offset_bytes,
        "owner_record": lock.owner_record,
        "owner_tid": lock.owner_tid,
        "owner_pid": owner.and_then(|(record, tid)| pid(record, tid, seen)),
        "held_at_least_ms": lock.held_at_least_ns.map(|time| time / 1_000_000),
        "owner_died": lock.owner_died,
        "owner_unknown": lock.is_owner_unknown,
        "waited_for": lock.has_waiters,
        "holders": times_of_each(&lock.holders).map(holder).collect::<Value>(),
        "waiters": waiters(lock, seen).iter().map(waiter).collect::<Value>(),
    })
}
