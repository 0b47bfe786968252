//! Bars, as text and as a picture.

use std::fmt;
use std::path::Path;

use crate::failure::Outcome;
use crate::svg::{Anchor, Picture, colour};

/// Bars of one unit, below a title.
#[derive(Debug)]
pub(super) struct Chart {
    title: String,
    bars: Vec<Bar>,
}

#[derive(Debug)]
struct Bar {
    label: String,
    value: f64,
    /// The value as it is to be read.
    text: String,
    fill: &'static str,
}

/// How long the longest bar is in text.
const COLUMNS: f64 = 40.0;
const ROW_HEIGHT: f64 = 30.0;
const LABEL_WIDTH: f64 = 230.0;
const BAR_WIDTH: f64 = 380.0;
const LINE_HEIGHT: f64 = 20.0;
/// How much of a verdict is as wide as the picture, in a wide font.
const LINE_CHARS: usize = 100;

impl Chart {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            bars: Vec::new(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a bar's length")]
    pub(super) fn bar(
        mut self,
        label: impl Into<String>,
        value: u64,
        text: impl fmt::Display,
        is_folio: bool,
    ) -> Self {
        self.bars.push(Bar {
            label: label.into(),
            value: value as f64,
            text: text.to_string(),
            fill: if is_folio {
                colour::BLUE
            } else {
                colour::ORANGE
            },
        });
        self
    }

    /// A bar's length, where the longest is 1.
    fn share(&self, bar: &Bar) -> f64 {
        let longest = self.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        if longest > 0.0 {
            bar.value / longest
        } else {
            0.0
        }
    }

    fn height(&self) -> f64 {
        self.bars.iter().fold(50.0, |height, _| height + ROW_HEIGHT)
    }

    fn draw(&self, picture: &mut Picture, top: f64) {
        picture.label([20.0, top + 25.0], 16, Anchor::Start, &self.title);
        let mut y = top + 40.0;
        for bar in &self.bars {
            let length = BAR_WIDTH * self.share(bar);
            picture.label([LABEL_WIDTH - 10.0, y + 15.0], 13, Anchor::End, &bar.label);
            // Little is not nothing.
            let visible = if bar.value > 0.0 {
                length.max(1.0)
            } else {
                0.0
            };
            picture.rect([LABEL_WIDTH, y, visible, 20.0], bar.fill);
            let end = LABEL_WIDTH + length + 8.0;
            picture.label([end, y + 15.0], 13, Anchor::Start, &bar.text);
            y += ROW_HEIGHT;
        }
    }
}

/// Writes charts below each other to a file, with a verdict under them.
pub(super) fn save(path: &Path, title: &str, charts: &[Chart], verdict: &str) -> Outcome {
    let verdict = lines(verdict);
    let below = verdict.iter().fold(30.0, |height, _| height + LINE_HEIGHT);
    let height = charts.iter().map(Chart::height).sum::<f64>() + below;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few hundred pixels"
    )]
    let mut picture = Picture::new(800, height as u32, title);
    let mut top = 0.0;
    for chart in charts {
        chart.draw(&mut picture, top);
        top += chart.height();
    }
    for line in &verdict {
        picture.label([20.0, top + 25.0], 14, Anchor::Start, line);
        top += LINE_HEIGHT;
    }
    picture.save(path)
}

/// A text in lines that fit, broken between words.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= LINE_CHARS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let width = self.bars.iter().map(|bar| bar.label.chars().count()).max();
        for bar in &self.bars {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "40 at the most"
            )]
            let length = (COLUMNS * self.share(bar)).round() as usize;
            let cells = "█".repeat(length);
            let width = width.unwrap_or(0);
            writeln!(f, "  {:width$}  {cells} {}", bar.label, bar.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_verdicts_take_several_lines() {
        assert_eq!(lines("verdict: holds"), ["verdict: holds"]);
        let text = "word ".repeat(50);
        let lines = lines(text.trim_end());
        assert_eq!(lines.join(" "), text.trim_end());
        assert!(lines.len() == 3 && lines.iter().all(|line| line.len() <= LINE_CHARS));
    }

    #[test]
    fn the_longest_bar_is_forty_columns() {
        let chart = Chart::new("title")
            .bar("a", 10, "ten", true)
            .bar("bcd", 5, "5", false);
        let expected = format!(
            "title\n  a    {} ten\n  bcd  {} 5\n",
            "█".repeat(40),
            "█".repeat(20)
        );
        assert_eq!(chart.to_string(), expected);
        assert_eq!(
            Chart::new("t").bar("a", 0, 0, true).to_string(),
            "t\n  a   0\n"
        );
    }
}
