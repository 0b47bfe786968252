//! Processes that are killed by SIGKILL while they use locks, at each named point and at any time. The others
//! must go on, and what the locks protect must be as it should.
//!
//! This program is its own child: `kill --child …`. `FOLIO_KILL_ROUNDS=N` kills N times as often.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]
#![cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "the rounds need Linux")
)]

mod at_any_time;
mod at_points;
mod child;
mod work;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--child") {
        child::live(&arguments.collect::<Vec<_>>());
        return;
    }
    let mut arguments = Arguments::from_args();
    // The children take the processors, but wait more than they compute.
    arguments.test_threads = Some(3);
    let mut trials = Vec::new();
    if cfg!(target_os = "linux") {
        for kind in work::Kind::ALL {
            trials.push(Trial::test(
                format!("{}_at_each_point", kind.name()),
                move || {
                    at_points::walk(kind);
                    Ok(())
                },
            ));
        }
        trials.push(Trial::test(
            "writer_that_waits_leaves_the_value_sound",
            || {
                at_points::writer_that_waits();
                Ok(())
            },
        ));
        trials.push(Trial::test("any_lock_at_any_time", || {
            at_any_time::rounds();
            Ok(())
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
