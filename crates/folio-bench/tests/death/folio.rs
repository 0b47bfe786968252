//! The scripts of `peers/death.cpp`, for folio-ipc's locks. The survivor is this program once more, and
//! so are those whom it kills.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use folio_ipc::{
    Condvar, LockError, LockResult, Mutex, MutexGuard, Region, RwLock, Semaphore, Shared,
    WriteGuard,
};
use rustix::process::{Signal, getpid, kill_process};

const PEERS: [&str; 4] = [
    "folio_mutex",
    "folio_rwlock",
    "folio_condvar",
    "folio_semaphore",
];
const ROUNDS: u64 = 200;

/// In a survivor: peer and script. In a victim: what it does. In both: the region's path.
const ROLE: &str = "FOLIO_DEATH_ROLE";
const PEER: &str = "FOLIO_DEATH_PEER";
const PATH: &str = "FOLIO_DEATH_REGION";

/// The peers, and the scripts that each has.
pub(crate) fn list() -> Vec<(String, String)> {
    let scripts = PEERS.into_iter().flat_map(|peer| {
        let scripts: &[&str] = match peer {
            "folio_condvar" => &["waiting"],
            _ => &super::SCRIPTS,
        };
        scripts.iter().map(move |script| (peer, *script))
    });
    scripts
        .map(|(peer, script)| (peer.to_owned(), script.to_owned()))
        .collect()
}

/// A process with a role in a script.
pub(crate) fn command(peer: &str, role: &str, region: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "role", "--nocapture", "--test-threads=1"])
        .envs([(PEER, peer), (ROLE, role)])
        .env(PATH, region);
    command
}

/// Does what the environment says, if it says anything.
pub(crate) fn play() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let peer = std::env::var(PEER).unwrap();
    let scene = Scene {
        used: Used::open(&peer, Path::new(&std::env::var_os(PATH).unwrap())),
        told: Cell::new(0),
        steps: Arc::new(AtomicU64::new(0)),
        peer,
    };
    match role.as_str() {
        "holding" | "waiting" | "random" => scene.survive(&role),
        _ => scene.be_killed(&role),
    }
}

enum Used {
    Mutex(Shared<Mutex<u64>>),
    RwLock(Shared<RwLock<u64>>),
    Condvar(Shared<Mutex<u64>>, Shared<Condvar>),
    Semaphore(Shared<Semaphore>),
}

impl Used {
    fn open(peer: &str, path: &Path) -> Self {
        let region = Region::options().open_or_create(path).unwrap();
        match peer {
            "folio_mutex" => Self::Mutex(region.object("lock").unwrap()),
            "folio_rwlock" => Self::RwLock(region.object("lock").unwrap()),
            "folio_condvar" => {
                let (value, changed) = (region.object("value"), region.object("changed"));
                Self::Condvar(value.unwrap(), changed.unwrap())
            }
            _ => Self::Semaphore(region.object("lock").unwrap()),
        }
    }
}

struct Scene {
    used: Used,
    peer: String,
    /// How often this process was told that an owner died.
    told: Cell<u32>,
    steps: Arc<AtomicU64>,
}

impl Scene {
    fn guard<G>(&self, taken: LockResult<G>, recovered: impl Fn(&G)) -> G {
        match taken {
            Ok(guard) => guard,
            Err(LockError::OwnerDied(guard)) => {
                recovered(&guard);
                self.told.set(self.told.get() + 1);
                guard
            }
            Err(error) => panic!("{}: {}", self.peer, error.without_guard()),
        }
    }

    /// Has what the dead will have, meanwhile.
    fn hold(&self, meanwhile: impl FnOnce()) {
        match &self.used {
            Used::Mutex(lock) | Used::Condvar(lock, _) => {
                let guard = self.guard(lock.lock(), MutexGuard::recovered);
                meanwhile();
                drop(guard);
            }
            Used::RwLock(lock) => {
                let guard = self.guard(lock.read(), |_| ());
                meanwhile();
                drop(guard);
            }
            Used::Semaphore(lock) => {
                let permit = self.guard(lock.acquire(), |_| ());
                meanwhile();
                drop(permit);
            }
        }
    }

