//! Solves for the unknowns of a group: sums (exclusive or) of unknown numbers that are known.

use crate::format::{CELL_BITS, Coefficients, GROUP_MAX_COUNT};

/// A system of linear equations over bits, kept in a form in which each equation begins with
/// an unknown with which no other begins.
#[derive(Debug)]
pub(super) struct Equations {
    /// By the highest unknown in them. Zeros where there is none.
    rows: [Row; GROUP_MAX_COUNT],
}

/// The sum of some unknowns.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    coefficients: u128,
    sum: u8,
}

impl Equations {
    /// The solution for keys with these hashes and cells, if there is one with the coefficients
    /// of this attempt. Unknowns that may be anything are zero.
    pub(super) fn solve(
        keys: impl IntoIterator<Item = (u64, u8)>,
        attempt: u8,
    ) -> Option<[u128; CELL_BITS]> {
        let mut equations = Self {
            rows: [Row::default(); GROUP_MAX_COUNT],
        };
        for (hash, cell) in keys {
            let coefficients = Coefficients::new(hash, attempt).bits();
            equations.add(coefficients, cell)?;
        }
        Some(equations.unknowns())
    }

    /// `None` if the equation contradicts the others.
    fn add(&mut self, coefficients: u128, sum: u8) -> Option<()> {
        let mut row = Row { coefficients, sum };
        while let Some(highest) = row.coefficients.checked_ilog2() {
            let other = self.rows.get_mut(highest as usize)?;
            if other.coefficients == 0 {
                *other = row;
                return Some(());
            }
            row.coefficients ^= other.coefficients;
            row.sum ^= other.sum;
        }
        (row.sum == 0).then_some(())
    }

    fn unknowns(&self) -> [u128; CELL_BITS] {
        let mut planes = [0_u128; CELL_BITS];
        for (number, row) in self.rows.iter().enumerate() {
            if row.coefficients == 0 {
                continue;
            }
            for (bit, plane) in planes.iter_mut().enumerate() {
                // Only lower unknowns, known by now, are in the sum as yet.
                let others = (*plane & row.coefficients).count_ones() & 1;
                let own = u32::from(row.sum >> bit & 1) ^ others;
                *plane |= u128::from(own) << number;
            }
        }
        planes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Group;

    /// Pseudorandom hashes, each with a cell.
    fn keys(count: usize, seed: u64) -> Vec<(u64, u8)> {
        let key = |number: usize| {
            let bits = Coefficients::new(seed << 32 | number as u64, 0).bits();
            let hash = u64::try_from(bits >> 64).unwrap();
            (hash, u8::try_from(bits & 7).unwrap())
        };
        (0..count).map(key).collect()
    }

    #[test]
    fn each_key_gets_its_cell() {
        for count in 0..=GROUP_MAX_COUNT {
            for seed in 0..20 {
                let keys = keys(count, seed);
                let attempts = (0..=u8::MAX).find_map(|attempt| {
                    let unknowns = Equations::solve(keys.iter().copied(), attempt)?;
                    Some((attempt, unknowns))
                });
                let (attempt, unknowns) = attempts.unwrap();
                let group = Group::new(&[0], 1, unknowns, attempt).unwrap();
                for (hash, cell) in keys {
                    assert_eq!(group.cell_number(hash), usize::from(cell));
                }
            }
        }
    }

    #[test]
    fn attempts_that_it_takes() {
        // The chance that as many random equations as unknowns contradict each other is 0.71;
        // with two unknowns to spare it is 0.23.
        for (count, expected) in [(112, 500..900), (110, 220..320)] {
            let attempts: usize = (0..200)
                .map(|seed| {
                    let keys = keys(count, seed);
                    let solves =
                        |attempt: &u8| Equations::solve(keys.iter().copied(), *attempt).is_some();
                    usize::from((0..=u8::MAX).find(solves).unwrap()) + 1
                })
                .sum();
            assert!(
                expected.contains(&attempts),
                "{attempts} attempts for 200 times {count} keys"
            );
        }
    }

    #[test]
    fn contradictions_have_no_solution_and_repetitions_do() {
        for attempt in 0..=u8::MAX {
            assert!(Equations::solve([(7, 1), (7, 2)], attempt).is_none());
            assert!(Equations::solve([(7, 2), (7, 2)], attempt).is_some());
        }
    }
}
