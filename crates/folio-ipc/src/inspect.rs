//! What a region says of itself, and cleaning up on request.

use folio_sys::futex;
use folio_sys::robust::RobustWord;

use crate::directory::{ObjectInfo, list};
use crate::heap::{HeapInfo, summarise};
use crate::participant::{Attached, Record, is_alive, participants, reap, recover_objects};
use crate::region::{CONTROL, Image};
use crate::{ObjectKind, Result};

/// What there is to be seen of a region at one time.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The region as a whole.
    pub region: RegionInfo,
    /// Who has it open, or died with it open and was not cleaned up behind.
    pub participants: Vec<ParticipantInfo>,
    /// Their threads that use locks.
    pub threads: Vec<ThreadInfo>,
    /// The objects.
    pub objects: Vec<ObjectInfo>,
    /// What is known of those of them that are locks.
    pub locks: Vec<LockInfo>,
    /// The heap.
    pub heap: HeapInfo,
}

/// A region as a whole.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct RegionInfo {
    /// How long it is, in bytes.
    pub size_bytes: u64,
    /// How long it may become, in bytes.
    pub capacity_bytes: u64,
    /// How many participants it has room for.
    pub participants: u32,
    /// How many threads it has room for.
    pub threads: u32,
    /// How many objects it has room for.
    pub objects: u32,
}

/// A process that has a region open.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ParticipantInfo {
    /// Which of the region's slots it has.
    pub slot: u32,
    /// How many had that slot before, and it.
    pub epoch: u32,
    /// Its id, as it sees it itself: another namespace has other ids.
    pub pid: u32,
    /// The inode number of its namespace of process ids; 0 where nobody said.
    pub pid_namespace: u64,
    /// When it was started, in the kernel's ticks since the machine was; 0 where nobody said.
    pub start_time_ticks: u64,
    /// How long it has had the region open, in nanoseconds.
    pub attached_for_ns: u64,
    /// Whether it is alive.
    pub is_alive: bool,
}

/// A thread that has used locks of a region.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ThreadInfo {
    /// Which of the region's thread records it has: locks name their owners by it.
    pub record: u32,
    /// The slot of its process.
    pub slot: u32,
    /// Its id, as its process sees it.
    pub tid: u32,
    /// Where the lock is that it is taking or giving up just now.
    pub pending_offset_bytes: Option<u64>,
    /// Where the lock is that it waits for.
    pub waiting_on_offset_bytes: Option<u64>,
    /// The object in which that lock is; `None` for the region's own.
    pub waiting_on: Option<String>,
    /// How long it has waited, in nanoseconds.
    pub waiting_for_ns: Option<u64>,
    /// Whether its process is alive.
    pub is_alive: bool,
}

/// A lock, as far as can be told without knowing what it protects.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct LockInfo {
    /// The object's name; empty for the lock of the heap and the directory.
    pub name: String,
    /// What kind of lock it is.
    pub kind: ObjectKind,
    /// Where in the region it is: what [`ThreadInfo::waiting_on_offset_bytes`] of those that wait for it says.
    pub offset_bytes: u64,
    /// The thread record of its owner.
    pub owner_record: Option<u32>,
    /// The id of the thread that has it, as its process sees it.
    pub owner_tid: Option<u32>,
    /// How long that thread has had it at least, in nanoseconds, if anybody has waited for it meanwhile: waiters put down when they
    /// saw it. To know more, owners would have to look at the clock whenever they take a lock.
    pub held_at_least_ns: Option<u64>,
    /// Whether its owner died, and nobody has put in order what it protects.
    pub owner_died: bool,
    /// Whether the owner is none that can be: no living thread has that record and that id.
    pub is_owner_unknown: bool,
    /// Whether anybody is said to wait for it.
    pub has_waiters: bool,
    /// Who holds it together with others: readers, and holders of a semaphore's permits, once for each.
    pub holders: Vec<HolderInfo>,
}

/// A thread that holds a lock together with others.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderInfo {
    /// Its thread record.
    pub record: u32,
    /// Its id, as its process sees it.
    pub tid: u32,
    /// Whether there is no such thread that is alive.
    pub is_unknown: bool,
}

/// What [`Region::repair`](crate::Region::repair) has cleaned up, and the first time, what opening the region has.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// How many dead processes were still participants.
    pub participants: u32,
    /// How many thread records they had.
    pub threads: u32,
    /// How many blocks they had for themselves.
    pub blocks: u64,
    /// How many bytes these are.
    pub block_bytes: u64,
    /// How often locks were held by threads that are not there, of no or of dead processes: each reader counts, and each permit.
    pub locks: u32,
}

