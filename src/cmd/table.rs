//! Aligned tables for people.

use colored::Colorize as _;

use super::output::printable;

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
        Self { head: head.iter().map(|title| (*title).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// The lines, each with its line break. Titles (or names, in a table without titles) are bold on a terminal.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.rows.iter().chain([&self.head]).map(Vec::len).max().unwrap_or(0);
        let width =
            |column: usize| self.rows.iter().chain([&self.head]).filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        let titles = (!self.head.is_empty()).then_some(&self.head);
        for (number, row) in titles.into_iter().chain(&self.rows).enumerate() {
            let is_title = titles.is_some() && number == 0;
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| {
                    let padded = if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
                    if is_title || (titles.is_none() && column == 0) { padded.bold().to_string() } else { padded }
                })
                .collect();
            text.push_str(cells.join("  ").trim_end());
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
        assert_eq!(table.render(), "channel     stored\nä\\u{1b}          1\nlong name  1000000\n");
    }
}
