//! `folio lab dirty`

mod method;

use std::io::{self, Write};

use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use self::method::{Cost, Finder, Measured, Method, Random};
use super::chart::Chart;
use super::report::{Options, Report, print_rows};
use super::share::sample_file;
use crate::commands::cat::parse_bytes;
use crate::failure::{Failure, Outcome};

/// Write to some pages of a mapped file, and see by which means they are found, and at what cost.
///
/// By userfaultfd, the kernel write-protects pages, lifts that when one is written to, and lists these pages (`WP_ASYNC` and
/// `PAGEMAP_SCAN`, Linux 6.7). By mprotect, pages are write-protected, and a handler of SIGSEGV notes those
/// that are written to. By checksums, all pages are read and compared with what they were.
/// A map that nobody watches shows what writes cost anyway. A scan finds the pages and begins anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many pages to write to, all over the file.
    #[arg(long, value_name = "N", default_value = "1000",
          value_parser = clap::value_parser!(u64).range(1..=MOST_PAGES))]
    pages: u64,

    /// The size of the file, which is made in the folder for temporary files ($TMPDIR); K, M, G or T after
    /// the number multiply by powers of 1024.
    #[arg(long, value_name = "N", default_value = "128M", value_parser = parse_bytes)]
    size: u64,

    #[command(flatten)]
    options: Options,
}

/// With more runs of pages than these, the handler of SIGSEGV takes some for one.
const MOST_PAGES: u64 = 16_000;

/// How often each method has to find the pages.
const ROUNDS: u32 = 5;

pub(crate) fn run(args: &Args) -> Outcome {
    let page_bytes = folio_sys::page::size() as u64;
    let file_pages = args.size / page_bytes;
    if args.pages > file_pages {
        return Err(Failure::new(format!(
            "a file of {} has {file_pages} pages, not {}",
            HumanBytes(args.size),
            args.pages
        ))
        .hint("--size makes it larger, --pages writes to fewer"));
    }
    let file = sample_file(args.size)?;
    let (mut random, mut entries) = (Random::new(), Vec::new());
    for method in Method::ALL {
        let found = match Finder::new(method, file.path())? {
            Ok(finder) => Ok(finder.measure(args.pages, ROUNDS, &mut random)?),
            Err(why) => Err(why),
        };
        entries.push(Entry { method, found });
    }
    Findings {
        size: args.size,
        page_bytes,
        pages: args.pages,
        entries,
    }
    .show(&args.options)
}

/// What was found by one method, or why it cannot be had here.
struct Entry {
    method: Method,
    found: Result<Measured, String>,
}

struct Findings {
    size: u64,
    page_bytes: u64,
    pages: u64,
    entries: Vec<Entry>,
}

impl Report for Findings {
    const NAME: &'static str = "dirty";

    fn print_table(&self, out: &mut impl Write) -> io::Result<()> {
        let pages = HumanCount(self.size / self.page_bytes);
        let size = HumanBytes(self.size);
        let written = HumanCount(self.pages);
        let rows = [
            ("file size", format!("{size}, {pages} pages")),
            ("written to", format!("{written} pages, {ROUNDS} times")),
        ];
        print_rows(out, &rows)?;
        writeln!(
            out,
            "\n{:12} {:>9} {:>9} {:>7} {:>7} {:>12} {:>12} {:>10}",
            "method", "written", "found", "missed", "others", "first write", "later write", "scan"
        )?;
        for Entry { method, found } in &self.entries {
            let name = method.name();
            let measured = match found {
                Ok(measured) => measured,
                Err(why) => {
                    writeln!(out, "{name:12} cannot be had here: {why}")?;
                    continue;
                }
            };
            let of_scan = |text: String| measured.scan.map_or("-".to_owned(), |_| text);
            let count = |count| of_scan(HumanCount(count).to_string());
            writeln!(
                out,
                "{name:12} {:>9} {:>9} {:>7} {:>7} {:>12} {:>12} {:>10}",
                HumanCount(measured.written).to_string(),
                count(measured.found),
                count(measured.missed),
                count(measured.others),
                measured.first_write.to_string(),
                measured.later_write.to_string(),
                measured
                    .scan
                    .map_or("-".to_owned(), |cost| cost.to_string()),
            )?;
        }
        Ok(())
    }

    fn charts(&self) -> Vec<Chart> {
        let mut scan = Chart::new("time to find the pages written to, and begin anew");
        let mut first = Chart::new("first write to a page");
        let mut later = Chart::new("later writes to it");
        for Entry { method, found } in &self.entries {
            let Ok(measured) = found else { continue };
            let bar = |chart: Chart, cost: Cost| {
                chart.bar(method.name(), cost.picos(), cost, method.is_folio())
            };
            if let Some(cost) = measured.scan {
                scan = bar(scan, cost);
            }
            first = bar(first, measured.first_write);
            later = bar(later, measured.later_write);
        }
        vec![scan, first, later]
    }

