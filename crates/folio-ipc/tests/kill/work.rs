//! What children do with each lock, and what must be so at any time.

use std::cell::Cell;
use std::hint;
use std::time::Duration;

use folio_ipc::{
    Barrier, Condvar, Data, Event, EventReset, LockError, LockResult, Mutex, MutexGuard, Once,
    OnceValue, Region, RwLock, Semaphore, Shared,
};
use zerocopy::IntoBytes;

/// How many children use the barrier at a time.
pub(crate) const PARTIES: u32 = 3;
const PERMITS: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mutex,
    RwLock,
    Condvar,
    Semaphore,
    Barrier,
    Once,
    Event,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Mutex,
        Self::RwLock,
        Self::Condvar,
        Self::Semaphore,
        Self::Barrier,
        Self::Once,
        Self::Event,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RwLock => "rwlock",
            Self::Condvar => "condvar",
            Self::Semaphore => "semaphore",
            Self::Barrier => "barrier",
            Self::Once => "once",
            Self::Event => "event",
        }
    }

    /// The points that a process which uses such a lock passes: its own, and those of the mutex in it.
    pub(crate) fn points(self) -> Vec<&'static str> {
        let has_mutex = !matches!(self, Self::Semaphore | Self::Event);
        let own = format!("{}.", self.name());
        folio_ipc::kill_points()
            .iter()
            .filter(|point| point.starts_with(&own) || has_mutex && point.starts_with("mutex."))
            .copied()
            .collect()
    }
}

/// Two words that are equal whenever nobody is between the two.
type Pair = [u64; 2];

/// All locks of a region.
pub(crate) struct Tools<'a> {
    region: &'a Region,
    number: u32,
    random: Cell<u64>,
    mutex: Shared<Mutex<Pair>>,
    rwlock: Shared<RwLock<Pair>>,
    queue: Shared<Mutex<u64>>,
    changed: Shared<Condvar>,
    single: Shared<Semaphore>,
    holder: Shared<Data<u32>>,
    permits: Shared<Semaphore>,
    barrier: Shared<Barrier>,
    manual: Shared<Event>,
    automatic: Shared<Event>,
    turn: Cell<u64>,
}

impl<'a> Tools<'a> {
    pub(crate) fn new(region: &'a Region, number: u32) -> Self {
        Self {
            region,
            number,
            random: Cell::new(u64::from(std::process::id()) << 20 | 1),
            mutex: region.object("mutex").unwrap(),
            rwlock: region.object("rwlock").unwrap(),
            queue: region.object("queue").unwrap(),
            changed: region.object("changed").unwrap(),
            single: region.object("single").unwrap(),
            holder: region.object("holder").unwrap(),
            permits: region.object_with("permits", || PERMITS).unwrap(),
            barrier: region.object_with("barrier", || PARTIES).unwrap(),
            manual: region.object("manual").unwrap(),
            automatic: region
                .object_with("automatic", || EventReset::Automatic)
                .unwrap(),
            turn: Cell::new(0),
        }
    }

    /// The next of a sequence of numbers without order (xorshift).
    pub(crate) fn random(&self) -> u32 {
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        u32::try_from(random >> 32).unwrap()
    }

    pub(crate) fn work(&self, kind: Kind) {
        match kind {
            Kind::Mutex => self.work_mutex(),
            Kind::RwLock => self.work_rwlock(),
            Kind::Condvar => self.work_condvar(),
            Kind::Semaphore => self.work_semaphore(),
            Kind::Barrier => self.work_barrier(),
            Kind::Once => self.work_once(),
            Kind::Event => self.work_event(),
        }
    }

