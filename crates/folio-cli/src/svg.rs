//! Pictures: rectangles and text, as SVG 1.1.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::failure::{Failure, Outcome};

/// Colours that are told apart by those who see few, and in print.
pub(crate) mod colour {
    pub(crate) const BLUE: &str = "#2b6cb0";
    pub(crate) const ORANGE: &str = "#dd6b20";
    pub(crate) const GREY: &str = "#a0aec0";
    pub(crate) const PALE: &str = "#dfe6ee";
    pub(crate) const INK: &str = "#1a202c";
}

/// A picture on white, which is readable in front of any page; units are pixels, from the upper left corner.
/// Edges are not smoothed: rectangles side by side would show seams.
#[derive(Debug)]
pub(crate) struct Picture {
    text: String,
}

/// Where text stands, of its place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Picture {
    pub(crate) fn new(width: u32, height: u32, title: &str) -> Self {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             shape-rendering=\"crispEdges\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            escape(title)
        );
        Self { text }
    }

    pub(crate) fn rect(&mut self, [x, y, width, height]: [f64; 4], fill: &str) {
        if width > 0.0 && height > 0.0 {
            let _ = writeln!(
                self.text,
                "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{fill}\"/>"
            );
        }
    }

    pub(crate) fn label(&mut self, [x, y]: [f64; 2], size: u32, anchor: Anchor, label: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{}\">{}</text>",
            colour::INK,
            escape(label)
        );
    }

    /// Writes it to a file, which then is all of it or what it was before.
    pub(crate) fn save(mut self, path: &Path) -> Outcome {
        self.text.push_str("</svg>\n");
        let failed = |error: std::io::Error| {
            Failure::new(format!(
                "{}: cannot write the picture: {error}",
                path.display()
            ))
        };
        // Of a device or a pipe there is no before.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return fs::write(path, self.text).map_err(failed);
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(failed)?;
        std::io::Write::write_all(&mut file, self.text.as_bytes()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// What XML allows as text; what it cannot have in any form is replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            char if char.is_control() => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svg");
        let mut picture = Picture::new(10, 20, "<a>&\"b\u{1b}");
        picture.label([1.0, 2.0], 9, Anchor::End, "x < y");
        picture.rect([0.0, 0.0, 0.0, 5.0], colour::BLUE);
        picture.save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("<title>&lt;a&gt;&amp;&quot;b\u{fffd}</title>"),
            "{text}"
        );
        assert!(
            text.contains(">x &lt; y</text>") && text.ends_with("</svg>\n"),
            "{text}"
        );
        assert!(!text.contains(colour::BLUE), "{text}");
    }
}
