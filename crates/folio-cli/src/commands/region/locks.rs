//! `folio region locks PATH`

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Deref;
use std::thread;
use std::time::Duration;

use folio_ipc::{HolderInfo, Inspection, LockInfo, ObjectKind, Region, ThreadInfo};
use serde_json::{Value, json};

use super::sightings::Sightings;
use super::{Shown, duration, explain};
use crate::failure::Outcome;
use crate::output;

/// List the locks of a region: who holds each, and who waits for it how long.
///
/// How long a thread has held a lock at least is known by those who have waited for it meanwhile; that it was seen
/// with it at several looks tells less, since it may have given it up between.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    shown: Shown,

    /// Look again and again, until Ctrl-C, and say how long each thread was seen with a lock.
    #[arg(long)]
    watch: bool,

    /// How long to wait between two looks, in milliseconds.
    #[arg(long, value_name = "N", default_value = "500", requires = "watch",
          value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    interval_ms: u64,
}

pub(super) fn run(args: &Args) -> Outcome {
    let observer = Region::observe(&args.shown.path).map_err(explain)?;
    let mut sightings = Sightings::default();
    let mut out = output::stdout()?;
    loop {
        let seen = observer.inspect().map_err(explain)?;
        sightings.add(&seen);
        show(
            &mut out,
            args,
            &Seen {
                seen,
                sightings: &sightings,
            },
        )?;
        if !args.watch {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(args.interval_ms));
        if !args.shown.json {
            writeln!(out)?;
        }
    }
}

/// A look, and those before it.
struct Seen<'a> {
    seen: Inspection,
    sightings: &'a Sightings,
}

impl Deref for Seen<'_> {
    type Target = Inspection;

    fn deref(&self) -> &Inspection {
        &self.seen
    }
}

fn show(out: &mut impl Write, args: &Args, seen: &Seen<'_>) -> Outcome {
    if !args.shown.json {
        writeln!(out, "kind        name                     state")?;
    }
    for lock in &seen.locks {
        if args.shown.json {
            writeln!(out, "{}", object(lock, seen))?;
            continue;
        }
        writeln!(out, "{}", row(lock, seen))?;
        for (holder, times) in times_of_each(&lock.holders) {
            writeln!(out, "{}", holder_row(lock, holder, times, seen))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn row(lock: &LockInfo, seen: &Seen<'_>) -> String {
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

fn state(lock: &LockInfo, seen: &Seen<'_>) -> String {
    if let Some(tid) = lock.owner_tid {
        let is_unknown = lock.is_owner_unknown;
        let owner = who(lock.owner_record, tid, is_unknown, seen);
        let time = lock.held_at_least_ns.map(duration);
        let time = time.map_or_else(String::new, |time| format!(", ≥ {time}"));
        let record = lock.owner_record;
        let sighted = record.map_or_else(String::new, |record| sighted(lock, record, tid, seen));
        return format!("held by {owner}{time}{sighted}");
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

fn holder_row(lock: &LockInfo, holder: HolderInfo, times: usize, seen: &Seen<'_>) -> String {
    let times = match times {
        1 => String::new(),
        times => format!(", {times} times"),
    };
    let sighted = sighted(lock, holder.record, holder.tid, seen);
    let holder = who(Some(holder.record), holder.tid, holder.is_unknown, seen);
    format!("{:38}by {holder}{times}{sighted}", "")
}

/// How long a thread was seen with a lock, to be read by humans.
fn sighted(lock: &LockInfo, record: u32, tid: u32, seen: &Seen<'_>) -> String {
    let time = seen.sightings.time(lock, record, tid).map(nanoseconds);
    time.map_or_else(String::new, |time| {
        format!(", seen with it for {}", duration(time))
    })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Who holds a lock, to be read by humans.
fn who(record: Option<u32>, tid: u32, is_unknown: bool, seen: &Inspection) -> String {
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

fn object(lock: &LockInfo, seen: &Seen<'_>) -> Value {
    let owner = lock.owner_record.zip(lock.owner_tid);
    let seen_with_it_ms = |(record, tid): (u32, u32)| {
        let time = seen.sightings.time(lock, record, tid);
        time.map(|time| nanoseconds(time) / 1_000_000)
    };
    let holder = |(holder, times): (HolderInfo, usize)| {
        json!({
            "record": holder.record,
            "tid": holder.tid,
            "pid": pid(holder.record, holder.tid, seen),
            "unknown": holder.is_unknown,
            "times": times,
            "seen_with_it_ms": seen_with_it_ms((holder.record, holder.tid)),
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
        "owner_seen_with_it_ms": owner.and_then(seen_with_it_ms),
        "owner_died": lock.owner_died,
        "owner_unknown": lock.is_owner_unknown,
        "waited_for": lock.has_waiters,
        "holders": times_of_each(&lock.holders).map(holder).collect::<Value>(),
        "waiters": waiters(lock, seen).iter().map(waiter).collect::<Value>(),
    })
}
