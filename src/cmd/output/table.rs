//! Aligned tables for people.

use colored::Colorize as _;

use super::escape::printable;
use super::figures::{fit, is_unicode, pad, terminal_columns, width};

/// Minimum width of the first column on a narrow terminal.
const MIN_NAME_COLUMNS: usize = 8;

/// A table whose first column is left-aligned and whose others are right-aligned.
#[derive(Debug, Default)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with column titles; none for a list of names and values.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|title| (*title).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[String]) {
        self.rows
            .push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// Formats the table for standard output. On a terminal, no line is wider than the terminal.
    #[must_use]
    pub fn render(&self) -> String {
        self.within(terminal_columns(), is_unicode())
    }

    /// Formats the table for a terminal of `columns` columns (`None`: unlimited); each line ends
    /// with a line break. On a terminal, titles (or names, in a table without titles) are bold and
    /// zeros dim. The first column is truncated to fit.
    #[must_use]
    pub fn within(&self, columns: Option<usize>, unicode: bool) -> String {
        let count = self
            .rows
            .iter()
            .chain([&self.head])
            .map(Vec::len)
            .max()
            .unwrap_or(0);
        let widest = |column: usize| {
            self.rows
                .iter()
                .chain([&self.head])
                .filter_map(|row| row.get(column))
                .map(|cell| width(cell))
                .max()
        };
        let mut widths: Vec<usize> = (0..count)
            .map(|column| widest(column).unwrap_or(0))
            .collect();
        if let (Some(columns), Some((first, others))) = (columns, widths.split_first_mut()) {
            let others: usize = others.iter().map(|width| width + 2).sum();
            *first = (*first).min(columns.saturating_sub(others).max(MIN_NAME_COLUMNS));
        }
        let mut text = String::new();
        let titles = (!self.head.is_empty()).then_some(&self.head);
        for (number, row) in titles.into_iter().chain(&self.rows).enumerate() {
            let is_title = titles.is_some() && number == 0;
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| {
                    let padded = if column == 0 {
                        pad(&fit(cell, *width, unicode), *width, false)
                    } else {
                        pad(cell, *width, true)
                    };
                    match (
                        is_title || (titles.is_none() && column == 0),
                        column > 0 && cell == "0",
                    ) {
                        (true, _) => padded.bold().to_string(),
                        (false, true) => padded.dimmed().to_string(),
                        (false, false) => padded,
                    }
                });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_are_shown() {
        colored::control::set_override(false);
        let mut table = Table::new(&["channel", "stored"]);
        table.row(&["ä\u{1b}".to_owned(), "1".to_owned()]);
        table.row(&["long name".to_owned(), "1000000".to_owned()]);
        table.row(&["日本\u{202e}".to_owned(), "2".to_owned()]);
        assert_eq!(
            table.within(None, true),
            "channel        stored\nä\\u{1b}             1\nlong name     1000000\n\
             日本\\u{202e}        2\n"
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_the_names() {
        colored::control::set_override(false);
        let mut table = Table::new(&["channel", "stored"]);
        table.row(&["a-very-long-name-of-a-channel".to_owned(), "1".to_owned()]);
        assert_eq!(
            table.within(Some(20), true),
            "channel       stored\na-very-long…       1\n"
        );
        assert_eq!(
            table.within(Some(20), false),
            "channel       stored\na-very-long~       1\n"
        );
        assert_eq!(
            table.within(Some(3), true),
            "channel   stored\na-very-…       1\n"
        );
    }
}