/// Cleans up behind the dead, and checks everything.
pub(crate) fn repair(attached: &Attached) -> Result<Repaired> {
    // The heap's own lock is taken from whoever is not there by taking it.
    let heap = attached.heap()?;
    let reaped = reap(&heap)?;
    // Locks may name records that nobody has, after whatever happened to them.
    let locks = recover_objects(&heap, &|record, tid| attached.is_dead(record, tid))?;
    heap.sweep()?;
    heap.check()?;
    drop(heap);
    let before = attached.reaped_when_opened();
    Ok(Repaired {
        participants: reaped.participants + before.participants,
        threads: reaped.threads + before.threads,
        blocks: reaped.blocks + before.blocks,
        block_bytes: reaped.block_bytes + before.block_bytes,
        locks: reaped
            .locks
            .saturating_add(before.locks)
            .saturating_add(locks),
    })
}

/// Looks at everything, and keeps others from the heap while it looks at that.
pub(crate) fn inspect_attached(attached: &Attached) -> Result<Inspection> {
    inspect(attached.image(), || {
        let _heap = attached.heap()?;
        summarise(attached.image(), |participant| {
            attached.is_alive(participant)
        })
    })
}

/// Looks at everything, without stopping anybody.
pub(crate) fn inspect_image(image: &Image) -> Result<Inspection> {
    /// A heap that changes is in disorder for less than a microsecond at a time.
    const LOOKS: u32 = 1000;

    inspect(image, || {
        let look = || summarise(image, |participant| is_alive(image, participant));
        let mut seen = look();
        for _ in 1..LOOKS {
            if seen.is_ok() || image.is_lost() {
                break;
            }
            std::thread::yield_now();
            seen = look();
        }
        seen
    })
}

fn inspect(image: &Image, heap: impl FnOnce() -> Result<HeapInfo>) -> Result<Inspection> {
    image.check_not_lost()?;
    let dimensions = image.layout().dimensions;
    let now_ns = futex::now_ns();
    let objects = list(image)?;
    let inspection = Inspection {
        region: RegionInfo {
            size_bytes: image.size_bytes()?,
            capacity_bytes: dimensions.capacity_bytes,
            participants: dimensions.participants,
            threads: dimensions.threads,
            objects: dimensions.objects,
        },
        participants: participants_of(image, now_ns)?,
        threads: threads_of(image, &objects, now_ns)?,
        locks: locks_of(image, &objects, now_ns)?,
        objects,
        heap: heap()?,
    };
    image.check_not_lost()?;
    Ok(inspection)
}

fn participants_of(image: &Image, now_ns: u64) -> Result<Vec<ParticipantInfo>> {
    let slots =
        participants(image).filter(|slot| !slot.as_ref().is_ok_and(|slot| !slot.is_attached));
    slots
        .map(|slot| {
            let slot = slot?;
            Ok(ParticipantInfo {
                slot: slot.slot,
                epoch: slot.epoch,
                pid: slot.pid,
                pid_namespace: slot.namespace,
                start_time_ticks: slot.start_time,
                attached_for_ns: now_ns.saturating_sub(slot.since_ns),
                is_alive: slot.is_alive(image),
            })
        })
        .collect()
}

fn threads_of(image: &Image, objects: &[ObjectInfo], now_ns: u64) -> Result<Vec<ThreadInfo>> {
    let mut threads = Vec::new();
    for record in 0..image.layout().dimensions.threads {
        let state = Record::load(image, record)?;
        let Some(owner) = state.owner else {
            continue;
        };
        let offset = |offset: u64| (offset != 0).then_some(offset);
        let waiting_on = offset(state.waiting_on);
        threads.push(ThreadInfo {
            record,
            slot: owner.slot,
            tid: state.own_tid,
            pending_offset_bytes: offset(state.pending),
            waiting_on_offset_bytes: waiting_on,
            waiting_on: waiting_on.and_then(|at| name_at(objects, at)),
            waiting_for_ns: waiting_on.map(|_| now_ns.saturating_sub(state.waiting_since_ns)),
            is_alive: is_alive(image, owner),
        });
    }
    Ok(threads)
}

fn name_at(objects: &[ObjectInfo], at: u64) -> Option<String> {
    let object = objects.iter().find(|object| {
        at.checked_sub(object.offset_bytes)
            .is_some_and(|into| into < object.size_bytes)
    });
    object.map(|object| object.name.clone())
}

