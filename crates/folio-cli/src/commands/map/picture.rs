//! A file as a picture.

use std::path::Path;

use folio::Residency;
use folio::residency::PageCounts;
use indicatif::{HumanBytes, HumanCount};

use super::strip::total;
use crate::commands::stat::percent;
use crate::failure::Outcome;
use crate::svg::{Anchor, Picture, colour};

const WIDTH: u32 = 1000;
const MARGIN: f64 = 20.0;
const STRIP_TOP: f64 = 50.0;
const STRIP_HEIGHT: f64 = 90.0;
/// How long a name may be in the heading.
const MOST_CHARS: usize = 55;

/// Writes it: each cell a column, filled from below by what is in memory (dirty first), from above by
/// what was evicted.
pub(super) fn save(path: &Path, residency: &Residency, cells: &[PageCounts]) -> Outcome {
    let total = total(cells);
    let name = residency.path().to_string_lossy();
    let mut picture = Picture::new(WIDTH, 215, &name);
    let shown = shortened(&name);
    let heading = match total.resident {
        Some(resident) => format!(
            "{shown}: {} of {} pages in memory ({:.1} %)",
            HumanCount(resident),
            HumanCount(total.pages),
            percent(resident, total.pages)
        ),
        None => format!("{shown}: what is in memory is not known"),
    };
    picture.label([MARGIN, 30.0], 16, Anchor::Start, &heading);
    let width = f64::from(WIDTH) - 2.0 * MARGIN;
    picture.rect([MARGIN, STRIP_TOP, width, STRIP_HEIGHT], colour::PALE);
    let mut x = MARGIN;
    // Those alike as one, so that no seams are seen between them.
    for run in cells.chunk_by(|a, b| {
        is_plain(a)
            && is_plain(b)
            && a.resident.is_some_and(|count| count > 0)
                == b.resident.is_some_and(|count| count > 0)
    }) {
        let cell = &super::strip::total(run);
        let cell_width = width * percent(cell.len_bytes, total.len_bytes) / 100.0;
        draw_cell(&mut picture, x, cell_width, cell);
        x += cell_width;
    }
    let below = STRIP_TOP + STRIP_HEIGHT + 18.0;
    picture.label([MARGIN, below], 12, Anchor::Start, "0");
    let end = HumanBytes(total.len_bytes).to_string();
    picture.label([MARGIN + width, below], 12, Anchor::End, &end);
    if total.len_bytes > 0 {
        let half = HumanBytes(total.len_bytes / 2).to_string();
        picture.label([MARGIN + width / 2.0, below], 12, Anchor::Middle, &half);
    }
    let mut x = MARGIN;
    for (fill, meaning) in [
        (colour::BLUE, "in memory"),
        (colour::ORANGE, "dirty"),
        (colour::GREY, "evicted"),
        (colour::PALE, "not in memory"),
    ] {
        picture.rect([x, 182.0, 14.0, 14.0], fill);
        picture.label([x + 20.0, 194.0], 13, Anchor::Start, meaning);
        x += 130.0;
    }
    picture.save(path)
}

/// A name that leaves room for what is said beside it: the end of a path tells the most.
fn shortened(name: &str) -> String {
    let surplus = name.chars().count().saturating_sub(MOST_CHARS);
    if surplus == 0 {
        return name.to_owned();
    }
    // One more, for the sign that some are missing.
    let end: String = name.chars().skip(surplus + 1).collect();
    format!("…{end}")
}

/// Whether all or nothing of a cell is in memory, and that is all there is to show.
fn is_plain(cell: &PageCounts) -> bool {
    let none = |count: Option<u64>| count.unwrap_or(0) == 0;
    let is_uniform = none(cell.resident) || cell.resident == Some(cell.pages);
    is_uniform && none(cell.dirty) && none(cell.write_back) && none(cell.evicted)
}

fn draw_cell(picture: &mut Picture, x: f64, width: f64, cell: &PageCounts) {
    let height = |count: u64| STRIP_HEIGHT * percent(count.min(cell.pages), cell.pages) / 100.0;
    let bottom = STRIP_TOP + STRIP_HEIGHT;
    let resident = height(cell.resident.unwrap_or(0));
    let unclean = cell.dirty.unwrap_or(0) + cell.write_back.unwrap_or(0);
    let dirty = height(unclean.min(cell.resident.unwrap_or(0)));
    let evicted = height(cell.evicted.unwrap_or(0)).min(STRIP_HEIGHT - resident);
    picture.rect(
        [x, bottom - resident, width, resident - dirty],
        colour::BLUE,
    );
    picture.rect([x, bottom - dirty, width, dirty], colour::ORANGE);
    picture.rect([x, STRIP_TOP, width, evicted], colour::GREY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_at_their_start() {
        assert_eq!(shortened("a/b"), "a/b");
        let fits = "ä".repeat(MOST_CHARS);
        assert_eq!(shortened(&fits), fits);
        let cut = shortened(&format!("{fits}.bin"));
        assert_eq!(cut.chars().count(), MOST_CHARS);
        assert!(cut.starts_with("…ä") && cut.ends_with("ä.bin"), "{cut}");
    }
}
