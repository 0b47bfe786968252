use std::io;

use crate::args::Settings;
use crate::row::{Bench, Figures, Outcome, Skipped, Spec};

/// A bench, with those of its rows that were asked for.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    bench: &'a Bench,
    wanted: Vec<bool>,
}

/// What the names ask for, in the order of the list.
///
/// # Errors
/// `InvalidInput` for a name that neither a group nor a row has.
pub(crate) fn select<'a>(benches: &'a [Bench], names: &[String]) -> io::Result<Vec<Choice<'a>>> {
    let names_it = |name: &str, spec: &Spec| name == spec.name || name == spec.group();
    for name in names {
        let known = benches
            .iter()
            .flat_map(|bench| bench.rows)
            .any(|spec| names_it(name, spec));
        if !known {
            let why = format!("no group or row is called {name} (--list names them)");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
    }
    let wanted = |spec: &Spec| names.iter().any(|name| names_it(name, spec));
    let choices = benches.iter().map(|bench| Choice {
        bench,
        wanted: bench.rows.iter().map(wanted).collect(),
    });
    Ok(choices
        .filter(|choice| choice.wanted.contains(&true))
        .collect())
}

impl Choice<'_> {
    /// The rows asked for.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static Spec> {
        let rows = self.bench.rows.iter().zip(&self.wanted);
        rows.filter(|(_, wanted)| **wanted).map(|(spec, _)| spec)
    }

    /// Measures the bench once, and returns the rows asked for.
    pub(crate) fn run(&self, settings: &Settings) -> Vec<(&'static Spec, Outcome)> {
        let settings = Settings {
            rows: self.rows().collect(),
            ..settings.clone()
        };
        let measured = (self.bench.measure)(&settings);
        let outcome = |index: usize| match &measured {
            Err(why) => Outcome::Skipped(why.clone()),
            Ok(costs) => costs
                .get(index)
                .cloned()
                .unwrap_or_else(|| Err(Skipped("not measured".into())))
                .and_then(|costs| Figures::of(&costs))
                .map_or_else(Outcome::Skipped, Outcome::Ran),
        };
        let rows = self.bench.rows.iter().zip(&self.wanted).enumerate();
        rows.filter(|(_, (_, wanted))| **wanted)
            .map(|(index, (spec, _))| (spec, outcome(index)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Costs;

    const fn spec(name: &'static str) -> Spec {
        Spec {
            name,
            unit: "ns",
            peer_name: "peer",
            limit_name: None,
            goal: None,
            about: "",
        }
    }

    fn benches() -> Vec<Bench> {
        vec![
            Bench {
                rows: const { &[spec("one.a"), spec("one.b")] },
                measure: |_| {
                    let costs = |folio| Costs {
                        folio: vec![folio],
                        peer: vec![1.0],
                        limit: None,
                    };
                    Ok(vec![Err(Skipped("no peer".into())), Ok(costs(2.0))])
                },
            },
            Bench {
                rows: const { &[spec("two.a")] },
                measure: |_| Err(Skipped("no".into())),
            },
        ]
    }

    fn names(benches: &[Bench], asked: &[&str]) -> Vec<&'static str> {
        let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
        let choices = select(benches, &asked).unwrap();
        choices
            .iter()
            .flat_map(|choice| choice.rows().map(|spec| spec.name).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn groups_and_rows_in_the_order_of_the_list() {
        let benches = benches();
        assert_eq!(
            names(&benches, &["two", "one"]),
            ["one.a", "one.b", "two.a"]
        );
        assert_eq!(names(&benches, &["one.b"]), ["one.b"]);
        assert_eq!(names(&benches, &["one", "one.a"]), ["one.a", "one.b"]);
    }

    #[test]
    fn an_unknown_name_is_wrong_usage() {
        for name in ["three", "one.c", "on", ""] {
            let error = select(&benches(), &[name.to_owned()]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn rows_get_their_own_costs_and_a_reason_where_there_are_none() {
        let benches = benches();
        let settings = Settings {
            rows: Vec::new(),
            quick: true,
            keys: None,
            folio: "folio".into(),
        };
        let choices = select(&benches, &["one".into(), "two".into()]).unwrap();
        let rows: Vec<_> = choices
            .iter()
            .flat_map(|choice| choice.run(&settings))
            .collect();
        assert!(matches!(&rows[0].1, Outcome::Skipped(why) if why.0 == "no peer"));
        assert!(
            matches!(&rows[1], (Spec { name: "one.b", .. }, Outcome::Ran(f)) if (f.folio, f.ratio) == (2.0, 2.0))
        );
        assert!(matches!(&rows[2].1, Outcome::Skipped(why) if why.0 == "no"));
        assert_eq!(rows.len(), 3);
    }
}
