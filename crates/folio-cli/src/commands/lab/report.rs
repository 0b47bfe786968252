//! What an experiment found, and the ways to show it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::chart::{self, Chart};
use crate::failure::{Failure, Outcome};
use crate::output;

/// How findings are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,

    /// Draw the findings into this file.
    #[arg(long, value_name = "OUT")]
    pub(super) svg: Option<PathBuf>,
}

/// What an experiment found.
pub(super) trait Report {
    /// The experiment's name.
    const NAME: &'static str;

    /// Whether the claim holds.
    fn holds(&self) -> bool;

    /// That in a sentence, which begins with `holds` if it does.
    fn verdict(&self) -> String;

    /// What stands above the charts.
    fn print_table(&self, out: &mut impl Write) -> io::Result<()>;

    fn charts(&self) -> Vec<Chart>;

    /// All of that, each figure by its name, as one object.
    fn json(&self) -> Value;

    /// Prints all that was found, and draws it if that is asked for. A claim that does not hold is a failure.
    fn show(&self, options: &Options) -> Outcome {
        let mut out = output::stdout()?;
        if options.json {
            writeln!(out, "{}", self.json())?;
        } else {
            self.print(&mut out)?;
        }
        out.flush()?;
        if let Some(path) = &options.svg {
            let title = format!("folio lab {}", Self::NAME);
            let verdict = format!("verdict: {}", self.verdict());
            chart::save(path, &title, &self.charts(), &verdict)?;
        }
        if self.holds() {
            Ok(())
        } else {
            Err(Failure::Reported)
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        self.print_table(out)?;
        for chart in self.charts() {
            write!(out, "\n{chart}")?;
        }
        writeln!(out, "\nverdict: {}", self.verdict())
    }
}

/// Rows of a name and what was found.
pub(super) fn print_rows(out: &mut impl Write, rows: &[(&str, String)]) -> io::Result<()> {
    rows.iter()
        .try_for_each(|(name, value)| writeln!(out, "{name:19} {value}"))
}

/// What a time is in charts and in JSON.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