fn locks_of(image: &Image, objects: &[ObjectInfo], now_ns: u64) -> Result<Vec<LockInfo>> {
    let mut locks = vec![robust_lock(image, "", ObjectKind::Mutex, CONTROL, now_ns)?];
    for object in objects {
        let (at, len) = (object.offset_bytes, object.size_bytes);
        let lock = match object.kind {
            ObjectKind::Mutex
            | ObjectKind::RwLock
            | ObjectKind::Once
            | ObjectKind::OnceValue
            | ObjectKind::Barrier
                if len >= size_of::<RobustWord>() as u64 =>
            {
                robust_lock(image, &object.name, object.kind, at, now_ns)?
            }
            // It has no owner.
            ObjectKind::Semaphore => LockInfo::free(&object.name, object.kind, at),
            _ => continue,
        };
        let holders = crate::locks::holders(image, object.kind, at, len)?;
        let holders = holders.into_iter().map(|(record, id)| {
            let tid = thread_of(image, record, id);
            HolderInfo {
                record,
                tid: tid.unwrap_or(id),
                is_unknown: tid.is_none(),
            }
        });
        locks.push(LockInfo {
            holders: holders.collect(),
            ..lock
        });
    }
    Ok(locks)
}

impl LockInfo {
    fn free(name: &str, kind: ObjectKind, offset_bytes: u64) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            offset_bytes,
            owner_record: None,
            owner_tid: None,
            held_at_least_ns: None,
            owner_died: false,
            is_owner_unknown: false,
            has_waiters: false,
            holders: Vec::new(),
        }
    }
}

/// The living thread that has this record, and that locks know by this id: its own id.
fn thread_of(image: &Image, record: u32, id: u32) -> Option<u32> {
    let state = Record::load(image, record).ok()?;
    let is_it = state.tid == id && state.owner.is_some_and(|owner| is_alive(image, owner));
    is_it.then_some(state.own_tid)
}

/// What a word in the kernel's format says, and the words behind it, which name its owner's record, and say since
/// when a waiter knows of that.
fn robust_lock(
    image: &Image,
    name: &str,
    kind: ObjectKind,
    at: u64,
    now_ns: u64,
) -> Result<LockInfo> {
    let [word, owner, since] = look(image, at)?;
    // The owner that is dated is this one, if it has not changed meanwhile.
    let is_dated = word & futex::WAITERS != 0 && since != 0 && look(image, at)?[0] == word;
    let id = word & futex::TID_MASK;
    let record = if at == CONTROL {
        owner.checked_sub(1)
    } else {
        crate::locks::mark_of(owner)
            .filter(|(_, half)| *half == id & 0xffff)
            .map(|(record, _)| record)
    };
    let owner_record = record.filter(|_| id != 0);
    let of = |record: u32| thread_of(image, record, id);
    let tid = if id == 0 {
        None
    } else if let Some(record) = owner_record {
        of(record)
    } else {
        (0..image.layout().dimensions.threads).find_map(of)
    };
    Ok(LockInfo {
        owner_record,
        owner_tid: tid.or_else(|| (id != 0).then_some(id)),
        held_at_least_ns: (is_dated && tid.is_some()).then(|| since_ms(since, now_ns) * 1_000_000),
        owner_died: word & futex::OWNER_DIED != 0,
        is_owner_unknown: id != 0 && tid.is_none(),
        has_waiters: word & futex::WAITERS != 0,
        ..LockInfo::free(name, kind, at)
    })
}

/// The word of a lock, and of the five beside it the first and the fourth.
fn look(image: &Image, at: u64) -> Result<[u32; 3]> {
    let mut bytes = [0; RobustWord::USER_OFFSET + 20];
    image.read(at, &mut bytes)?;
    let words: [u32; RobustWord::USER_OFFSET / 4 + 5] = zerocopy::transmute!(bytes);
    let [.., owner, _, _, since, _] = words;
    let [word, ..] = words;
    Ok([word, owner, since])
}

/// How many milliseconds ago it was this time, of which the low half is known.
#[expect(
    clippy::cast_possible_truncation,
    reason = "milliseconds are compared modulo 2^32"
)]
fn since_ms(since: u32, now_ns: u64) -> u64 {
    let ago = ((now_ns / 1_000_000) as u32).wrapping_sub(since);
    // Somebody may have looked at the clock after the one who asks.
    if ago > u32::MAX / 2 { 0 } else { ago.into() }
}
