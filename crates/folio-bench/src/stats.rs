/// The quartiles of some numbers, between neighbours interpolated linearly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quartiles {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Quartiles {
    /// Nothing where there are no numbers.
    pub(crate) fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        Some(Self {
            lower: quantile(&numbers, 1)?,
            median: quantile(&numbers, 2)?,
            upper: quantile(&numbers, 3)?,
        })
    }
}

/// The median of some numbers; nothing where there are none.
pub(crate) fn median(numbers: Vec<f64>) -> Option<f64> {
    Quartiles::of(numbers).map(|quartiles| quartiles.median)
}

/// The number below which so many quarters of the sorted numbers lie.
fn quantile(sorted: &[f64], quarters: usize) -> Option<f64> {
    let place = sorted.len().checked_sub(1)? * quarters;
    let below = *sorted.get(place / 4)?;
    let above = *sorted.get(place.div_ceil(4))?;
    let part = match place % 4 {
        0 => 0.0,
        1 => 0.25,
        2 => 0.5,
        _ => 0.75,
    };
    Some(below + (above - below) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_five_the_second_third_and_fourth() {
        let quartiles = Quartiles::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!(
            quartiles,
            Quartiles {
                lower: 2.0,
                median: 3.0,
                upper: 4.0
            }
        );
    }

    #[test]
    fn between_neighbours_in_proportion() {
        let quartiles = Quartiles::of(vec![10.0, 20.0]).unwrap();
        assert_eq!(
            quartiles,
            Quartiles {
                lower: 12.5,
                median: 15.0,
                upper: 17.5
            }
        );
    }

    #[test]
    fn of_one_that_one_and_of_none_nothing() {
        assert_eq!(median(vec![7.0]), Some(7.0));
        assert_eq!(median(vec![]), None);
    }
}
