//! The other process of a row for two: this program once more, which does what the arena says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use super::Lock;
use super::arena::{Arena, Place, wait_until};
use super::ours::Ours;
use super::pthread::PthreadMutex;
use crate::row::Skipped;

/// What a partner can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Nothing = 0,
    /// Takes a lock and gives it back, over and over.
    Ours = 1,
    Plain = 2,
    Robust = 3,
    /// Sends the ball back.
    Spin = 4,
    /// Takes a lock, and keeps it until it is killed.
    HoldOurs = 5,
    HoldRobust = 6,
}

impl Task {
    const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Ours,
        Self::Plain,
        Self::Robust,
        Self::Spin,
        Self::HoldOurs,
        Self::HoldRobust,
    ];

    fn of(number: u64) -> Self {
        let known = Self::ALL.into_iter().find(|&task| task as u64 == number);
        known.unwrap_or(Self::Nothing)
    }
}

/// How long a partner stays that nobody asks anything of.
const IDLE: Duration = Duration::from_secs(60);

/// The other process, killed when this is dropped.
#[derive(Debug)]
pub(super) struct Partner {
    child: Child,
    arena: Arc<Arena>,
}

impl Partner {
    /// Starts one. The locks have been made.
    pub(super) fn start(arena: &Arc<Arena>) -> Result<Self, Skipped> {
        for place in [Place::Task, Place::At] {
            arena.word(place).store(Task::Nothing as u64, Release);
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--partner").arg(arena.path());
        let child = command.stdin(Stdio::null()).spawn()?;
        let arena = Arc::clone(arena);
        Ok(Self { child, arena })
    }

    /// Has it do something from now on, and waits until it does.
    pub(super) fn ask(&self, task: Task) -> Result<(), Skipped> {
        self.arena.word(Place::Done).store(0, Relaxed);
        self.arena.word(Place::Task).store(task as u64, Release);
        wait_until("the partner's beginning", || {
            self.arena.word(Place::At).load(Acquire) == task as u64
        })
    }

    /// Has it stop, and returns how many operations it did.
    pub(super) fn stop(&self) -> Result<u64, Skipped> {
        self.ask_quietly(Task::Nothing)?;
        Ok(self.arena.word(Place::Done).load(Acquire))
    }

    fn ask_quietly(&self, task: Task) -> Result<(), Skipped> {
        self.arena.word(Place::Task).store(task as u64, Release);
        wait_until("the partner's end", || {
            self.arena.word(Place::At).load(Acquire) == task as u64
        })
    }

    /// Ends it at once, wherever it is, by SIGKILL, and does not wait for that.
    pub(super) fn kill(&mut self) -> Result<(), Skipped> {
        Ok(self.child.kill()?)
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // It may have ended already; nobody is left to tell of a failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the region with our lock stands, beside an arena.
pub(super) fn region_beside(arena: &Path) -> PathBuf {
    arena.with_extension("region")
}

/// The work of the other process.
pub(crate) fn partner(path: &Path) -> Result<(), Skipped> {
    let arena = Arc::new(Arena::open(path)?);
    let plain = PthreadMutex::bind(&arena, Place::Plain);
    let robust = PthreadMutex::bind(&arena, Place::Robust);
    let ours = Ours::open(&region_beside(path))?;
    let mut idle_since = Instant::now();
    while idle_since.elapsed() < IDLE {
        let task = Task::of(arena.word(Place::Task).load(Acquire));
        match task {
            Task::Nothing => {
                arena.word(Place::At).store(task as u64, Release);
                std::thread::sleep(Duration::from_micros(50));
                continue;
            }
            Task::Ours => take_turns(&arena, task, &ours)?,
            Task::Plain => take_turns(&arena, task, &plain)?,
            Task::Robust => take_turns(&arena, task, &robust)?,
            Task::Spin => send_back(&arena, task),
            Task::HoldOurs => return ours.locked(&mut || hold(&arena, task)),
            Task::HoldRobust => return robust.locked(&mut || hold(&arena, task)),
        }
        idle_since = Instant::now();
    }
    Ok(())
}

fn take_turns(arena: &Arena, task: Task, lock: &impl Lock) -> Result<(), Skipped> {
    arena.word(Place::At).store(task as u64, Release);
    let done = operate(arena, lock, || {
        arena.word(Place::Task).load(Relaxed) != task as u64
    })?;
    arena.word(Place::Done).store(done, Release);
    Ok(())
}

/// Takes a lock, adds to what it guards, and gives it back, until told to stop. Returns how often.
pub(super) fn operate(
    arena: &Arena,
    lock: &impl Lock,
    mut is_over: impl FnMut() -> bool,
) -> Result<u64, Skipped> {
    let guarded = arena.word(Place::Guarded);
    let mut done = 0;
    while !is_over() {
        for _ in 0..16 {
            // Two steps: what the lock is for.
            lock.locked(&mut || guarded.store(guarded.load(Relaxed) + 1, Relaxed))?;
            done += 1;
        }
    }
    Ok(done)
}

fn send_back(arena: &Arena, task: Task) {
    arena.word(Place::At).store(task as u64, Release);
    let ball = arena.word(Place::Ball);
    while arena.word(Place::Task).load(Relaxed) == task as u64 {
        // Even is theirs, odd is ours.
        let seen = ball.load(Acquire);
        if seen % 2 == 1 {
            ball.store(seen + 1, Release);
        } else {
            std::hint::spin_loop();
        }
    }
}

fn hold(arena: &Arena, task: Task) {
    arena.word(Place::At).store(task as u64, Release);
    std::thread::sleep(IDLE);
}
