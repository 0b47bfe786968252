use std::error::Error;

use crate::args::Settings;
use crate::stats::{self, Quartiles};

/// What a row compares, known before anything is measured.
#[derive(Debug)]
pub(crate) struct Spec {
    /// `group.row`.
    pub(crate) name: &'static str,
    /// Of the three costs: `ns` is wall time, `ns CPU` is CPU time, `B` is bytes, for one unit of work.
    pub(crate) unit: &'static str,
    pub(crate) peer_name: &'static str,
    pub(crate) limit_name: Option<&'static str>,
    /// The largest ratio that is good enough, if one was promised.
    pub(crate) goal: Option<f64>,
    /// One line: the work, and on what.
    pub(crate) about: &'static str,
}

impl Spec {
    /// The part of the name before the dot.
    pub(crate) fn group(&self) -> &'static str {
        self.name
            .split_once('.')
            .map_or(self.name, |(group, _)| group)
    }

    /// Whether the goal is met; nothing where none was set.
    pub(crate) fn holds(&self, figures: &Figures) -> Option<bool> {
        self.goal.map(|goal| figures.ratio <= goal)
    }
}

/// Rows that are measured together, in the same rounds.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) rows: &'static [Spec],
    /// The costs of each of the rows, in their order. Where one peer of several is missing, its
    /// rows alone are skipped.
    pub(crate) measure: fn(&Settings) -> Result<Vec<Measured>, Skipped>,
}

/// The costs of one row, or why there are none.
pub(crate) type Measured = Result<Costs, Skipped>;

/// What one unit of work cost, round by round.
#[derive(Debug, Clone)]
pub(crate) struct Costs {
    pub(crate) folio: Vec<f64>,
    pub(crate) peer: Vec<f64>,
    pub(crate) limit: Option<Vec<f64>>,
}

impl Costs {
    /// The cost of one of so many things that a unit of work consists of.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a figure needs no more than four digits"
    )]
    pub(crate) fn shared_by(mut self, count: u64) -> Self {
        let all = [&mut self.folio, &mut self.peer].into_iter();
        for cost in all.chain(&mut self.limit).flatten() {
            *cost /= count as f64;
        }
        self
    }
}

/// Why a row could not run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Skipped(pub(crate) String);

impl<E: Error> From<E> for Skipped {
    fn from(error: E) -> Self {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            why.push_str(": ");
            why.push_str(&error.to_string());
            cause = error.source();
        }
        Self(why)
    }
}

/// What became of a row.
#[derive(Debug)]
pub(crate) enum Outcome {
    Ran(Figures),
    Skipped(Skipped),
}

/// A row's result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    /// Medians over the rounds, of the costs of one unit of work.
    pub(crate) folio: f64,
    pub(crate) peer: f64,
    pub(crate) limit: Option<f64>,
    /// Median of each round's folio over peer: what disturbs the machine for longer
    /// than a round disturbs both, and cancels out.
    pub(crate) ratio: f64,
    /// Half the distance between the quartiles of the ratio, relative to the ratio.
    pub(crate) spread: f64,
}

impl Figures {
    /// # Errors
    /// A cost that is no positive number means that a round was too short to be measured.
    pub(crate) fn of(costs: &Costs) -> Result<Self, Skipped> {
        let all = [&costs.folio, &costs.peer]
            .into_iter()
            .chain(&costs.limit)
            .flatten();
        if all
            .into_iter()
            .any(|cost| !cost.is_finite() || *cost <= 0.0)
        {
            return Err(Skipped("a round was too short to be measured".into()));
        }
        let ratios = costs
            .folio
            .iter()
            .zip(&costs.peer)
            .map(|(folio, peer)| folio / peer);
        let no_round = || Skipped("no round was measured".into());
        let ratio = Quartiles::of(ratios.collect()).ok_or_else(no_round)?;
        let median = |costs: &[f64]| stats::median(costs.to_vec()).ok_or_else(no_round);
        Ok(Self {
            folio: median(&costs.folio)?,
            peer: median(&costs.peer)?,
            limit: costs.limit.as_deref().map(median).transpose()?,
            ratio: ratio.median,
            spread: (ratio.upper - ratio.lower) / 2.0 / ratio.median,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(folio: &[f64], peer: &[f64]) -> Costs {
        Costs {
            folio: folio.to_vec(),
            peer: peer.to_vec(),
            limit: None,
        }
    }

    #[test]
    fn a_slow_round_that_hits_both_leaves_the_ratio() {
        let figures = Figures::of(&costs(&[2.0, 20.0, 2.0], &[4.0, 40.0, 4.0])).unwrap();
        assert_eq!((figures.ratio, figures.spread), (0.5, 0.0));
        assert_eq!((figures.folio, figures.peer), (2.0, 4.0));
    }

    #[test]
    fn spread_is_the_relative_half_width_between_quartiles() {
        let figures = Figures::of(&costs(
            &[1.0, 2.0, 3.0, 4.0, 5.0],
            &[1.0, 1.0, 1.0, 1.0, 1.0],
        ))
        .unwrap();
        let spread = (4.0 - 2.0) / 2.0 / 3.0;
        assert_eq!((figures.ratio, figures.spread), (3.0, spread));
    }

    #[test]
    fn costs_that_cannot_be_are_no_figures() {
        assert!(Figures::of(&costs(&[1.0], &[0.0])).is_err());
        assert!(Figures::of(&costs(&[f64::NAN], &[1.0])).is_err());
        assert!(Figures::of(&costs(&[], &[])).is_err());
        let limit = Costs {
            limit: Some(vec![0.0]),
            ..costs(&[1.0], &[1.0])
        };
        assert!(Figures::of(&limit).is_err());
    }

    #[test]
    fn a_reason_joins_the_causes() {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = folio::Source::open("/nowhere/at-all").unwrap_err();
        let (what, cause) = (error.to_string(), missing().to_string());
        assert!(Skipped::from(error).0.starts_with(&format!("{what}: ")));
        assert_eq!(Skipped::from(missing()), Skipped(cause));
    }

    #[test]
    fn a_goal_is_the_largest_ratio_that_will_do() {
        let spec = |goal| Spec {
            name: "a.b",
            unit: "ns",
            peer_name: "peer",
            limit_name: None,
            goal,
            about: "",
        };
        let figures = Figures::of(&costs(&[1.15], &[1.0])).unwrap();
        assert_eq!(spec(Some(1.15)).holds(&figures), Some(true));
        assert_eq!(spec(Some(1.14)).holds(&figures), Some(false));
        assert_eq!(spec(None).holds(&figures), None);
        assert_eq!(spec(None).group(), "a");
    }
}
