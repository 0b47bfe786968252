//! What a terminal shows: as much of ECMA-48 as status tables and progress bars use.

/// Lines of characters, and a cursor.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    columns: usize,
}

impl Screen {
    /// The text on a terminal of so many columns, however high, when this was written to it.
    pub(crate) fn showing(written: &[u8], columns: usize) -> String {
        let mut screen = Self {
            columns,
            ..Self::default()
        };
        let text = String::from_utf8_lossy(written);
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            match char {
                '\x1b' => screen.control(&mut chars),
                '\r' => screen.column = 0,
                '\n' => screen.row += 1,
                char => screen.put(char),
            }
        }
        screen.text()
    }

    fn put(&mut self, char: char) {
        if self.column == self.columns {
            self.row += 1;
            self.column = 0;
        }
        let column = self.column;
        let line = self.line();
        if line.len() <= column {
            line.resize(column + 1, ' ');
        }
        line[column] = char;
        self.column += 1;
    }

    fn line(&mut self) -> &mut Vec<char> {
        if self.lines.len() <= self.row {
            self.lines.resize(self.row + 1, Vec::new());
        }
        &mut self.lines[self.row]
    }

    /// Does what a sequence after ESC says. One that is not whole yet says nothing.
    fn control(&mut self, chars: &mut std::str::Chars<'_>) {
        if chars.next() != Some('[') {
            return;
        }
        let mut parameters = String::new();
        for char in chars {
            if matches!(char, '0'..='?') {
                parameters.push(char);
                continue;
            }
            let number: Option<usize> = parameters.parse().ok();
            let count = number.unwrap_or(1).max(1);
            let column = self.column;
            match (char, number.unwrap_or(0)) {
                ('A', _) => self.row = self.row.saturating_sub(count),
                ('B', _) => self.row += count,
                ('C', _) => self.column += count,
                ('D', _) => self.column = column.saturating_sub(count),
                ('K', 0) => self.line().truncate(column),
                ('K', 2) => self.line().clear(),
                // Colours, and whether the cursor is seen.
                ('m' | 'h' | 'l', _) => {}
                (unknown, _) => panic!("ESC [{parameters}{unknown} is not known here"),
            }
            return;
        }
    }

    fn text(&self) -> String {
        let lines = self.lines.iter().map(|line| {
            let line: String = line.iter().collect();
            format!("{}\n", line.trim_end())
        });
        lines.collect()
    }
}
