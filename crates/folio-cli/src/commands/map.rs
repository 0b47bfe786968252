//! `folio map FILE`

mod picture;
mod strip;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use console::Term;
use folio::Residency;
use folio::residency::PageCounts;
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::strip::Strip;
use crate::commands::stat::{extend, pages_json};
use crate::failure::{Failure, Outcome, say};
use crate::output;

/// Show which parts of a file are in memory, as a strip of cells as wide as the terminal.
///
/// Looking reads nothing in.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file.
    file: PathBuf,

    /// Show it again and again, until Ctrl-C.
    #[arg(long)]
    watch: bool,

    /// How long to wait between two looks, in milliseconds.
    #[arg(long, value_name = "N", default_value = "500", requires = "watch",
          value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    interval_ms: u64,

    /// How many cells; by default as many as the terminal has columns, 80 if there is none.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    width: Option<u16>,

    /// Write a picture to this file; with --watch, anew with each look.
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,

    /// Print a JSON object instead, one a look.
    #[arg(long)]
    json: bool,
}

/// More than can be told apart on a screen.
const PICTURE_CELLS: usize = 480;

pub(crate) fn run(args: &Args) -> Outcome {
    let mut residency = Residency::open(&args.file)?;
    if !args.watch {
        return Screen::new(args).show(&residency);
    }
    // First of all: from here on a signal ends the watch, and leaves the terminal as it should be.
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    let mut screen = Screen::new(args);
    while !ended.load(Ordering::Relaxed) {
        if residency.is_replaced() {
            residency = Residency::open(&args.file)?;
            screen.drawn = 0;
            say(&format!(
                "{}: replaced; this is the new one",
                args.file.display()
            ));
        }
        screen.show(&residency)?;
        // A signal ends the sleep of no thread that Rust's library puts to sleep.
        let mut left = Duration::from_millis(args.interval_ms);
        while !left.is_zero() && !ended.load(Ordering::Relaxed) {
            let nap = left.min(Duration::from_millis(50));
            std::thread::sleep(nap);
            left -= nap;
        }
    }
    Ok(())
}

/// What is shown, and where.
struct Screen<'a> {
    args: &'a Args,
    term: Term,
    /// How many lines of the last look stand on the terminal.
    drawn: usize,
}

impl<'a> Screen<'a> {
    fn new(args: &'a Args) -> Self {
        Self {
            args,
            term: Term::buffered_stdout(),
            drawn: 0,
        }
    }

    fn show(&mut self, residency: &Residency) -> Outcome {
        if let Some(path) = &self.args.svg {
            picture::save(path, residency, &residency.cells(PICTURE_CELLS)?)?;
        }
        let cells = residency.cells(self.width())?;
        if self.args.json {
            let mut out = output::stdout()?;
            writeln!(out, "{}", json(residency, &cells))?;
            out.flush()?;
            return Ok(());
        }
        if !self.term.is_term() {
            let mut out = output::stdout()?;
            write!(out, "{}", Strip::new(residency, &cells, self.width()))?;
            out.flush()?;
            return Ok(());
        }
        let text = Strip::new(residency, &cells, self.width())
            .coloured()
            .to_string();
        if self.drawn > 0 {
            self.term.clear_last_lines(self.drawn)?;
        }
        self.drawn = 0;
        for line in text.lines() {
            // A line that wraps would be two to clear.
            self.term
                .write_line(&console::truncate_str(line, self.columns(), ""))?;
            self.drawn += 1;
        }
        self.term.flush().map_err(Failure::from)
    }

    fn columns(&self) -> usize {
        usize::from(self.term.size().1).max(1)
    }

    fn width(&self) -> usize {
        match self.args.width {
            Some(width) => usize::from(width),
            None if self.term.is_term() => self.columns(),
            None => 80,
        }
    }
}

fn json(residency: &Residency, cells: &[PageCounts]) -> Value {
    let cell = |cell: &PageCounts| {
        let mut object = json!({
            "offset_bytes": cell.offset_bytes,
            "len_bytes": cell.len_bytes,
        });
        extend(&mut object, pages_json(cell));
        object
    };
    let total = strip::total(cells);
    let mut object = json!({
        "file": residency.path().to_string_lossy(),
        "bytes": total.len_bytes,
    });
    extend(&mut object, pages_json(&total));
    extend(
        &mut object,
        json!({ "cells": cells.iter().map(cell).collect::<Value>() }),
    );
    object
}
