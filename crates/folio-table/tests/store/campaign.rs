//! Readers while publishers and pruners are killed at random moments.
//!
//! `FOLIO_STORE_PUBLISHES` says how many generations there are to be; 1,000 make a campaign.

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use folio_table::{Generation, Store};
use rustix::process::{Signal, getpid, kill_process};

use crate::Test;
use crate::child::{Child, say};
use crate::sample::{RECORDS, Sample, held, publish as publish_one};

pub(crate) const TESTS: &[Test] = &[("campaign", campaign)];

const PUBLISHES: u64 = 300;
const PUBLISHERS: u64 = 2;
/// The longest lives of publishers and pruners: some publishings, some prunings.
const PUBLISHER_LIFE: Duration = Duration::from_millis(40);
const PRUNER_LIFE: Duration = Duration::from_millis(80);

fn campaign() {
    let wanted = match env::var("FOLIO_STORE_PUBLISHES") {
        Ok(text) => text.parse().expect("FOLIO_STORE_PUBLISHES is a number"),
        Err(_) => PUBLISHES,
    };
    let sample = Sample::new(0);
    publish_one(&sample.store, 0).unwrap();
    let floor = Floor::of(sample.path());
    floor.raise_to(1);
    let start = Instant::now();

    let readers = ["follow", "follow", "follow", "open again"];
    let readers = readers.map(|role| Child::reader(role, sample.path()));
    let crowd = Crowd::new(&sample, floor, wanted);
    let lives = thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                scope.spawn({
                    let crowd = &crowd;
                    move || crowd.publish(publisher)
                })
            })
            .collect();
        let pruner = scope.spawn(|| crowd.prune());
        let mut lives = pruner.join().unwrap();
        for publisher in publishers {
            lives.add(&publisher.join().unwrap());
        }
        lives
    });
    crowd.floor.raise_to(ENOUGH);

    let mut seen = Seen::default();
    for reader in readers {
        seen.add(&reader.finish());
    }
    let generations = sample.store.current().unwrap().unwrap();
    let Lives {
        published,
        killed,
        pruned,
    } = lives;
    println!(
        "campaign: {generations} generations in {:.1?}, {published} of them reported, {killed} processes \
         killed, {pruned} prunings; readers made {} refreshes, took {} generations ({} different), read {} values",
        start.elapsed(),
        seen.refreshes,
        seen.switches,
        seen.stamps.len(),
        seen.values,
    );
    assert!(killed > wanted / 50, "too few were killed: {killed}");
    assert!(seen.switches > wanted / 2, "too few were seen");

    // All is repaired, and nothing is left.
    assert!(generations >= wanted);
    sample.store.prune(1).unwrap();
    sample.assert_tidy([generations]);
    let reader = sample.store.reader().unwrap();
    let (number, stamp) = held(reader.current());
    assert_eq!(number, generations);
    assert_eq!(seen.stamps.get(&number).unwrap_or(&stamp), &stamp);
}

/// Those who change the store.
struct Crowd<'a> {
    sample: &'a Sample,
    floor: Floor,
    wanted: u64,
    stamps: AtomicU64,
}

/// What became of them.
#[derive(Default)]
struct Lives {
    published: u64,
    killed: u64,
    pruned: u64,
}

impl Lives {
    fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.killed += other.killed;
        self.pruned += other.pruned;
    }
}

impl<'a> Crowd<'a> {
    fn new(sample: &'a Sample, floor: Floor, wanted: u64) -> Self {
        Self {
            sample,
            floor,
            wanted,
            stamps: AtomicU64::new(1),
        }
    }

    fn is_enough(&self) -> bool {
        self.sample.store.current().unwrap() >= Some(self.wanted)
    }

    /// Starts publishers, one after the other.
    fn publish(&self, publisher: u64) -> Lives {
        let mut lives = Lives::default();
        while !self.is_enough() {
            // No two publishings have the same stamp.
            let stamp = self.stamps.fetch_add(1, Ordering::Relaxed) << 20;
            let life = random_micros(PUBLISHER_LIFE);
            let role = format!("publish for ever/{} {life}", stamp + publisher);
            let mut child = Child::start(&role, self.sample.path());
            while let Some(number) = child.next_line() {
                self.floor.raise_to(number.parse().unwrap());
                lives.published += 1;
            }
            let (_, killed) = child.wait();
            assert!(killed, "it ends no other way");
            lives.killed += 1;
        }
        lives
    }

    /// Starts pruners, one after the other.
    fn prune(&self) -> Lives {
        let mut lives = Lives::default();
        while !self.is_enough() {
            let life = random_micros(PRUNER_LIFE);
            let role = format!("prune for ever/{life}");
            let (prunings, killed) = Child::start(&role, self.sample.path()).wait();
            assert!(killed, "it ends no other way");
            lives.pruned += prunings.len() as u64;
            lives.killed += 1;
        }
        lives
    }
}

/// What readers saw, all together.
#[derive(Default)]
struct Seen {
    refreshes: u64,
    switches: u64,
    values: u64,
    /// The stamp of each generation.
    stamps: BTreeMap<u64, u64>,
}

impl Seen {
    fn report(&self) {
        say(&format!(
            "{} {} {}",
            self.refreshes, self.switches, self.values
        ));
        for (number, stamp) in &self.stamps {
            say(&format!("{number} {stamp}"));
        }
    }

