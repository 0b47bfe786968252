//! How soon the next one runs after the owner of a lock was killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arena::{Arena, Place};
use super::ours::Ours;
use super::partner::{Partner, Task, region_beside};
use super::pthread::{PthreadMutex, Taken};
use crate::args::Settings;
use crate::measure::order;
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

/// How many kills make a round, of which the 95th percentile counts.
const KILLS: usize = 20;

pub(in crate::groups) fn owner_death() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "locks.owner_death_vs_pthread_robust",
                unit: "ns",
                peer_name: "robust pthread_mutex",
                limit_name: None,
                goal: Some(2.0),
                about: "from the SIGKILL of a lock's owner to the waiter running, told that the owner died: 95th \
                        percentile of 20 kills a round, against a robust process-shared mutex of pthread's (goal 2)",
            }]
        },
        measure,
    }
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let rounds = if settings.quick { 3 } else { 15 };
    let folder = tempfile::tempdir()?;
    let arena = Arc::new(Arena::create(&folder.path().join("arena"))?);
    PthreadMutex::make(&arena, Place::Plain)?;
    let robust = PthreadMutex::make(&arena, Place::Robust)?;
    let ours = Ours::create(&region_beside(arena.path()))?;
    let mut costs = Costs {
        folio: Vec::new(),
        peer: Vec::new(),
        limit: None,
    };
    let wait_for_ours = || ours.lock_and_repair();
    let wait_for_robust = || {
        let taken = robust.lock()?;
        robust.unlock()?;
        Ok(taken)
    };
    for _ in 0..rounds {
        let mut times = [Vec::new(), Vec::new()];
        for kill in 0..KILLS {
            for contestant in order(kill, 2) {
                let time = if contestant == 0 {
                    from_kill_to_owner(&arena, Task::HoldOurs, &wait_for_ours)?
                } else {
                    from_kill_to_owner(&arena, Task::HoldRobust, &wait_for_robust)?
                };
                times
                    .iter_mut()
                    .skip(contestant)
                    .take(1)
                    .for_each(|times| times.push(time));
            }
        }
        let [folio, peer] = times;
        costs.folio.push(percentile_95(folio));
        costs.peer.push(percentile_95(peer));
    }
    Ok(vec![Ok(costs)])
}

fn from_kill_to_owner(
    arena: &Arc<Arena>,
    task: Task,
    wait: &(dyn Fn() -> Result<Taken, Skipped> + Sync),
) -> Result<f64, Skipped> {
    let mut partner = Partner::start(arena)?;
    partner.ask(task)?;
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            let taken = wait()?;
            Ok::<_, Skipped>((taken, Instant::now()))
        });
        // Long enough for it to have gone to sleep.
        std::thread::sleep(Duration::from_millis(5));
        let killed = Instant::now();
        partner.kill()?;
        let (taken, ran) = waiter
            .join()
            .map_err(|_| Skipped("a waiter panicked".into()))??;
        if taken != Taken::FromTheDead {
            return Err(Skipped("a waiter was not told that the owner died".into()));
        }
        Ok(ran.saturating_duration_since(killed).as_secs_f64() * 1e9)
    })
}

/// The time that 19 of 20 do not exceed.
fn percentile_95(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let place = (times.len() * 95).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_one_of_the_times() {
        let times: Vec<_> = (1..=20).rev().map(f64::from).collect();
        assert!((percentile_95(times) - 19.0).abs() < 1e-9);
        assert!(percentile_95(Vec::new()).is_nan());
    }
}
