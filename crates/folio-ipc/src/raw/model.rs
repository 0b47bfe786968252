//! The world of the models: processes that are threads of loom, and that die where they are told to.
//!
//! Each model is explored once without a death, and once for every step at which the doomed thread can die. The
//! futex of this world gives no wakeup that a real one would not give; naps end only after somebody has died.
//! So a lost wakeup is a deadlock, and loom says so.

mod barrier;
mod condvar;
mod event;
mod mutex;
mod once;
mod rwlock;
mod semaphore;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool as StdBool, AtomicUsize as StdCount, Ordering};

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::atomics::AtomicU32;
use super::environment::{Environment, Identity, Nap, Owner, Waited, mark};
use super::mutex::{OWNER_DIED, TID_MASK, WAITERS, Words};

/// How often a nap ends for each death and thread. Once is for the lock that the dead had; the others are for
/// naps that were over while a living thread had it.
const NAPS_PER_DEATH: usize = 3;

/// Explores a model: first with nobody dying, then, where it has a doomed process, with its death at each of its steps.
pub(super) fn explore(name: &str, preemptions: Option<usize>, model: fn(Fate)) {
    explore_deaths(name, preemptions, model, 0..1);
}

/// The same with a death at the first step, at the second, …, until the doomed process lives to its end.
pub(super) fn explore_each_death(name: &str, preemptions: Option<usize>, model: fn(Fate)) {
    explore_deaths(name, preemptions, model, 1..usize::MAX);
}

fn explore_deaths(
    name: &str,
    preemptions: Option<usize>,
    model: fn(Fate),
    steps: std::ops::Range<usize>,
) {
    let executions = Arc::new(StdCount::new(0));
    let deaths = Arc::new(StdCount::new(0));
    let mut points = 0;
    for dies_at in steps {
        let died = Arc::new(StdBool::new(false));
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        let (counted, fate) = (
            Arc::clone(&executions),
            Fate {
                dies_at: (dies_at > 0).then_some(dies_at),
                died: Arc::clone(&died),
                deaths: Arc::clone(&deaths),
            },
        );
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            model(fate.clone());
        });
        if !died.load(Ordering::Relaxed) {
            break;
        }
        points += 1;
    }
    let bound = preemptions.map_or("unbounded".to_owned(), |bound| {
        format!("at most {bound} preemptions")
    });
    println!(
        "loom {name}: {} executions ({bound}), {} deaths at {points} steps",
        executions.load(Ordering::Relaxed),
        deaths.load(Ordering::Relaxed),
    );
}

/// A word in the format of the kernel, and what stands beside it.
pub(super) struct Robust {
    word: Arc<AtomicU32>,
    beside: [AtomicU32; 5],
}

impl Robust {
    pub(super) fn new() -> Self {
        Self {
            word: Arc::new(AtomicU32::new(0)),
            beside: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    pub(super) fn words(&self) -> Words<'_> {
        Words {
            word: &self.word,
            beside: &self.beside,
        }
    }
}

/// What the kernel keeps.
struct Kernel {
    /// Whether it gives back what the dead had. It knows nothing of locks that were not linked.
    recovers: bool,
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    sleepers: Vec<Sleeper>,
    next: usize,
    dead: Vec<u32>,
}

struct Sleeper {
    ticket: usize,
    word: usize,
}

/// The processes of one execution, and what they share.
pub(super) struct World<T> {
    kernel: Kernel,
    shared: T,
}

impl<T: 'static> World<T> {
    pub(super) fn new(recovers: bool, shared: T) -> Arc<Self> {
        Arc::new(Self {
            kernel: Kernel {
                recovers,
                table: Mutex::new(Table::default()),
                changed: Condvar::new(),
            },
            shared,
        })
    }

