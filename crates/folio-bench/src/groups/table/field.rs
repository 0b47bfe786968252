//! Contestants, of which some may not be able to run.

use std::hint::black_box;

use super::data::{Key, Queries};
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
    /// The costs of a row: those of folio's seat, of a peer's and of a limit's.
    pub(super) fn row(&self, folio: &Seat, peer: &Seat, limit: Option<usize>) -> Measured {
        let costs = |seat: usize| {
            let costs = self.0.get(seat).cloned();
            costs.ok_or_else(|| Skipped("not measured".into()))
        };
        Ok(Costs {
            folio: costs(folio.clone()?)?,
            peer: costs(peer.clone()?)?,
            limit: limit.map(costs).transpose()?,
        })
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

/// The work of a contestant that looks up so many keys at once; `look_up` returns the sum of the folds of
/// their values.
///
/// # Errors
/// What it finds in all is not what is there.
pub(super) fn batches<'a>(
    queries: &'a Queries,
    batch_len: usize,
    mut look_up: impl FnMut(&[Key]) -> Result<u64, Skipped> + 'a,
) -> Result<Work<'a>, Skipped> {
    let mut run = move |keys: &[Key]| {
        let mut sum = 0_u64;
        for keys in keys.chunks(batch_len) {
            sum = sum.wrapping_add(look_up(keys)?);
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