    #[track_caller]
    fn add(&mut self, report: &[String]) {
        let numbers = |line: &String| -> Vec<u64> {
            line.split(' ').map(|word| word.parse().unwrap()).collect()
        };
        let counts = numbers(&report[0]);
        self.refreshes += counts[0];
        self.switches += counts[1];
        self.values += counts[2];
        for line in &report[1..] {
            let pair = numbers(line);
            self.note(pair[0], pair[1]);
        }
    }

    /// A generation is the same for all who see it.
    #[track_caller]
    fn note(&mut self, number: u64, stamp: u64) {
        let known = *self.stamps.entry(number).or_insert(stamp);
        assert_eq!(known, stamp, "generation {number} is of two publishings");
    }
}

/// The newest generation that was reported published. Whoever refreshes after that sees
/// it, or a newer one.
struct Floor {
    file: File,
    highest: AtomicU64,
}

/// The floor that ends the campaign.
const ENOUGH: u64 = u64::MAX;

impl Floor {
    fn of(store: &Path) -> Self {
        let path = Self::path(store);
        Self {
            file: File::create(path).unwrap(),
            highest: AtomicU64::new(0),
        }
    }

    fn path(store: &Path) -> PathBuf {
        store.with_file_name("floor")
    }

    fn raise_to(&self, number: u64) {
        // One that is behind may come last: readers then ask for less than they could.
        let highest = self.highest.fetch_max(number, Ordering::SeqCst).max(number);
        self.file.write_all_at(&highest.to_le_bytes(), 0).unwrap();
    }
}

fn load(floor: &File) -> u64 {
    let mut bytes = [0; 8];
    floor.read_exact_at(&mut bytes, 0).unwrap();
    u64::from_le_bytes(bytes)
}

fn random_micros(limit: Duration) -> u64 {
    let random = RandomState::new().hash_one(0);
    random % u64::try_from(limit.as_micros()).unwrap()
}

/// Kills this process, whatever it is doing then.
fn die_after(micros: &str) {
    let life = Duration::from_micros(micros.parse().unwrap());
    thread::spawn(move || {
        thread::sleep(life);
        kill_process(getpid(), Signal::KILL).unwrap();
    });
}

pub(crate) fn publish(path: &OsStr, argument: &str) {
    let (stamp, life) = argument.split_once(' ').unwrap();
    let stamp: u64 = stamp.parse().unwrap();
    let store = Store::open(path).unwrap();
    die_after(life);
    for stamp in (stamp..).step_by(usize::try_from(PUBLISHERS).unwrap()) {
        let number = publish_one(&store, stamp).unwrap();
        say(&number.to_string());
    }
}

pub(crate) fn prune(path: &OsStr, life: &str) {
    let store = Store::open(path).unwrap();
    die_after(life);
    for keep in [1, 0, 3].into_iter().cycle() {
        store.prune(keep).unwrap();
        say("pruned");
    }
}

/// Reads what is current, over and over, and what was current a while ago.
pub(crate) fn follow(path: &OsStr) {
    /// How many refreshes there are to a look at the whole table, and to a rest.
    const WHOLE: u64 = 64;
    const REST: u64 = 512;
    /// How many generations are held.
    const HELD: usize = 3;

    let floor = File::open(Floor::path(Path::new(path))).unwrap();
    let mut reader = Store::open(path).unwrap().reader().unwrap();
    let mut seen = Seen::default();
    let mut old: VecDeque<(Arc<Generation>, u64)> = VecDeque::new();
    loop {
        let at_least = load(&floor);
        if at_least == ENOUGH {
            break;
        }
        let before = reader.current().number();
        let is_new = reader.refresh().unwrap();
        let current = reader.current();
        let number = current.number();
        assert!(
            number >= at_least,
            "{number} after {at_least} was published"
        );
        assert!(number >= before && is_new == (number > before));
        seen.switches += u64::from(is_new);
        seen.refreshes += 1;
        if is_new || seen.refreshes % WHOLE == 0 {
            seen.note(number, held(current).1);
            seen.values += 2 * RECORDS;
        }
        if is_new {
            let stamp = seen.stamps[&number];
            old.push_back((Arc::clone(current), stamp));
            if old.len() > HELD {
                let (generation, stamp) = old.pop_front().unwrap();
                assert_eq!(held(&generation).1, stamp, "it has changed");
                seen.values += 2 * RECORDS;
            }
        }
        if seen.refreshes % REST == 0 {
            thread::sleep(Duration::from_micros(500));
        }
    }
    seen.report();
}

/// Opens the store, over and over.
pub(crate) fn open_again(path: &OsStr) {
    let floor = File::open(Floor::path(Path::new(path))).unwrap();
    let mut seen = Seen::default();
    loop {
        let at_least = load(&floor);
        if at_least == ENOUGH {
            break;
        }
        let reader = Store::open(path).unwrap().reader().unwrap();
        let (number, stamp) = held(reader.current());
        assert!(
            number >= at_least,
            "{number} after {at_least} was published"
        );
        seen.note(number, stamp);
        seen.switches += 1;
        seen.values += 2 * RECORDS;
    }
    seen.report();
}