    /// Runs a process in a thread of its own.
    pub(super) fn spawn(
        self: &Arc<Self>,
        record: u32,
        fate: Option<Fate>,
        life: impl FnOnce(&Here<'_>, &T) + 'static,
    ) -> thread::JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || world.run(record, fate, life))
    }

    /// Runs a process in this thread.
    pub(super) fn run(&self, record: u32, fate: Option<Fate>, life: impl FnOnce(&Here<'_>, &T)) {
        let here = Here {
            kernel: &self.kernel,
            record,
            steps_left: Cell::new(fate.as_ref().and_then(|fate| fate.dies_at)),
            pending: RefCell::default(),
            linked: RefCell::default(),
            naps: Cell::new(0),
        };
        let lived = catch_unwind(AssertUnwindSafe(|| life(&here, &self.shared)));
        if let Err(cause) = lived {
            if !cause.is::<Death>() {
                resume_unwind(cause);
            }
            if let Some(fate) = fate {
                fate.died.store(true, Ordering::Relaxed);
                fate.deaths.fetch_add(1, Ordering::Relaxed);
            }
            here.end();
        }
    }

    pub(super) fn shared(&self) -> &T {
        &self.shared
    }
}

/// When a process dies, and where it is written down that it did.
#[derive(Clone)]
pub(super) struct Fate {
    dies_at: Option<usize>,
    died: Arc<StdBool>,
    deaths: Arc<StdCount>,
}

struct Death;

/// A process of the world.
pub(super) struct Here<'a> {
    kernel: &'a Kernel,
    record: u32,
    steps_left: Cell<Option<usize>>,
    pending: RefCell<Option<Arc<AtomicU32>>>,
    linked: RefCell<Vec<Arc<AtomicU32>>>,
    naps: Cell<usize>,
}

