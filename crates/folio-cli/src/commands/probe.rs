//! `folio probe FILE…`

use std::io::Write;
use std::path::PathBuf;

use folio::{Kind, Source};
use indicatif::{HumanBytes, HumanCount};

use crate::commands::cat;
use crate::failure::{Failure, Outcome, one_line};
use crate::output;

/// Print how folio reads each file, and why.
///
/// FILE is anything that can be opened, or `-` for standard input: a regular file, a
/// pipe, a tty, an entry of /proc or /sys, a device.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to look at.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Show how this byte of each file would be mapped; K, M, G or T after the number multiply by
    /// powers of 1024.
    #[arg(long, value_name = "N", default_value = "0", value_parser = cat::parse_bytes)]
    offset: u64,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut out = output::stdout()?;
    let mut has_failed = false;
    for file in &args.files {
        match cat::open(file) {
            Ok(source) => write_source(&mut out, &source, args.offset)?,
            Err(error) => {
                has_failed = true;
                out.flush()?;
                eprintln!("folio: {}", one_line(&error));
            }
        }
    }
    out.flush()?;
    if has_failed {
        Err(Failure::Reported)
    } else {
        Ok(())
    }
}

fn write_source(out: &mut impl Write, source: &Source, offset: u64) -> std::io::Result<()> {
    writeln!(out, "{}", source.path().display())?;
    writeln!(out, "  kind       {}", kind(source.kind()))?;
    writeln!(out, "  why        {}", source.reason())?;
    match source.len() {
        Some(len) => writeln!(
            out,
            "  length     {} bytes ({})",
            HumanCount(len),
            HumanBytes(len)
        )?,
        None => writeln!(out, "  length     unknown")?,
    }
    if matches!(source.kind(), Kind::Mapped | Kind::Windowed) {
        let (start, within) = folio_sys::page::split(offset);
        writeln!(
            out,
            "  alignment  byte {} is byte {within} of the page that begins at {} (pages of {})",
            HumanCount(offset),
            HumanCount(start),
            folio_sys::page::size()
        )?;
    }
    match (source.kind(), source.windows().map(folio::Windows::stats)) {
        (Kind::Mapped, _) => writeln!(out, "  windows    one: the whole file"),
        (_, Some(stats)) => writeln!(
            out,
            "  windows    of {}, each beginning at a multiple of {}",
            HumanBytes(stats.window_bytes),
            HumanBytes(stats.window_bytes / 2)
        ),
        _ => writeln!(out, "  windows    none: it is not mapped"),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Mapped => "mapped",
        Kind::Windowed => "windowed",
        Kind::Positioned => "positioned (read by pread)",
        Kind::Stream => "stream (read once, in order)",
        _ => "unknown",
    }
}