    /// Takes what excludes that, and gives it back.
    fn take(&self) {
        match &self.used {
            Used::RwLock(lock) => drop(self.guard(lock.write(), WriteGuard::recovered)),
            _ => self.hold(|| ()),
        }
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until the value is another, for ever.
    fn wait_again_and_again(&self) {
        let Used::Condvar(value, changed) = &self.used else {
            panic!("{} is no condition variable", self.peer);
        };
        loop {
            let guard = self.guard(value.lock(), MutexGuard::recovered);
            let guard = self.guard(changed.wait(guard), MutexGuard::recovered);
            guard.update(|woken| *woken += 1);
        }
    }

    fn be_killed(&self, role: &str) {
        let ready = || println!("ready");
        match role {
            "holder" => self.hold(|| {
                ready();
                thread::sleep(super::PATIENCE);
            }),
            "waiter" if self.peer == "folio_condvar" => {
                ready();
                self.wait_again_and_again();
            }
            "waiter" => {
                ready();
                self.take();
                thread::sleep(super::PATIENCE);
            }
            _ => {
                ready();
                loop {
                    self.hold(|| ());
                }
            }
        }
    }

    /// Starts a process that is to be killed, and waits until it has begun.
    fn victim(&self, role: &str) -> Child {
        let path = std::env::var_os(PATH).unwrap();
        let mut child = command(&self.peer, role, Path::new(&path))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().ends_with("ready")));
        child
    }

    fn survive(&self, script: &str) {
        self.watch();
        // The harness has begun a line.
        println!();
        match script {
            "holding" => kill(self.victim("holder")),
            "waiting" if self.peer == "folio_condvar" => {
                let victim = self.victim("waiter");
                thread::sleep(Duration::from_millis(200));
                kill(victim);
                self.wake_another();
            }
            "waiting" => self.hold(|| {
                let victim = self.victim("waiter");
                // Until it sleeps.
                thread::sleep(Duration::from_millis(200));
                kill(victim);
            }),
            _ => {
                for round in 1..=ROUNDS {
                    println!("in round {round} of {ROUNDS}");
                    let victims = [(); 2].map(|()| self.victim("worker"));
                    for (index, victim) in victims.into_iter().enumerate() {
                        // Any moment of a victim's work; which, the machine's load decides, too.
                        thread::sleep(Duration::from_micros(
                            round * 377 % 1500 * (index as u64 + 1),
                        ));
                        kill(victim);
                        self.take();
                    }
                }
            }
        }
        for _ in 0..3 {
            self.take();
        }
        match self.told.get() {
            0 => println!("goes on"),
            1 => println!("goes on, told of 1 death"),
            told => println!("goes on, told of {told} deaths"),
        }
    }

    /// Wakes a waiter again and again, once another is dead.
    fn wake_another(&self) {
        let Used::Condvar(value, changed) = &self.used else {
            panic!("{} is no condition variable", self.peer);
        };
        let survivor = self.victim("waiter");
        for round in 1..=ROUNDS {
            println!("in round {round} of {ROUNDS}");
            while self.guard(value.lock(), MutexGuard::recovered).get() < round {
                changed.notify_all().unwrap();
                thread::sleep(Duration::from_micros(50));
            }
            self.steps.fetch_add(1, Ordering::Relaxed);
        }
        kill(survivor);
    }

    /// Ends this process as an alarm would, when a step takes it too long.
    fn watch(&self) {
        let steps = Arc::clone(&self.steps);
        thread::spawn(move || {
            let mut last = u64::MAX;
            while last != steps.load(Ordering::Relaxed) {
                last = steps.load(Ordering::Relaxed);
                thread::sleep(Duration::from_secs(super::SECONDS));
            }
            kill_process(getpid(), Signal::ALARM).unwrap();
        });
    }
}

fn kill(mut victim: Child) {
    victim.kill().unwrap();
    victim.wait().unwrap();
}