impl<'a> Here<'a> {
    /// The process as it uses one lock.
    pub(super) fn at<'b>(&'b self, robust: &'b Robust) -> At<'a, 'b> {
        At {
            here: self,
            robust: Some(&robust.word),
        }
    }

    /// The process as it uses words that the kernel knows nothing of.
    pub(super) fn bare(&self) -> At<'a, '_> {
        At {
            here: self,
            robust: None,
        }
    }

    fn tid(&self) -> u32 {
        self.record + 100
    }

    fn owns(&self, word: &AtomicU32) -> bool {
        word.load(Ordering::SeqCst) & TID_MASK == self.tid()
    }

    /// Has the kernel look at a word; what was announced before, and taken, gets into the list.
    fn announce(&self, word: Arc<AtomicU32>) {
        let earlier = self.pending.replace(Some(word));
        let taken = earlier.filter(|earlier| self.owns(earlier));
        self.linked.borrow_mut().extend(taken);
    }

    /// What the kernel does when the process has died: first it walks the list, then it closes the files, which
    /// is how the others find out.
    fn end(&self) {
        let pending = self.pending.borrow_mut().take();
        let linked = self.linked.take();
        if self.kernel.recovers {
            for word in linked.iter().chain(&pending) {
                self.give_back(word);
            }
            if let Some(word) = pending.filter(|word| word.load(Ordering::SeqCst) == 0) {
                self.kernel.wake(&word, 1);
            }
        }
        let mut table = self.kernel.table.lock().unwrap();
        table.dead.push(self.record);
        drop(table);
        self.kernel.changed.notify_all();
    }

    fn give_back(&self, word: &AtomicU32) {
        let mut seen = word.load(Ordering::SeqCst);
        while seen & TID_MASK == self.tid() {
            let died = (seen & WAITERS) | OWNER_DIED;
            match word.compare_exchange(seen, died, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) if seen & WAITERS != 0 => {
                    self.kernel.wake(word, 1);
                    return;
                }
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

impl Kernel {
    fn wake(&self, word: &AtomicU32, count: u32) -> u32 {
        let mut woken = 0;
        let mut table = self.table.lock().unwrap();
        table.sleepers.retain(|sleeper| {
            let wakes = sleeper.word == address(word) && woken < count;
            woken += u32::from(wakes);
            !wakes
        });
        drop(table);
        self.changed.notify_all();
        woken
    }
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}

/// A process that uses one lock.
#[derive(Clone, Copy)]
pub(super) struct At<'a, 'b> {
    here: &'b Here<'a>,
    robust: Option<&'b Arc<AtomicU32>>,
}

impl At<'_, '_> {
    fn robust(&self) -> Arc<AtomicU32> {
        Arc::clone(self.robust.expect("a lock that is announced is robust"))
    }
}

/// A deadline in the models is any: it may pass as soon as there is something to wait for.
#[derive(Clone, Copy)]
pub(super) struct Soon;

impl Identity for At<'_, '_> {
    fn tid(&self) -> u32 {
        self.here.tid()
    }

    fn mark(&self) -> u32 {
        mark(self.here.record, self.here.tid())
    }

    fn reached(&self, _step: &'static str) {
        let steps_left = &self.here.steps_left;
        match steps_left.get() {
            Some(1) => resume_unwind(Box::new(Death)),
            Some(steps) => steps_left.set(Some(steps - 1)),
            None => {}
        }
    }
}

impl Owner for At<'_, '_> {
    fn announce(&self) {
        self.here.announce(self.robust());
    }

    fn announce_release(&self) {
        let robust = self.robust();
        self.here.announce(Arc::clone(&robust));
        let mut linked = self.here.linked.borrow_mut();
        linked.retain(|word| !Arc::ptr_eq(word, &robust));
    }

    fn concluded(&self) {
        *self.here.pending.borrow_mut() = None;
    }
}

impl Environment for At<'_, '_> {
    type Deadline = Soon;

    fn withdraw(&self) {
        let robust = self.robust();
        let linked = self.here.linked.borrow();
        if !self.here.owns(&robust) || linked.iter().any(|word| Arc::ptr_eq(word, &robust)) {
            *self.here.pending.borrow_mut() = None;
        }
    }

    fn is_owner_dead(&self, tid: u32, mark: u32) -> bool {
        let _ = mark;
        self.is_dead(tid - 100, tid)
    }

    fn is_dead(&self, record: u32, _tid: u32) -> bool {
        let table = self.here.kernel.table.lock().unwrap();
        table.dead.contains(&record)
    }

    fn probes_at_once(&self) -> bool {
        true
    }

    fn wait(&self, word: &AtomicU32, expected: u32, deadline: Option<Soon>, nap: Nap) -> Waited {
        let here = self.here;
        let mut table = here.kernel.table.lock().unwrap();
        if word.load(Ordering::SeqCst) != expected {
            return Waited::Woken;
        }
        if deadline.is_some() || nap == Nap::Courtesy {
            drop(table);
            thread::yield_now();
            return match deadline {
                Some(_) => Waited::TimedOut,
                None => Waited::Napped,
            };
        }
        let ticket = table.next;
        table.next += 1;
        table.sleepers.push(Sleeper {
            ticket,
            word: address(word),
        });
        loop {
            if !table
                .sleepers
                .iter()
                .any(|sleeper| sleeper.ticket == ticket)
            {
                return Waited::Woken;
            }
            if here.naps.get() < table.dead.len() * NAPS_PER_DEATH {
                here.naps.set(here.naps.get() + 1);
                table.sleepers.retain(|sleeper| sleeper.ticket != ticket);
                drop(table);
                thread::yield_now();
                return Waited::Napped;
            }
            table = here.kernel.changed.wait(table).unwrap();
        }
    }

    fn wake(&self, word: &AtomicU32, count: u32) -> u32 {
        self.here.kernel.wake(word, count)
    }

    fn spin_rounds(&self) -> u32 {
        0
    }

    fn pause(&self, _round: u32) {}

    fn spun(&self, _in_time: bool) {}

    fn begin_waiting(&self) {}

    fn end_waiting(&self) {}

    fn now_ms(&self) -> u32 {
        1
    }
}
