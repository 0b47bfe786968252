//! Trackers, against copies of the map and lists of what was written.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use folio::{
    Advice, DirtyPages, DirtyTracker, Error, FaultPolicy, Map, MapMut, MapOptions, Protection,
    ReadAt, TrackingMethod,
};

/// The methods that can be had. The kernel's cannot before Linux 6.7, nor in some sandboxes.
fn methods() -> Vec<TrackingMethod> {
    let map = Map::options().anonymous(1).unwrap();
    let mut methods = vec![TrackingMethod::Protection];
    let by_kernel = DirtyTracker::options().method(TrackingMethod::Userfaultfd);
    match by_kernel.track(&map) {
        Ok(_) => methods.push(TrackingMethod::Userfaultfd),
        Err(Error::Io { source, .. }) => {
            let refusals = [libc::EPERM, libc::ENOSYS, libc::EINVAL];
            let refused = source
                .raw_os_error()
                .filter(|error| refusals.contains(error));
            assert!(refused.is_some(), "{source:?}");
            assert!(std::env::var_os("CI").is_none(), "userfaultfd: {source}");
            println!("skipped: userfaultfd's asynchronous write-protection: {source}");
        }
        Err(error) => panic!("{error:?}"),
    }
    methods
}

fn page() -> usize {
    rustix::param::page_size()
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(word).unwrap() % limit.max(1)
    }
}

/// A tracker, and what it is to say.
struct Follower {
    tracker: DirtyTracker,
    /// The pages written to, counted from the map's first byte.
    expected: BTreeSet<usize>,
    /// The map as it was at the last checkpoint, brought up to date by what the tracker says.
    copy: Vec<u8>,
}

struct Tracked {
    map: MapMut,
    model: Vec<u8>,
    /// How far into its first page the map begins.
    skew: usize,
    method: TrackingMethod,
    followers: Vec<Follower>,
    writable: bool,
    checkpoints: usize,
}

fn pages_of(dirty: &DirtyPages, skew: usize) -> BTreeSet<usize> {
    let mut pages = BTreeSet::new();
    for range in dirty.ranges() {
        let start = usize::try_from(range.start).unwrap() + skew;
        let end = usize::try_from(range.end).unwrap() + skew;
        pages.extend(start / page()..end.div_ceil(page()));
    }
    pages
}

impl Tracked {
    fn new(map: MapMut, skew: usize, method: TrackingMethod) -> Self {
        let mut model = vec![0; usize::try_from(map.len()).unwrap()];
        map.read_exact_at(0, &mut model).unwrap();
        Self {
            map,
            model,
            skew,
            method,
            followers: Vec::new(),
            writable: true,
            checkpoints: 0,
        }
    }

    fn step(&mut self, numbers: &mut Numbers) {
        match numbers.below(16) {
            0..=6 => self.write(numbers),
            7 => self.grow(numbers),
            8 => self.protect(numbers),
            9 | 10 => self.disturb(numbers),
            11 if self.followers.len() < 4 => self.follow(),
            12 if self.followers.len() > 2 => {
                let gone = numbers.below(self.followers.len());
                drop(self.followers.swap_remove(gone));
            }
            13 => self.look(numbers),
            _ => self.checkpoint(numbers),
        }
    }

    fn follow(&mut self) {
        let options = DirtyTracker::options().method(self.method);
        let tracker = options.track(&self.map).unwrap();
        assert_eq!(tracker.method(), self.method);
        self.followers.push(Follower {
            tracker,
            expected: BTreeSet::new(),
            copy: self.model.clone(),
        });
    }

    fn write(&mut self, numbers: &mut Numbers) {
        let at = numbers.below(self.model.len());
        let most = [70, 70, 70, 3 * page()][numbers.below(4)];
        let len = numbers.below(most);
        let bytes = vec![u8::try_from(numbers.below(256)).unwrap(); len];
        let outcome = self.map.write_all_at(at as u64, &bytes);
        let fits = len <= self.model.len() - at;
        assert_eq!(outcome.is_ok(), fits && self.writable, "{outcome:?}");
        if outcome.is_ok() && len > 0 {
            self.model[at..at + len].copy_from_slice(&bytes);
            let (start, end) = (at + self.skew, at + len + self.skew);
            self.expect(start / page()..end.div_ceil(page()));
        }
    }

    fn expect(&mut self, pages: std::ops::Range<usize>) {
        for follower in &mut self.followers {
            follower.expected.extend(pages.clone());
        }
    }

