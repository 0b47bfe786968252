//! Contestants, of which some may not be able to run.

use std::hint::black_box;

use super::data::{Key, Queries};
use crate::args::Settings;
use crate::measure::{Clock, Plan, Work, interleave_all};
use crate::row::{Costs, Measured, Skipped};

/// The contestants of a bench.
#[derive(Default)]
pub(super) struct Field<'a> {
    works: Vec<Work<'a>>,
}

/// A contestant's place, or why it cannot run.
pub(super) type Seat = Result<usize, Skipped>;

/// What each contestant's work cost.
pub(super) struct Results(Vec<Vec<f64>>);

impl<'a> Field<'a> {
    pub(super) fn enter(&mut self, work: Work<'a>) -> usize {
        self.works.push(work);
        self.works.len() - 1
    }

    pub(super) fn run(
        self,
        plan: Plan,
        clock: Clock,
        before_round: impl FnMut() -> Result<(), Skipped>,
    ) -> Result<Results, Skipped> {
        interleave_all(plan, clock, before_round, self.works).map(Results)
    }
}

impl Results {
    /// The costs of a row of which we know the contestants.
    pub(super) fn row(&self, folio: &Seat, peer: &Seat, limit: Option<&Seat>) -> Measured {
        let costs = |seat: &Seat| {
            let costs = self.0.get(seat.clone()?).cloned();
            costs.ok_or_else(|| Skipped("not measured".into()))
        };
        Ok(Costs {
            folio: costs(folio)?,
            peer: costs(peer)?,
            limit: limit.map(costs).transpose()?,
        })
    }
}

/// A peer, unless no row that is asked for compares with it.
pub(super) fn asked<T>(
    settings: &Settings,
    end: &str,
    make: impl FnOnce() -> Result<T, Skipped>,
) -> Result<T, Skipped> {
    if settings.asks_for(end) {
        make()
    } else {
        Err(Skipped("not asked for".into()))
    }
}

/// The work of a contestant that looks up one key after the other; `look_up` returns the fold of the
/// value.
///
/// # Errors
/// What it finds in all is not what is there.
pub(super) fn lookups<'a>(
    queries: &'a Queries,
    mut look_up: impl FnMut(&Key) -> Result<Option<u64>, Skipped> + 'a,
) -> Result<Work<'a>, Skipped> {
    let mut run = move |keys: &[Key]| {
        let mut sum = 0_u64;
        for key in keys {
            sum = sum.wrapping_add(look_up(key)?.unwrap_or_default());
        }
        Ok(sum)
    };
    check(queries, run(&queries.keys)?)?;
    Ok(in_rounds(queries, run))
}

fn check(queries: &Queries, sum: u64) -> Result<(), Skipped> {
    if sum == queries.sum {
        return Ok(());
    }
    let expected = queries.sum;
    Err(Skipped(format!(
        "the values that were found have the sum {sum:x}, and those that are there {expected:x}"
    )))
}

/// A unit is a key; each turn goes on where the last one ended, and from the end to the beginning.
fn in_rounds<'a>(
    queries: &'a Queries,
    mut run: impl FnMut(&[Key]) -> Result<u64, Skipped> + 'a,
) -> Work<'a> {
    let mut next = 0;
    Box::new(move |units| {
        let mut left = usize::try_from(units)?;
        while left > 0 {
            let rest = queries.keys.get(next..).unwrap_or_default();
            let keys = rest.get(..left).unwrap_or(rest);
            black_box(run(black_box(keys))?);
            left -= keys.len();
            next = if keys.len() == rest.len() {
                0
            } else {
                next + keys.len()
            };
        }
        Ok(())
    })
}
