//! What came of the reads.

use std::ops::AddAssign;

/// What came of one read.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// All the bytes asked for, as they were written.
    Whole,
    /// All the bytes asked for, of which those after the cut, up to the end of the page that it
    /// lies in, are zeros. Or, of a table, an answer made of such zeros.
    Zeros,
    /// Fewer bytes, none missing before the cut: what `pread(2)` does, and is documented.
    Short,
    /// [`folio::Error::Fault`], at a byte that is lost; or, of a table that is checked, the
    /// wrong checksum of a page that has lost some of its bytes.
    Fault,
    /// Anything else.
    Wrong(String),
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) whole: u64,
    pub(crate) zeros: u64,
    pub(crate) short: u64,
    pub(crate) faults: u64,
    pub(crate) killed: u64,
    pub(crate) wrong: u64,
    /// What was wrong first.
    pub(crate) complaint: Option<String>,
}

impl Counts {
    pub(crate) fn add(&mut self, verdict: Verdict) {
        self.reads += 1;
        match verdict {
            Verdict::Whole => self.whole += 1,
            Verdict::Zeros => self.zeros += 1,
            Verdict::Short => self.short += 1,
            Verdict::Fault => self.faults += 1,
            Verdict::Wrong(complaint) => {
                self.wrong += 1;
                self.complaint.get_or_insert(complaint);
            }
        }
    }

    pub(crate) fn head() -> String {
        line(
            "way",
            [
                "reads", "whole", "zeros", "short", "faults", "killed", "wrong",
            ],
        )
    }

    pub(crate) fn row(&self, name: &str) -> String {
        let counts = [
            self.reads,
            self.whole,
            self.zeros,
            self.short,
            self.faults,
            self.killed,
            self.wrong,
        ];
        line(name, counts.map(|count| count.to_string()))
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.whole += other.whole;
        self.zeros += other.zeros;
        self.short += other.short;
        self.faults += other.faults;
        self.killed += other.killed;
        self.wrong += other.wrong;
        self.complaint = self.complaint.take().or(other.complaint);
    }
}

fn line(name: &str, cells: [impl AsRef<str>; 7]) -> String {
    let cells = cells.map(|cell| format!("{:>9}", cell.as_ref()));
    format!("{name:24}{}", cells.concat())
}