    /// Spends some time, so that others come by; seldom, so much that they go to sleep, or lose patience.
    fn dawdle(&self) {
        match self.random() % 16 {
            0 => std::thread::sleep(Duration::from_millis(2)),
            1..4 => std::thread::sleep(Duration::from_micros(100)),
            times => (0..times * 20).for_each(|_| hint::spin_loop()),
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_micros(u64::from(self.random() % 3_000))
    }

    fn work_mutex(&self) {
        let (choice, timeout) = (self.random() % 4, self.timeout());
        let locked = match choice {
            0 => self.mutex.try_lock(),
            1 => self.mutex.lock_timeout(timeout),
            _ => self.mutex.lock(),
        };
        let guard = match locked {
            Ok(guard) => {
                let [one, two] = guard.get();
                assert_eq!(one, two, "a mutex that nobody died with");
                guard
            }
            Err(LockError::OwnerDied(guard)) => {
                let [one, two] = guard.get();
                assert!(one == two || one == two + 1, "{one} and {two}");
                guard.set(&[one, one]);
                guard.recovered();
                guard
            }
            Err(error) => return expect_busy(&error),
        };
        let [count, _] = guard.get();
        guard.write_at(0, (count + 1).as_bytes()).unwrap();
        self.dawdle();
        guard.write_at(8, (count + 1).as_bytes()).unwrap();
    }

    fn work_rwlock(&self) {
        let (choice, timeout) = (self.random() % 8, self.timeout());
        if choice < 5 {
            let lock = &self.rwlock;
            let reading = match choice {
                0 => lock.try_read(),
                1 => lock.read_timeout(timeout),
                _ => lock.read(),
            };
            match reading {
                Ok(guard) => {
                    let [one, two] = guard.get();
                    assert_eq!(one, two, "nobody writes, and nobody died writing");
                    self.dawdle();
                    assert_eq!(guard.get(), [one, two], "nobody may write meanwhile");
                }
                Err(LockError::OwnerDied(guard)) => {
                    drop(guard);
                    self.write_pair(2, timeout);
                }
                Err(error) => expect_busy(&error),
            }
        } else {
            self.write_pair(choice - 5, timeout);
        }
    }

    fn write_pair(&self, choice: u32, timeout: Duration) {
        let lock = &self.rwlock;
        let writing = match choice {
            0 => lock.try_write(),
            1 => lock.write_timeout(timeout),
            _ => lock.write(),
        };
        let guard = match writing {
            Ok(guard) => guard,
            Err(LockError::OwnerDied(guard)) => {
                let [one, two] = guard.get();
                assert!(one == two || one == two + 1, "{one} and {two}");
                guard.set(&[one, one]);
                guard.recovered();
                guard
            }
            Err(error) => return expect_busy(&error),
        };
        let [one, two] = guard.get();
        assert_eq!(one, two, "a lock that nobody died with");
        guard.write_at(0, (one + 1).as_bytes()).unwrap();
        self.dawdle();
        guard.write_at(8, (one + 1).as_bytes()).unwrap();
    }

    fn work_condvar(&self) {
        let timeout = self.timeout();
        let guard = recovered(self.queue.lock());
        if self.random() % 3 == 0 {
            guard.update(|jobs| *jobs += 1);
            drop(guard);
            if self.random() % 4 == 0 {
                self.changed.notify_all().unwrap();
            } else {
                self.changed.notify_one().unwrap();
            }
            return;
        }
        let waited = self
            .changed
            .wait_timeout_while(guard, timeout, |jobs| *jobs == 0);
        let guard = match waited {
            Ok((guard, _)) => guard,
            Err(LockError::OwnerDied((guard, _))) => {
                guard.recovered();
                guard
            }
            Err(error) => panic!("{error:?}"),
        };
        guard.update(|jobs| *jobs = jobs.saturating_sub(1));
    }

    fn work_semaphore(&self) {
        let (choice, timeout) = (self.random() % 4, self.timeout());
        let semaphore = if self.random() % 2 == 0 {
            &self.single
        } else {
            &self.permits
        };
        let acquired = match choice {
            0 => semaphore.try_acquire(),
            1 => semaphore.acquire_timeout(timeout),
            _ => semaphore.acquire(),
        };
        let permit = match acquired {
            Ok(permit) => permit,
            Err(error) => return expect_busy(&error),
        };
        if semaphore.permits() == 1 {
            let me = std::process::id();
            self.holder.set(&me).unwrap();
            self.dawdle();
            assert_eq!(self.holder.get().unwrap(), me, "there is one permit");
        } else {
            self.dawdle();
        }
        drop(permit);
    }

    fn work_barrier(&self) {
        let timeout = self.timeout() * (1 + self.random() % 8);
        let met = match self.random() % 8 {
            0 => self.barrier.try_wait(),
            1 => self
                .barrier
                .reset()
                .map(|()| folio_ipc::BarrierOutcome::Leader),
            _ => self.barrier.wait_timeout(timeout),
        };
        match met {
            Ok(_) | Err(LockError::TimedOut | LockError::WouldBlock) => {}
            Err(LockError::Broken) => self.barrier.reset().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Each process comes by the same values in the same order.
    fn work_once(&self) {
        self.turn.set(self.turn.get() + 1);
        let turn = self.turn.get() % 64;
        let value: Shared<OnceValue<u64>> = self.region.object(&format!("value-{turn}")).unwrap();
        let once: Shared<Once> = self.region.object(&format!("once-{turn}")).unwrap();
        let made = value
            .get_or_init(|| {
                self.dawdle();
                turn * 3
            })
            .unwrap();
        assert_eq!(made, turn * 3);
        match once.call_timeout(self.timeout(), || self.dawdle()) {
            Ok(()) => assert!(once.is_done()),
            Err(error) => expect_busy(&error),
        }
        if self.random() % 4 == 0 {
            // So that there is something to be made again.
            self.region.remove(&format!("value-{turn}")).unwrap();
            self.region.remove(&format!("once-{turn}")).unwrap();
        }
    }

    fn work_event(&self) {
        let timeout = self.timeout();
        let event = if self.random() % 2 == 0 {
            &self.manual
        } else {
            &self.automatic
        };
        match self.random() % 4 {
            0 => event.set().unwrap(),
            1 => {
                event.reset().unwrap();
            }
            _ => match event.wait_timeout(timeout) {
                Ok(()) => {}
                Err(error) => expect_busy(&error),
            },
        }
    }

    /// What must be so when nobody works any more.
    pub(crate) fn check_at_rest(&self) {
        let pair = recovered_pair(self.mutex.lock());
        assert_eq!(pair[0], pair[1]);
        match self.rwlock.write() {
            Ok(guard) => assert_eq!(guard.get()[0], guard.get()[1]),
            Err(LockError::OwnerDied(guard)) => {
                let [one, two] = guard.get();
                assert!(one == two || one == two + 1, "{one} and {two}");
            }
            Err(error) => panic!("{error:?}"),
        }
        drop(recovered(self.queue.lock()));
        let patience = Duration::from_secs(20);
        let _single = self.single.acquire_timeout(patience).unwrap();
        let _permits = [(); PERMITS as usize].map(|()| {
            self.permits
                .acquire_timeout(patience)
                .expect("the dead have given back their permits")
        });
        self.barrier.reset().unwrap();
        self.automatic.set().unwrap();
        self.automatic.wait_timeout(patience).unwrap();
        self.manual.set().unwrap();
        self.manual.wait_timeout(patience).unwrap();
        assert!(self.number >= PARTIES, "the parent checks");
    }
}

fn expect_busy<G>(error: &LockError<G>) {
    assert!(
        matches!(error, LockError::WouldBlock | LockError::TimedOut),
        "{error:?}"
    );
}

fn recovered<T: folio_ipc::Payload>(locked: LockResult<MutexGuard<'_, T>>) -> MutexGuard<'_, T> {
    locked.unwrap_or_else(|error| {
        let guard = error.into_guard().unwrap();
        guard.recovered();
        guard
    })
}

fn recovered_pair(locked: LockResult<MutexGuard<'_, Pair>>) -> Pair {
    match locked {
        Ok(guard) => guard.get(),
        Err(error) => {
            let [one, two] = error.into_guard().unwrap().get();
            assert!(one == two || one == two + 1, "{one} and {two}");
            [one, one]
        }
    }
}
