//! Tables of text with aligned columns.

use console::measure_text_width;

/// The alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table: a header and rows with the same number of cells.
#[derive(Clone, Debug)]
pub(super) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(columns: &[(&str, Align)]) -> Self {
        Self { columns: columns.iter().map(|(title, align)| ((*title).to_owned(), *align)).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// The lines of the table, the header first, each cut to `width` terminal columns if given.
    pub(super) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(title, _)| measure_text_width(title)).collect();
        for row in &self.rows {
            for (column_width, cell) in widths.iter_mut().zip(row) {
                *column_width = (*column_width).max(measure_text_width(cell));
            }
        }
        let header: Vec<String> = self.columns.iter().map(|(title, _)| title.clone()).collect();
        let all = std::iter::once(&header).chain(&self.rows);
        all.map(|cells| cut(&self.line(cells, &widths), width)).collect()
    }

    /// The table as text; every line ends with a newline.
    pub(super) fn render(&self, width: Option<usize>) -> String {
        self.lines(width).iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (((_, align), cell), width) in self.columns.iter().zip(cells).zip(widths) {
            let padding = " ".repeat(width.saturating_sub(measure_text_width(cell)));
            if !line.is_empty() {
                line.push_str("  ");
            }
            match align {
                Align::Left => line.extend([cell.as_str(), padding.as_str()]),
                Align::Right => line.extend([padding.as_str(), cell.as_str()]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// A line cut to this many columns of a terminal.
pub(super) fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) => {
            let mut used = 0;
            let fits = |character: &char| {
                used += measure_text_width(character.encode_utf8(&mut [0; 4]));
                used <= width
            };
            line.chars().take_while(fits).collect()
        }
        None => line.to_owned(),
    }
}

/// A text without control characters: a server must not control the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("ASSET", Align::Left), ("PRICE", Align::Right)]);
        table.row(vec!["BTC".to_owned(), "95,391.00".to_owned()]);
        table.row(vec!["PEPE".to_owned(), "—".to_owned()]);
        assert_eq!(table.render(None), "ASSET      PRICE\nBTC    95,391.00\nPEPE           —\n");
        assert_eq!(table.lines(Some(6)), ["ASSET ", "BTC   ", "PEPE  "]);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
