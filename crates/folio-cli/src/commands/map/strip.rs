//! A file as a line of cells.

use std::fmt;

use folio::Residency;
use folio::residency::PageCounts;
use indicatif::{HumanBytes, HumanCount};

use crate::commands::stat::percent;

/// A heading, the cells, a scale and what the cells mean.
#[derive(Debug)]
pub(super) struct Strip<'a> {
    name: String,
    cells: &'a [PageCounts],
    width: usize,
    is_coloured: bool,
}

/// What most of a cell is; in the order in which the first that is so is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Unknown,
    Dirty,
    All,
    Most,
    Some,
    Evicted,
    Nothing,
}

impl<'a> Strip<'a> {
    pub(super) fn new(residency: &Residency, cells: &'a [PageCounts], width: usize) -> Self {
        let name = residency.path().to_string_lossy();
        Self {
            name: name.escape_debug().to_string(),
            cells,
            width,
            is_coloured: false,
        }
    }

    /// With the cells in colours.
    pub(super) fn coloured(mut self) -> Self {
        self.is_coloured = true;
        self
    }
}

/// All cells in one.
pub(super) fn total(cells: &[PageCounts]) -> PageCounts {
    let sum = |field: fn(&PageCounts) -> Option<u64>| cells.iter().map(field).sum();
    let mut total = cells.first().copied().unwrap_or_default();
    total.len_bytes = cells.iter().map(|cell| cell.len_bytes).sum();
    total.pages = cells.iter().map(|cell| cell.pages).sum();
    total.resident = sum(|cell| cell.resident);
    total.dirty = sum(|cell| cell.dirty);
    total.write_back = sum(|cell| cell.write_back);
    total.evicted = sum(|cell| cell.evicted);
    total.recently_evicted = sum(|cell| cell.recently_evicted);
    total
}

impl Cell {
    fn of(pages: &PageCounts) -> Self {
        let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
        let Some(resident) = pages.resident else {
            return Self::Unknown;
        };
        if some(pages.dirty) || some(pages.write_back) {
            Self::Dirty
        } else if resident >= pages.pages {
            Self::All
        } else if resident >= pages.pages.div_ceil(2) {
            Self::Most
        } else if resident > 0 {
            Self::Some
        } else if some(pages.evicted) {
            Self::Evicted
        } else {
            Self::Nothing
        }
    }

    fn symbol(self) -> char {
        match self {
            Self::Unknown => '?',
            Self::Dirty => 'D',
            Self::All => '█',
            Self::Most => '▓',
            Self::Some => '░',
            Self::Evicted => 'x',
            Self::Nothing => '·',
        }
    }

    fn style(self) -> console::Style {
        let style = console::Style::new().force_styling(true);
        match self {
            Self::Dirty => style.red().bold(),
            Self::All | Self::Most | Self::Some => style.green(),
            Self::Evicted => style.yellow(),
            Self::Unknown | Self::Nothing => style.dim(),
        }
    }
}

impl fmt::Display for Strip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = total(self.cells);
        write!(
            f,
            "{}: {}, {} pages",
            self.name,
            HumanBytes(total.len_bytes),
            HumanCount(total.pages)
        )?;
        match total.resident {
            Some(resident) => write!(
                f,
                ", {} in memory ({:.1} %)",
                HumanCount(resident),
                percent(resident, total.pages)
            )?,
            None => write!(f, ", known by {}", total.basis)?,
        }
        let unclean = total
            .dirty
            .map(|dirty| dirty + total.write_back.unwrap_or(0));
        for (count, what) in [(unclean, "dirty"), (total.evicted, "evicted")] {
            if let Some(count) = count {
                write!(f, ", {} {what}", HumanCount(count))?;
            }
        }
        writeln!(f)?;
        for cell in self.cells {
            // As wide as was asked for, whatever the file's size.
            let cell = Cell::of(cell);
            let symbol = cell.symbol();
            if self.is_coloured {
                write!(f, "{}", cell.style().apply_to(symbol))?;
            } else {
                write!(f, "{symbol}")?;
            }
        }
        writeln!(f)?;
        let end = HumanBytes(total.len_bytes).to_string();
        let cells = self.cells.len().min(self.width);
        if cells > 0 {
            // Apart even where the cells are few.
            writeln!(f, "0 {end:>width$}", width = cells.saturating_sub(2))?;
        }
        writeln!(
            f,
            "█ in memory  ▓ half or more  ░ some  D some dirty  x evicted  · not in memory"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(resident: u64, dirty: u64, evicted: u64) -> PageCounts {
        let mut pages = PageCounts::default();
        pages.pages = 10;
        pages.resident = Some(resident);
        pages.dirty = Some(dirty);
        pages.evicted = Some(evicted);
        pages
    }

    #[test]
    fn a_cell_says_what_matters_most() {
        assert_eq!(Cell::of(&pages(10, 0, 0)), Cell::All);
        assert_eq!(Cell::of(&pages(10, 1, 0)), Cell::Dirty);
        assert_eq!(Cell::of(&pages(5, 0, 5)), Cell::Most);
        assert_eq!(Cell::of(&pages(1, 0, 9)), Cell::Some);
        assert_eq!(Cell::of(&pages(0, 0, 9)), Cell::Evicted);
        assert_eq!(Cell::of(&pages(0, 0, 0)), Cell::Nothing);
        let mut unknown = pages(0, 0, 0);
        unknown.resident = None;
        assert_eq!(Cell::of(&unknown), Cell::Unknown);
    }

    #[test]
    fn what_is_unknown_of_one_cell_is_unknown_of_all() {
        let mut unknown = pages(3, 1, 0);
        unknown.dirty = None;
        let sum = total(&[pages(4, 2, 1), unknown]);
        assert_eq!(
            (sum.resident, sum.dirty, sum.evicted),
            (Some(7), None, Some(1))
        );
        assert_eq!(sum.pages, 20);
        assert_eq!(total(&[]).pages, 0);
    }
}
