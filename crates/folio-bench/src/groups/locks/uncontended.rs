//! Locks that nobody else wants.

use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};

use super::arena::{Arena, Place};
use super::ours::Ours;
use super::partner::region_beside;
use super::pthread::PthreadMutex;
use crate::args::Settings;
use crate::measure::{Clock, Plan, Work, interleave};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

pub(in crate::groups) fn uncontended() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    name: "locks.mutex_vs_std",
                    unit: "ns CPU",
                    peer_name: "std Mutex",
                    limit_name: None,
                    goal: Some(1.3),
                    about: "lock and unlock of a mutex that nobody else wants: one in a region, for processes, that \
                            survives its owner's death, against the standard library's for threads (goal 1.3)",
                },
                Spec {
                    name: "locks.mutex_vs_pthread_robust",
                    unit: "ns CPU",
                    peer_name: "robust pthread_mutex",
                    limit_name: None,
                    goal: Some(0.6),
                    about: "the same, against a robust process-shared mutex of pthread's (goal 0.6)",
                },
                Spec {
                    name: "locks.rwlock_read_vs_parking_lot",
                    unit: "ns CPU",
                    peer_name: "parking_lot RwLock",
                    limit_name: None,
                    goal: Some(1.5),
                    about: "read lock and unlock that nobody else wants, against parking_lot's for threads (goal 1.5)",
                },
                Spec {
                    name: "locks.semaphore_vs_mutex",
                    unit: "ns CPU",
                    peer_name: "folio Mutex",
                    limit_name: None,
                    goal: Some(1.3),
                    about: "a permit of a semaphore taken and given back, against our own mutex (goal 1.3)",
                },
            ]
        },
        measure,
    }
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let folder = tempfile::tempdir()?;
    let arena = Arc::new(Arena::create(&folder.path().join("arena"))?);
    let robust = PthreadMutex::make(&arena, Place::Robust)?;
    let ours = Ours::create(&region_beside(arena.path()))?;
    let std = Mutex::new(0_u64);
    let parking_lot = parking_lot::RwLock::new(0_u64);
    let work: [Work<'_>; 6] = [
        Box::new(|units| {
            for _ in 0..units {
                black_box(&ours.lock()?);
            }
            Ok(())
        }),
        Box::new(|units| {
            for _ in 0..units {
                black_box(&std.lock().unwrap_or_else(PoisonError::into_inner));
            }
            Ok(())
        }),
        Box::new(|units| {
            for _ in 0..units {
                black_box(robust.lock()?);
                robust.unlock()?;
            }
            Ok(())
        }),
        Box::new(|units| {
            for _ in 0..units {
                let guard = ours.rwlock.read();
                black_box(&guard.map_err(folio_ipc::LockError::without_guard)?);
            }
            Ok(())
        }),
        Box::new(|units| {
            for _ in 0..units {
                black_box(&parking_lot.read());
            }
            Ok(())
        }),
        Box::new(|units| {
            for _ in 0..units {
                let permit = ours.semaphore.acquire();
                black_box(&permit.map_err(folio_ipc::LockError::without_guard)?);
            }
            Ok(())
        }),
    ];
    let [mutex, std, robust, read, parking_lot, semaphore] =
        interleave(Plan::of(settings), Clock::ThreadCpu, || Ok(()), work)?;
    let row = |folio: &Vec<f64>, peer: &Vec<f64>| {
        Ok(Costs {
            folio: folio.clone(),
            peer: peer.clone(),
            limit: None,
        })
    };
    Ok(vec![
        row(&mutex, &std),
        row(&mutex, &robust),
        row(&read, &parking_lot),
        row(&semaphore, &mutex),
    ])
}