    fn grow(&mut self, numbers: &mut Numbers) {
        let old_len = self.model.len();
        let len = old_len + numbers.below(3 * page());
        if self.map.grow(len as u64).is_err() || len == old_len {
            assert!(len as u64 > self.map.capacity() || len == old_len);
            return;
        }
        self.model.resize(len, 0);
        // What the file had already beyond the map is seen now.
        let new = &mut self.model[old_len..];
        self.map.read_exact_at(old_len as u64, new).unwrap();
        let (start, end) = (old_len + self.skew, len + self.skew);
        self.expect(start / page()..end.div_ceil(page()));
    }

    fn protect(&mut self, numbers: &mut Numbers) {
        self.writable = numbers.below(3) > 0;
        let protection = if self.writable {
            Protection::ReadWrite
        } else {
            Protection::ReadOnly
        };
        self.map.protect(protection).unwrap();
    }

    /// Takes pages out of memory, in several ways.
    fn disturb(&mut self, numbers: &mut Numbers) {
        let start = numbers.below(self.model.len()) as u64;
        self.map.flush(start..).unwrap();
        let advice = [Advice::DontNeed, Advice::PageOut, Advice::Populate][numbers.below(3)];
        let _ = self.map.advise(start.., advice);
    }

    /// Asks without a checkpoint, which changes nothing.
    fn look(&mut self, numbers: &mut Numbers) {
        if self.followers.is_empty() {
            return;
        }
        let follower = &self.followers[numbers.below(self.followers.len())];
        let dirty = follower.tracker.dirty().unwrap();
        assert_eq!(pages_of(&dirty, self.skew), follower.expected);
    }

    fn checkpoint(&mut self, numbers: &mut Numbers) {
        if self.followers.is_empty() {
            return;
        }
        let chosen = numbers.below(self.followers.len());
        let follower = &mut self.followers[chosen];
        let dirty = follower.tracker.checkpoint().unwrap();
        assert_eq!(dirty.map_len(), self.model.len() as u64);
        assert_eq!(pages_of(&dirty, self.skew), follower.expected);
        assert_eq!(dirty.page_count(), follower.expected.len() as u64);
        follower.expected.clear();
        follower.copy.resize(self.model.len(), 0);
        for range in dirty.ranges() {
            let (start, end) = (range.start, usize::try_from(range.end).unwrap());
            let copy = &mut follower.copy[usize::try_from(start).unwrap()..end];
            self.map.read_exact_at(start, copy).unwrap();
        }
        assert!(follower.copy == self.model);
        self.checkpoints += 1;
    }
}

fn steps() -> usize {
    let steps = std::env::var("FOLIO_TRACKER_STEPS").ok();
    steps.map_or(1500, |steps| steps.parse().unwrap())
}

/// A map of each kind, with how far into its first page it begins.
fn maps(options: &MapOptions) -> Vec<(MapMut, usize)> {
    let size = 20 * page() + 123;
    let mut maps = vec![(options.anonymous(size as u64).unwrap(), 0)];
    #[cfg(target_os = "linux")]
    maps.push((options.memfd("tracked", size as u64).unwrap(), 0));
    for folder in [env!("CARGO_TARGET_TMPDIR"), "/dev/shm"] {
        let Ok(file) = tempfile::NamedTempFile::new_in(folder) else {
            continue;
        };
        let content: Vec<u8> = (0..=250).cycle().take(25 * page()).collect();
        std::fs::write(&file, &content).unwrap();
        maps.push((options.open_mut(&file).unwrap(), 0));
        let part = options.clone().offset(page() as u64 + 77).len(size as u64);
        maps.push((part.open_mut(&file).unwrap(), 77));
    }
    maps
}

#[test]
fn every_tracker_finds_exactly_what_was_written() {
    for method in methods() {
        for policy in [FaultPolicy::Handler, FaultPolicy::Syscall] {
            let options = Map::options()
                .reserve(60 * page() as u64)
                .fault_policy(policy);
            let mut checkpoints = 0;
            for (seed, (map, skew)) in (1..).zip(maps(&options)) {
                let mut numbers = Numbers(seed * 77);
                let mut tracked = Tracked::new(map, skew, method);
                tracked.follow();
                for _ in 0..steps() {
                    tracked.step(&mut numbers);
                }
                checkpoints += tracked.checkpoints;
                // A map that nobody follows is written to as before, and can be followed anew.
                tracked.followers.clear();
                tracked.map.protect(Protection::ReadWrite).unwrap();
                tracked.writable = true;
                tracked.write(&mut numbers);
                tracked.follow();
                tracked.write(&mut numbers);
                tracked.checkpoint(&mut numbers);
            }
            println!("{method:?}, {policy:?}: {checkpoints} checkpoints");
            assert!(checkpoints > 100);
        }
    }
}

