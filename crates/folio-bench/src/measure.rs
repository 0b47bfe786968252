//! Rounds in which all contestants take turns.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::args::Settings;
use crate::row::Skipped;

/// The work of one contestant: to be done so many times in a loop of its own, so that
/// calling it costs nothing that counts. What it computes has to pass
/// [`std::hint::black_box`], or the compiler may leave the work out.
pub(crate) type Work<'a> = Box<dyn FnMut(u32) -> Result<(), Skipped> + 'a>;

/// What a cost is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clock {
    /// Time that passes.
    Wall,
    /// Time that this thread has the processor for: unmoved by others on the machine, and
    /// blind to waiting.
    ThreadCpu,
}

/// How many rounds there are, and how long a turn takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) turn: Duration,
}

impl Plan {
    /// For work of nanoseconds. Many short rounds beat a few long ones: whatever else the machine
    /// does then falls on all contestants alike, or spoils a few rounds out of many.
    pub(crate) fn of(settings: &Settings) -> Self {
        let (rounds, turn_ms) = if settings.quick { (41, 8) } else { (151, 20) };
        Self {
            rounds,
            turn: Duration::from_millis(turn_ms),
        }
    }
}

/// Lets the contestants do their work in turn, and returns for each, round by round, the
/// nanoseconds that one unit of it took.
///
/// `before_round` is not timed: it makes what all of them need warm.
///
/// # Errors
/// The first error of a contestant's work ends it.
pub(crate) fn interleave<const N: usize>(
    plan: Plan,
    clock: Clock,
    before_round: impl FnMut() -> Result<(), Skipped>,
    contestants: [Work<'_>; N],
) -> Result<[Vec<f64>; N], Skipped> {
    let costs = interleave_all(plan, clock, before_round, contestants.into())?;
    let mut costs = costs.into_iter();
    Ok([(); N].map(|()| costs.next().unwrap_or_default()))
}

/// The same, of however many there are.
///
/// # Errors
/// The first error of a contestant's work ends it.
pub(crate) fn interleave_all(
    plan: Plan,
    clock: Clock,
    mut before_round: impl FnMut() -> Result<(), Skipped>,
    mut contestants: Vec<Work<'_>>,
) -> Result<Vec<Vec<f64>>, Skipped> {
    before_round()?;
    let mut units = Vec::new();
    for work in &mut contestants {
        units.push(units_a_turn(plan.turn, work)?);
    }
    let mut costs = vec![Vec::new(); contestants.len()];
    for round in 0..plan.rounds {
        before_round()?;
        for turn in order(round, contestants.len()) {
            if let (Some(work), Some(units), Some(costs)) = (
                contestants.get_mut(turn),
                units.get(turn),
                costs.get_mut(turn),
            ) {
                let start = clock.now();
                work(*units)?;
                let took = clock.now().saturating_sub(start);
                costs.push(nanoseconds(took) / f64::from(*units));
            }
        }
    }
    Ok(costs)
}

/// The nanoseconds that some work takes, for benches whose turns need preparation of their own.
///
/// # Errors
/// The work's.
pub(crate) fn timed(
    clock: Clock,
    work: impl FnOnce() -> Result<(), Skipped>,
) -> Result<f64, Skipped> {
    let start = clock.now();
    work()?;
    Ok(nanoseconds(clock.now().saturating_sub(start)))
}

/// Costs of two contestants whose `turn`s (0 or 1) tell what they cost, round by round.
///
/// # Errors
/// The first error of a turn ends it.
pub(crate) fn two_by_turns(
    rounds: usize,
    mut turn: impl FnMut(usize) -> Result<f64, Skipped>,
) -> Result<[Vec<f64>; 2], Skipped> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for number in order(round, 2) {
            let cost = turn(number)?;
            if number == 0 { &mut first } else { &mut second }.push(cost);
        }
    }
    Ok([first, second])
}

/// Who comes first changes from round to round: it is no advantage, then, to find the caches as
/// another one left them.
pub(crate) fn order(round: usize, contestants: usize) -> impl Iterator<Item = usize> {
    (0..contestants).map(move |turn| (turn + round) % contestants)
}

/// How many units of the work fill a turn. Finding out warms it up as well.
fn units_a_turn(turn: Duration, work: &mut Work<'_>) -> Result<u32, Skipped> {
    let mut units: u32 = 1;
    loop {
        let start = Instant::now();
        work(units)?;
        let took = start.elapsed();
        if took >= turn || units >= u32::MAX / 2 {
            return Ok(units);
        }
        // At most twice as many each time: the first few are the slowest, cold as they are.
        let wanted = nanoseconds(turn) / nanoseconds(took).max(1.0) * f64::from(units);
        units = if wanted < f64::from(units) * 1.1 {
            return Ok(units);
        } else {
            units * 2
        };
    }
}

impl Clock {
    fn now(self) -> Duration {
        let id = match self {
            Self::Wall => ClockId::Monotonic,
            Self::ThreadCpu => ClockId::ThreadCPUTime,
        };
        let Timespec { tv_sec, tv_nsec } = clock_gettime(id);
        // Neither is ever negative.
        let seconds = u64::try_from(tv_sec).unwrap_or_default();
        Duration::from_secs(seconds)
            + Duration::from_nanos(u64::try_from(tv_nsec).unwrap_or_default())
    }
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn each_comes_first_in_its_round() {
        let round = |number| order(number, 3).collect::<Vec<_>>();
        assert_eq!(round(0), [0, 1, 2]);
        assert_eq!(round(1), [1, 2, 0]);
        assert_eq!(round(2), [2, 0, 1]);
        assert_eq!(round(3), [0, 1, 2]);
    }

    #[test]
    fn all_are_measured_in_every_round() {
        let turns = RefCell::new(String::new());
        let contestant = |name: char| -> Work<'_> {
            let turns = &turns;
            Box::new(move |_| {
                turns.borrow_mut().push(name);
                std::thread::sleep(Duration::from_millis(2));
                Ok(())
            })
        };
        let plan = Plan {
            rounds: 4,
            turn: Duration::from_millis(1),
        };
        let rounds = interleave(
            plan,
            Clock::Wall,
            || {
                turns.borrow_mut().push('|');
                Ok(())
            },
            [contestant('a'), contestant('b')],
        );
        assert!(
            rounds
                .unwrap()
                .iter()
                .all(|costs| costs.len() == 4 && costs.iter().all(|c| *c >= 2e6))
        );
        assert_eq!(turns.into_inner(), "|ab|ab|ba|ab|ba");
    }

    #[test]
    fn cpu_time_does_not_count_sleep() {
        let plan = Plan {
            rounds: 3,
            turn: Duration::from_millis(1),
        };
        let sleep: Work<'_> = Box::new(|_| {
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        });
        let [costs] = interleave(plan, Clock::ThreadCpu, || Ok(()), [sleep]).unwrap();
        assert!(crate::stats::median(costs).unwrap() < 10e6);
    }

    #[test]
    fn an_error_ends_it() {
        let fails: Work<'_> = Box::new(|_| Err(Skipped("no".into())));
        let plan = Plan {
            rounds: 3,
            turn: Duration::from_millis(1),
        };
        assert_eq!(
            interleave(plan, Clock::Wall, || Ok(()), [fails]).unwrap_err(),
            Skipped("no".into())
        );
    }
}