    fn json(&self) -> Value {
        let methods: Vec<_> = self
            .entries
            .iter()
            .map(|Entry { method, found }| match found {
                Err(why) => json!({ "method": method.name(), "refused": why }),
                Ok(measured) => {
                    let of_scan = |count: u64| measured.scan.map(|_| count);
                    json!({
                        "method": method.name(),
                        "written_pages": measured.written,
                        "found_pages": of_scan(measured.found),
                        "missed_pages": of_scan(measured.missed),
                        "other_pages": of_scan(measured.others),
                        "first_write_ns": measured.first_write.nanos(),
                        "later_write_ns": measured.later_write.nanos(),
                        "scan_ns": measured.scan.map(Cost::nanos),
                    })
                }
            })
            .collect();
        json!({
            "experiment": Self::NAME,
            "file_bytes": self.size,
            "page_bytes": self.page_bytes,
            "rounds": ROUNDS,
            "methods": methods,
            "holds": self.holds(),
            "verdict": self.verdict(),
        })
    }

    fn verdict(&self) -> String {
        if !self.holds() {
            return "does not hold".to_owned();
        }
        let scan = |method| match self.of(method) {
            Some(Ok(measured)) => measured.scan,
            _ => None,
        };
        let compared = |method: Method| match (scan(method), scan(Method::Checksums)) {
            (Some(cost), Some(checksums)) => format!(
                "all pages were found, by {} in {} instead of {checksums}",
                method.name(),
                cost
            ),
            _ => "all pages were found".to_owned(),
        };
        match self.of(Method::Userfaultfd) {
            Some(Ok(_)) => format!("holds: {}", compared(Method::Userfaultfd)),
            _ => format!(
                "holds as far as it can be seen without userfaultfd: {}",
                compared(Method::Protection)
            ),
        }
    }

    /// Whether every method that can be had here found what was written to, and little else.
    fn holds(&self) -> bool {
        let has_tracker = [Method::Userfaultfd, Method::Protection]
            .iter()
            .any(|&method| matches!(self.of(method), Some(Ok(_))));
        let measured = self
            .entries
            .iter()
            .filter_map(|entry| entry.found.as_ref().ok());
        has_tracker
            && measured
                .filter(|measured| measured.scan.is_some())
                // Trackers may report pages that the file lost meanwhile.
                .all(|measured| measured.missed == 0 && measured.others <= measured.written / 100)
    }
}

impl Findings {
    fn of(&self, method: Method) -> Option<Result<&Measured, &str>> {
        let entry = self.entries.iter().find(|entry| entry.method == method)?;
        Some(entry.found.as_ref().map_err(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(missed: u64, others: u64) -> Measured {
        Measured {
            written: 1000,
            found: 1000 - missed + others,
            missed,
            others,
            scan: Some(Cost::default()),
            ..Measured::default()
        }
    }

    fn findings(by_kernel: Result<Measured, String>, by_handler: Measured) -> Findings {
        Findings {
            size: 1 << 30,
            page_bytes: 4096,
            pages: 200,
            entries: vec![
                Entry {
                    method: Method::Userfaultfd,
                    found: by_kernel,
                },
                Entry {
                    method: Method::Protection,
                    found: Ok(by_handler),
                },
            ],
        }
    }

    #[test]
    fn no_page_may_be_missed_and_few_be_made_up() {
        assert!(findings(Ok(measured(0, 0)), measured(0, 10)).holds());
        assert!(!findings(Ok(measured(1, 0)), measured(0, 0)).holds());
        assert!(!findings(Ok(measured(0, 0)), measured(1, 0)).holds());
        assert!(!findings(Ok(measured(0, 11)), measured(0, 0)).holds());
        let mut none = findings(Err(String::new()), measured(0, 0));
        none.entries.pop();
        assert!(!none.holds());
    }

    #[test]
    fn what_the_machine_lacks_is_said() {
        let findings = findings(Err("Function not implemented".to_owned()), measured(0, 0));
        assert!(findings.holds());
        let mut text = Vec::new();
        findings.print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("\nuserfaultfd  cannot be had here: Function not implemented\n"),
            "{text}"
        );
        assert!(
            text.contains("\nverdict: holds as far as it can be seen without userfaultfd: all"),
            "{text}"
        );
        let json = findings.json();
        let first = json.get("methods").and_then(|methods| methods.get(0));
        assert_eq!(
            first
                .and_then(|first| first.get("refused"))
                .and_then(Value::as_str),
            Some("Function not implemented")
        );
    }
}
