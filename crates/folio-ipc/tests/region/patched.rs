//! Regions that somebody has changed, and everything that can be done with one.
//!
//! The input of [`run`] says what is changed; the fuzzer `region` runs it, too.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::Duration;

use folio_ipc::{
    Data, LockError, LockResult, Mutex, Object, Region, RegionOptions, RwLock, Semaphore, Shared,
};
use rustix::fs::MemfdFlags;
use xxhash_rust::xxh3::xxh3_64;

/// Where the header's checksum is: of all bytes before it.
const HEADER_SUM: usize = 4048;

/// Where the heap begins, of a region of these options.
const HEAP: u64 = 12288;
const CONTROL: usize = 4096;

/// A region that is so small that most of what can be changed matters.
pub(crate) fn options() -> RegionOptions {
    Region::options()
        .size_bytes(24 << 10)
        .capacity_bytes(48 << 10)
        .participants(2)
        .threads(4)
        .objects(8)
}

/// A region with objects in it, one of which is removed and used, and blocks that are free.
pub(crate) fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let region = options().anonymous().unwrap();
        let make = |name: &str| region.object::<Data<[u64; 30]>>(name).unwrap();
        let objects = ["one", "two", "three", "four"].map(make);
        let mutex = region.object::<Mutex<u64>>("mutex").unwrap();
        let rwlock = region.object::<RwLock<u64>>("rwlock").unwrap();
        let semaphore = region.object_with::<Semaphore>("semaphore", || 2).unwrap();
        let held = (
            mutex.lock().unwrap(),
            rwlock.read().unwrap(),
            semaphore.acquire().unwrap(),
        );
        region.remove("two").unwrap();
        // As it would be found if this process were killed now: its slot, its record and its bits are there.
        let file = File::from(region.as_fd().try_clone_to_owned().unwrap());
        region.remove("four").unwrap();
        let mut bytes = vec![0; 24 << 10];
        file.read_exact_at(&mut bytes, 0).unwrap();
        drop(held);
        drop(objects);
        bytes
    })
}

/// Changes the region as the input says, and does all that can be done with it. There may be errors, and
/// nothing else.
pub(crate) fn run(input: &[u8]) {
    let mut bytes = image().to_vec();
    for patch in input.chunks_exact(12) {
        apply(&mut bytes, patch);
    }
    let _ = use_all(&bytes);
}

/// A patch: what to do, where, and a value.
fn apply(bytes: &mut Vec<u8>, patch: &[u8]) {
    let at = usize::from(u16::from_le_bytes([patch[1], patch[2]]));
    let value = u64::from_le_bytes(patch[4..12].try_into().unwrap());
    let word_at = at / 8 * 8;
    match patch[0] % 8 {
        0 => put(bytes, word_at, value),
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= patch[3];
            }
        }
        // A block's header, with a right check.
        2 => put(
            bytes,
            at / 64 * 64,
            tag(
                (at / 64 * 64) as u64,
                value & 0xffff,
                u64::from(patch[3] % 4),
            ),
        ),
        // A word of the heap or the directory that leads to somewhere near.
        3 => put(bytes, word_at, HEAP + (value % 200) * 64),
        4 => put(bytes, CONTROL + at % 512 / 8 * 8, HEAP + (value % 200) * 64),
        // The size, with a right check.
        5 => put(bytes, 4056, seal(value % 16)),
        6 => bytes.truncate(at.max(1)),
        // A word of an entry: a small number.
        _ => put(bytes, word_at, value % 8),
    }
    // The checksum is no secret.
    if patch[3] & 0x80 != 0 && bytes.len() > HEADER_SUM + 8 {
        let sum = xxh3_64(&bytes[..HEADER_SUM]);
        put(bytes, HEADER_SUM, sum);
    }
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    if let Some(word) = bytes.get_mut(at..at + 8) {
        word.copy_from_slice(&value.to_le_bytes());
    }
}

fn seal(pages: u64) -> u64 {
    pages | xxh3_64(&pages.to_le_bytes()) >> 40 << 40
}

/// The first word of a block's header: see `docs/region.md`.
pub(crate) fn tag(at: u64, granules: u64, state: u64) -> u64 {
    let value = granules | state << 42;
    let mixed = (at.rotate_left(32) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value | (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 44 << 44
}

/// Puts these bytes into a file, and does all that can be done with it as a region.
pub(crate) fn use_all(bytes: &[u8]) -> Result<(), folio_ipc::Error> {
    let file = rustix::fs::memfd_create("patched", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::fchmod(&file, 0o600.into()).unwrap();
    let file = File::from(file);
    file.write_all_at(bytes, 0).unwrap();
    let observed = observe(&file);
    let region = Region::from_fd(file.as_fd().try_clone_to_owned().unwrap());
    let used = region.and_then(|region| use_region(&region));
    observed.and(used)
}

fn observe(file: &File) -> Result<(), folio_ipc::Error> {
    let observer = Region::observe_fd(file.as_fd().try_clone_to_owned().unwrap())?;
    let objects = observer.objects().map(drop);
    observer.inspect().map(drop).and(objects)
}

/// Everything, also after an error; the first one.
fn use_region(region: &Region) -> Result<(), folio_ipc::Error> {
    let outcomes = [
        region.check().map(drop),
        region.objects().map(drop),
        region.inspect().map(drop),
        region
            .open_object::<Data<[u64; 30]>>("one")
            .and_then(|one| one.get().map(drop)),
        region
            .open_object::<Data<[u64; 30]>>("three")
            .and_then(|one| one.set(&[7; 30])),
        region.object::<Data<[u64; 20]>>("new").map(drop),
        use_locks(region),
        region.object::<Data<[u64; 600]>>("large").map(drop),
        region.remove("three").map(drop),
        region.grow(40 << 10),
        region.object::<Data<[u64; 2000]>>("larger").map(drop),
        region.remove("one").map(drop),
        region.repair().map(drop),
        region.check().map(drop),
    ];
    outcomes.into_iter().collect()
}

/// Tries the locks, and waits for none: somebody may be said to have them.
fn use_locks(region: &Region) -> Result<(), folio_ipc::Error> {
    const SHORTLY: Duration = Duration::from_micros(10);

    let outcomes = [
        with(region, "mutex", |lock: &Mutex<u64>| {
            settle(lock.lock_timeout(SHORTLY));
        }),
        with(region, "rwlock", |lock: &RwLock<u64>| {
            settle(lock.read_timeout(SHORTLY));
            settle(lock.write_timeout(SHORTLY));
        }),
        with(region, "semaphore", |lock: &Semaphore| {
            let permits = [
                lock.acquire_timeout(SHORTLY),
                lock.try_acquire(),
                lock.try_acquire(),
            ];
            drop(permits);
        }),
    ];
    outcomes.into_iter().collect()
}

fn with<T: Object>(
    region: &Region,
    name: &str,
    what: impl FnOnce(&T),
) -> Result<(), folio_ipc::Error> {
    let object: Shared<T> = region.object(name)?;
    what(&object);
    Ok(())
}

/// Whatever came of it.
fn settle<G>(outcome: LockResult<G>) {
    match outcome {
        Ok(guard) | Err(LockError::OwnerDied(guard)) => drop(guard),
        Err(_) => {}
    }
}