#[test]
fn a_copy_follows_threads_that_write() {
    const THREADS: u8 = 4;
    for method in methods() {
        let pages = 400;
        let map = Map::options().anonymous((pages * page()) as u64).unwrap();
        let options = DirtyTracker::options().method(method);
        let mut tracker = options.track(&map).unwrap();
        let mut copy = vec![0_u8; pages * page()];
        let stop = AtomicBool::new(false);
        let mut update = |tracker: &mut DirtyTracker| {
            let dirty = tracker.checkpoint().unwrap();
            for range in dirty.ranges() {
                let (start, end) = (range.start, usize::try_from(range.end).unwrap());
                let part = &mut copy[usize::try_from(start).unwrap()..end];
                map.read_exact_at(start, part).unwrap();
            }
            dirty.page_count()
        };
        std::thread::scope(|scope| {
            for thread in 1..=THREADS {
                let (map, stop) = (&map, &stop);
                scope.spawn(move || {
                    let mut numbers = Numbers(u64::from(thread));
                    while !stop.load(Ordering::Relaxed) {
                        let at = numbers.below(pages * page() - 8);
                        let value = u8::try_from(numbers.below(256)).unwrap();
                        map.write_all_at(at as u64, &[value; 8]).unwrap();
                    }
                });
            }
            let (mut found, mut rounds) = (0, 0);
            let started = std::time::Instant::now();
            // On a busy machine the threads may begin late.
            while rounds < 300 || (found == 0 && started.elapsed().as_secs() < 60) {
                found += update(&mut tracker);
                rounds += 1;
                std::thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
            assert!(found > 0);
        });
        update(&mut tracker);
        let mut bytes = vec![0; pages * page()];
        map.read_exact_at(0, &mut bytes).unwrap();
        assert!(copy == bytes, "{method:?}");
        assert!(tracker.checkpoint().unwrap().is_empty());
    }
}

#[test]
fn many_runs_of_written_pages_cost_precision_and_no_page() {
    // More than there may be mappings, every second page.
    let pages = 140_000;
    let map = Map::options().anonymous((pages * page()) as u64).unwrap();
    let options = DirtyTracker::options().method(TrackingMethod::Protection);
    let mut tracker = options.track(&map).unwrap();
    for round in 0..2 {
        let mut written = BTreeSet::new();
        for at in (0..pages).step_by(2).map(|at| (at * 7919) % pages) {
            map.put((at * page()) as u64, &round).unwrap();
            written.insert(at);
        }
        let found = pages_of(&tracker.checkpoint().unwrap(), 0);
        assert!(found.is_superset(&written));
        map.put((77 * page()) as u64, &round).unwrap();
        assert_eq!(pages_of(&tracker.checkpoint().unwrap(), 0), [77].into());
    }
}

#[test]
fn one_method_at_a_time() {
    let map = Map::options().anonymous(100_000).unwrap();
    let all = methods();
    for &method in &all {
        let tracker = DirtyTracker::options().method(method).track(&map).unwrap();
        assert_eq!(DirtyTracker::new(&map).unwrap().method(), method);
        for &other in all.iter().filter(|&&other| other != method) {
            let refused = DirtyTracker::options().method(other).track(&map);
            assert!(matches!(refused, Err(Error::Unsupported { .. })));
        }
        drop(tracker);
    }
    assert_eq!(
        DirtyTracker::new(&map).unwrap().method(),
        all[all.len() - 1]
    );
}

#[test]
fn a_lost_page_is_an_error_as_ever() {
    for method in methods() {
        for policy in [FaultPolicy::Handler, FaultPolicy::Syscall] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(4 * page() as u64).unwrap();
            let options = Map::options().fault_policy(policy);
            let map = options.map_mut(&file, "lost").unwrap();
            let mut tracker = DirtyTracker::options().method(method).track(&map).unwrap();
            file.set_len(2 * page() as u64).unwrap();
            let at = 2 * page() as u64 - 3;
            let error = map.write_all_at(at, b"across").unwrap_err();
            assert!(
                matches!(error, Error::Fault { offset, .. } if offset == at + 3),
                "{error}"
            );
            let found = pages_of(&tracker.checkpoint().unwrap(), 0);
            assert!(found.contains(&1), "{found:?}");
            assert!(!found.contains(&0), "{found:?}");
            map.put(0, &1_u8).unwrap();
            assert!(pages_of(&tracker.checkpoint().unwrap(), 0).contains(&0));
        }
    }
}

#[test]
fn an_empty_map_is_tracked() {
    for method in methods() {
        let map = Map::options().reserve(100_000).anonymous(0).unwrap();
        let mut tracker = DirtyTracker::options().method(method).track(&map).unwrap();
        assert!(tracker.checkpoint().unwrap().is_empty());
        map.grow(10).unwrap();
        map.put(0, &1_u8).unwrap();
        assert_eq!(tracker.checkpoint().unwrap().bytes(), 10);
        assert!(tracker.checkpoint().unwrap().is_empty());
    }
}
