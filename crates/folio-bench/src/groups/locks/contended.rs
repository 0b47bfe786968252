//! Two processes on one lock.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use super::Lock;
use super::arena::{Arena, Place};
use super::ours::Ours;
use super::partner::{Partner, Task, operate, region_beside};
use super::pthread::PthreadMutex;
use crate::args::Settings;
use crate::measure::order;
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

pub(in crate::groups) fn contended() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "locks.contended_vs_pthread",
                unit: "ns",
                peer_name: "pthread_mutex",
                limit_name: Some("spinning"),
                goal: Some(1.0),
                about: "two processes that do nothing but take one lock, add to a counter, and give it back: \
                        time an operation of either, against a process-shared mutex of pthread's; the limit is a \
                        word that the two hand to each other by spinning (goal 1)",
            }]
        },
        measure,
    }
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let (rounds, turn) = if settings.quick {
        (21, Duration::from_millis(10))
    } else {
        (101, Duration::from_millis(30))
    };
    let folder = tempfile::tempdir()?;
    let arena = Arc::new(Arena::create(&folder.path().join("arena"))?);
    let plain = PthreadMutex::make(&arena, Place::Plain)?;
    PthreadMutex::make(&arena, Place::Robust)?;
    let ours = Ours::create(&region_beside(arena.path()))?;
    let partner = Partner::start(&arena)?;
    let mut costs = Costs {
        folio: Vec::new(),
        peer: Vec::new(),
        limit: Some(Vec::new()),
    };
    for round in 0..rounds {
        for contestant in order(round, 3) {
            match contestant {
                0 => costs
                    .folio
                    .push(together(&arena, &partner, Task::Ours, &ours, turn)?),
                1 => costs
                    .peer
                    .push(together(&arena, &partner, Task::Plain, &plain, turn)?),
                _ => costs
                    .limit
                    .iter_mut()
                    .try_for_each(|limit| -> Result<(), Skipped> {
                        limit.push(spin(&arena, &partner, turn)?);
                        Ok(())
                    })?,
            }
        }
    }
    Ok(vec![Ok(costs)])
}

/// Nanoseconds an operation, while both are at it.
fn together(
    arena: &Arena,
    partner: &Partner,
    task: Task,
    lock: &impl Lock,
    turn: Duration,
) -> Result<f64, Skipped> {
    arena.word(Place::Guarded).store(0, Release);
    partner.ask(task)?;
    let start = Instant::now();
    let ours = operate(arena, lock, || start.elapsed() >= turn)?;
    let took = start.elapsed();
    let all = ours + partner.stop()?;
    let counted = arena.word(Place::Guarded).load(Acquire);
    if counted != all {
        return Err(Skipped(format!(
            "the lock let two in: {all} operations, {counted} counted"
        )));
    }
    Ok(took.as_secs_f64() * 1e9 / f64::from(u32::try_from(all)?))
}

/// Nanoseconds that a word takes from one to the other.
fn spin(arena: &Arena, partner: &Partner, turn: Duration) -> Result<f64, Skipped> {
    let ball = arena.word(Place::Ball);
    ball.store(0, Release);
    partner.ask(Task::Spin)?;
    let start = Instant::now();
    let mut seen = 0;
    while start.elapsed() < turn {
        ball.store(seen + 1, Release);
        let sent = Instant::now();
        while ball.load(Acquire) == seen + 1 {
            std::hint::spin_loop();
            // The other may have lost its processor; it does not come back if it was killed.
            if seen % 1024 == 0 && sent.elapsed() > Duration::from_secs(10) {
                return Err(Skipped("the partner does not answer".into()));
            }
        }
        seen = ball.load(Relaxed);
    }
    let took = start.elapsed();
    partner.stop()?;
    Ok(took.as_secs_f64() * 1e9 / f64::from(u32::try_from(seen.max(1))?))
}
