use std::io::{self, Write};

use serde_json::{Value, json};

use crate::row::{Bench, Figures, Outcome, Spec};
use crate::select::Choice;

/// How rows are printed: a table for people, or a JSON object a line.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    name_width: usize,
}

/// Prints the groups and their rows.
pub(crate) fn list(benches: &[Bench], out: &mut impl Write) -> io::Result<()> {
    let rows = || benches.iter().flat_map(|bench| bench.rows);
    let width = rows().map(|spec| spec.name.len()).max().unwrap_or_default();
    let mut group = "";
    for spec in rows() {
        if spec.group() != group {
            group = spec.group();
            writeln!(out, "{group}")?;
        }
        writeln!(out, "  {:width$}  {}", spec.name, spec.about)?;
    }
    Ok(())
}

impl Report {
    pub(crate) fn new(json: bool, choices: &[Choice<'_>]) -> Self {
        let names = choices
            .iter()
            .flat_map(Choice::rows)
            .map(|spec| spec.name.len());
        Self {
            json,
            name_width: names.max().unwrap_or_default(),
        }
    }

    /// The line above the rows.
    pub(crate) fn head(&self, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let width = self.name_width;
        writeln!(
            out,
            "{:width$}  {:>9} {:>9} {:>9}  {:<6}  {:>6} {:>6}  {:>6}  {:<5}  against",
            "row", "folio", "peer", "limit", "unit", "ratio", "±", "goal", "holds"
        )
    }

    /// A row, in one line.
    pub(crate) fn row(
        &self,
        spec: &Spec,
        outcome: &Outcome,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if self.json {
            return writeln!(out, "{}", object(spec, outcome));
        }
        let width = self.name_width;
        let name = spec.name;
        match outcome {
            Outcome::Skipped(why) => writeln!(out, "{name:width$}  skipped: {}", why.0),
            Outcome::Ran(figures) => {
                let number =
                    |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
                let cost = |value: Option<f64>| {
                    value.map_or("-".into(), |value| rounded(value).to_string())
                };
                let holds = spec
                    .holds(figures)
                    .map_or("-", |holds| if holds { "yes" } else { "NO" });
                let limit = spec
                    .limit_name
                    .map(|name| format!(", limit {name}"))
                    .unwrap_or_default();
                writeln!(
                    out,
                    "{name:width$}  {:>9} {:>9} {:>9}  {:<6}  {:>6} {:>5.1}%  {:>6}  {holds:<5}  {}{limit}",
                    cost(Some(figures.folio)),
                    cost(Some(figures.peer)),
                    cost(figures.limit),
                    spec.unit,
                    number(Some(figures.ratio)),
                    figures.spread * 100.0,
                    number(spec.goal),
                    spec.peer_name,
                )
            }
        }
    }
}

/// A row as JSON: of one that ran always the same keys, null where there is no such thing.
fn object(spec: &Spec, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Skipped(why) => json!({"row": spec.name, "skipped": why.0}),
        Outcome::Ran(
            figures @ Figures {
                folio,
                peer,
                limit,
                ratio,
                spread,
            },
        ) => json!({
            "row": spec.name,
            "unit": spec.unit,
            "folio": rounded(*folio),
            "peer_name": spec.peer_name,
            "peer": rounded(*peer),
            "ratio": rounded(*ratio),
            "spread": rounded(*spread),
            "limit_name": spec.limit_name,
            "limit": limit.map(rounded),
            "goal": spec.goal,
            "holds": spec.holds(figures),
        }),
    }
}

/// To four digits: the rest is noise.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Skipped;

    const SPEC: Spec = Spec {
        name: "files.read",
        unit: "ns",
        peer_name: "memmap2",
        limit_name: Some("memcpy"),
        goal: Some(1.15),
        about: "",
    };
    const FIGURES: Figures = Figures {
        folio: 5.1,
        peer: 4.8,
        limit: Some(4.7),
        ratio: 1.06,
        spread: 0.04,
    };

    fn line(json: bool, spec: &Spec, outcome: &Outcome) -> String {
        let mut out = Vec::new();
        Report {
            json,
            name_width: 12,
        }
        .row(spec, outcome, &mut out)
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_is_one_object_with_the_keys_in_order() {
        assert_eq!(
            line(true, &SPEC, &Outcome::Ran(FIGURES)),
            "{\"row\":\"files.read\",\"unit\":\"ns\",\"folio\":5.1,\"peer_name\":\"memmap2\",\"peer\":4.8,\
             \"ratio\":1.06,\"spread\":0.04,\"limit_name\":\"memcpy\",\"limit\":4.7,\"goal\":1.15,\
             \"holds\":true}\n"
        );
    }

    #[test]
    fn what_a_row_does_not_have_is_null() {
        let spec = Spec {
            limit_name: None,
            goal: None,
            ..SPEC
        };
        let outcome = Outcome::Ran(Figures {
            limit: None,
            ..FIGURES
        });
        let object: Value = serde_json::from_str(&line(true, &spec, &outcome)).unwrap();
        for key in ["limit_name", "limit", "goal", "holds"] {
            assert_eq!(object.get(key), Some(&Value::Null), "{key}");
        }
    }

    #[test]
    fn a_row_that_could_not_run_says_why() {
        let outcome = Outcome::Skipped(Skipped("no redis-server".into()));
        assert_eq!(
            line(true, &SPEC, &outcome),
            "{\"row\":\"files.read\",\"skipped\":\"no redis-server\"}\n"
        );
        assert_eq!(
            line(false, &SPEC, &outcome),
            "files.read    skipped: no redis-server\n"
        );
    }

    #[test]
    fn a_person_reads_the_same() {
        let line = line(false, &SPEC, &Outcome::Ran(FIGURES));
        for part in [
            "5.1",
            "4.8",
            "4.7",
            "1.06",
            "4.0%",
            "1.15",
            "yes",
            "memmap2, limit memcpy",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn four_digits_are_enough() {
        let numbers = [1_234_567.0, 0.000_123_456, 2.0].map(rounded);
        let expected = [1_235_000.0, 0.000_123_5, 2.0];
        assert!(numbers.iter().eq(&expected), "{numbers:?}");
    }
}
