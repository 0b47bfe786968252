//! Side-by-side measurements: the same work done by folio, by a peer and, where
//! it can be had, by the limit of the machine, in one run, interleaved.
//!
//! ```text
//! folio-bench --list              # groups and rows
//! folio-bench --quick files       # a group, seconds a row
//! folio-bench --json serve table  # one JSON object a line
//! ```
//!
//! CONTRIBUTING.md says how to add a row.

mod args;
mod groups;
mod measure;
mod report;
mod row;
mod select;
mod stats;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::report::Report;
use crate::row::Outcome;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads our output has seen enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("folio-bench: {error}");
            // InvalidInput is a name that no group and no row bears: wrong usage.
            let usage = error.kind() == io::ErrorKind::InvalidInput;
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

/// Whether all that was asked for is well: with `--check`, every goal has to hold.
fn run(args: &Args) -> io::Result<bool> {
    if let Some(table) = &args.hold {
        let held = groups::hold(table);
        return held.map(|()| true).map_err(|why| io::Error::other(why.0));
    }
    if let Some(arena) = &args.partner {
        let done = groups::partner(arena);
        return done.map(|()| true).map_err(|why| io::Error::other(why.0));
    }
    if groups::scan(&args.scan).map_err(|why| io::Error::other(why.0))? {
        return Ok(true);
    }
    let benches = groups::all();
    let mut out = io::stdout().lock();
    if args.list {
        report::list(&benches, &mut out)?;
        return Ok(true);
    }
    let selected = select::select(&benches, &args.select)?;
    let report = Report::new(args.json, &selected);
    let mut well = true;
    report.head(&mut out)?;
    for choice in &selected {
        for (spec, outcome) in choice.run(&args.settings()) {
            well &=
                !matches!(&outcome, Outcome::Ran(figures) if spec.holds(figures) == Some(false));
            report.row(spec, &outcome, &mut out)?;
            out.flush()?;
        }
    }
    Ok(well || !args.check)
}
