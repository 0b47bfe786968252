//! Processes that are killed at any time, under load.

use std::time::Duration;

use folio_ipc::Data;

use crate::child::{FINISH, GO_ON, Task, Worker, expect_no_failure, region_for, say};
use crate::work::{Kind, Tools};

const WORKERS: u32 = 4;
const ROUNDS: u32 = 200;

/// How many times as many rounds as usual are asked for.
pub(crate) fn scale() -> u32 {
    std::env::var("FOLIO_KILL_ROUNDS").map_or(1, |times| times.parse().unwrap())
}

/// Kills one worker after the other, starts others in their places, and lets the last finish.
pub(crate) fn rounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    let region = region_for(&path, WORKERS);
    say(&region, GO_ON);
    let random = Tools::new(&region, WORKERS);
    let mut workers: Vec<Worker> = (0..WORKERS)
        .map(|number| Worker::start(&path, number, Task::All, None))
        .collect();
    let mut killed_at = [0_u32; Kind::ALL.len()];
    for _ in 0..ROUNDS * scale() {
        let wait = Duration::from_micros(u64::from(5_000 + random.random() % 25_000));
        std::thread::sleep(wait);
        let number = random.random() % WORKERS;
        let worker = &mut workers[number as usize];
        if let Some(status) = worker.ends_within(Duration::ZERO) {
            panic!("worker {number} ended with {status}");
        }
        worker.kill();
        let at = region
            .open_object::<Data<u32>>(&format!("at-{number}"))
            .unwrap();
        killed_at[at.get().unwrap() as usize] += 1;
        *worker = Worker::start(&path, number, Task::All, None);
    }
    say(&region, FINISH);
    for worker in &mut workers {
        worker.finish("killed at any time");
    }
    expect_no_failure(&path);
    Tools::new(&region, WORKERS).check_at_rest();
    region.repair().unwrap();
    for (kind, times) in Kind::ALL.into_iter().zip(killed_at) {
        println!("  {:9} {times} killed at any time", kind.name());
    }
}
