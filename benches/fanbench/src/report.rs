//! Tables: printed for people, and appended to a results file as markdown.

use std::fs::OpenOptions;
use std::io::Write;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::machine;

/// A table of results.
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            rows: vec![columns.iter().map(|&column| column.to_owned()).collect()],
            notes: Vec::new(),
        }
    }

    /// Adds a row, which has as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Adds a line below the table.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Prints the table, and appends it to the results file if there is one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&self, context: &Context) -> Result<()> {
        println!("\n{}", self.text());
        let Some(path) = &context.common.results else {
            return Ok(());
        };
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let notes = machine::notes(&context.common.pushctl);
        let date = machine::date();
        let load = machine::load_average();
        let command = &context.command;
        let heading = format!(
            "## {}\n\n{date}; {notes}; load average {load}  \n\
                               `{command}`",
            self.title
        );
        writeln!(file, "\n{heading}\n\n{}", self.markdown())?;
        Ok(())
    }

    fn text(&self) -> String {
        let widths = self.widths();
        let mut lines = vec![self.title.clone()];
        lines.extend(self.rows.iter().map(|row| {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(nth, (cell, width))| match nth {
                    0 => format!("{cell:width$}"),
                    _ => format!("{cell:>width$}"),
                });
            cells.collect::<Vec<_>>().join("  ")
        }));
        lines.extend(self.notes.iter().map(|note| format!("- {note}")));
        lines.join("\n")
    }

    fn markdown(&self) -> String {
        let line = |row: &Vec<String>| format!("| {} |", row.join(" | "));
        let mut lines: Vec<String> = self.rows.iter().map(line).collect();
        lines.insert(1, format!("|{}", "---|".repeat(self.rows[0].len())));
        if !self.notes.is_empty() {
            lines.push(String::new());
            lines.extend(self.notes.iter().map(|note| format!("- {note}")));
        }
        lines.join("\n")
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows[0].len();
        (0..columns)
            .map(|nth| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(nth))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect()
    }
}

/// The median of these values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Formats a number with this many decimals; `-` if there is none.
#[must_use]
pub fn number(value: f64, digits: usize) -> String {
    if value.is_finite() {
        format!("{value:.digits$}")
    } else {
        "-".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_markdown() {
        let mut table = Table::new("t", &["a", "b"]);
        table.row(vec!["one".to_owned(), number(f64::NAN, 1)]);
        table.note("n");
        assert_eq!(table.markdown(), "| a | b |\n|---|---|\n| one | - |\n\n- n");
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
