//! `bench --compare OLD.json`: a run next to an earlier one. Reads the file; otherwise does no I/O.

use std::path::Path;

use colored::{ColoredString, Colorize as _};
use serde_json::{Value, json};

use super::report::BenchReport;
use crate::cmd::exit::Usage;
use crate::cmd::output::figures::{grouped_f64, milliseconds};
use crate::cmd::output::table::Table;

/// Relative changes below this are noise.
const NOISE: f64 = 0.05;

/// A value of both runs.
struct Row {
    name: String,
    old: f64,
    new: f64,
    is_time: bool,
    /// True if a greater value is better.
    wants_more: bool,
}

/// Reads a report of `--json`.
///
/// # Errors
/// Returns [`Usage`] if the file cannot be read or is not a report.
pub(super) fn read(path: &Path) -> Result<BenchReport, Usage> {
    let shown = path.display();
    let text = std::fs::read(path)
        .map_err(|error| Usage(format!("cannot read '{shown}': {error} (see --compare)")))?;
    let report: Option<BenchReport> = serde_json::from_slice(&text).ok();
    report
        .filter(|report| report.subscribers > 0)
        .ok_or_else(|| {
            Usage(format!(
                "'{shown}' is not output of 'pushctl bench --json' (see --compare)"
            ))
        })
}

/// Returns the parameters that differ, as text.
#[must_use]
pub(super) fn parameters(old: &BenchReport, new: &BenchReport) -> Vec<String> {
    let list = |report: &BenchReport| {
        let optional = |number: Option<f64>| number.map_or_else(|| "none".to_owned(), grouped_f64);
        [
            ("mode", report.mode.clone()),
            ("subscribers", report.subscribers.to_string()),
            ("channels", report.channels.to_string()),
            ("publishers", report.publishers.to_string()),
            ("processes", report.processes.to_string()),
            ("messages", report.messages.to_string()),
            ("size", report.size.to_string()),
            ("rate", optional(report.rate)),
            ("warm-up", format!("{} s", report.warm_up_seconds)),
            ("connect rate", optional(report.connect_rate)),
            ("storm", report.storm.to_string()),
            ("processor", report.machine.processor.clone()),
            ("cores", report.machine.cores.to_string()),
        ]
    };
    let pairs = list(old).into_iter().zip(list(new));
    pairs
        .filter(|((_, old), (_, new))| old != new)
        .map(|((name, old), (_, new))| format!("{name} (was {old}, is {new})"))
        .collect()
}

fn rows(old: &BenchReport, new: &BenchReport) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |name: &str, old: f64, new: f64, is_time: bool, wants_more: bool| {
        rows.push(Row {
            name: name.to_owned(),
            old,
            new,
            is_time,
            wants_more,
        });
    };
    row(
        "deliveries per second",
        old.deliveries_per_second,
        new.deliveries_per_second,
        false,
        true,
    );
    row(
        "connected in",
        old.connect_seconds * 1e3,
        new.connect_seconds * 1e3,
        true,
        false,
    );
    for ((name, old), (_, new)) in old
        .latency_ms
        .values()
        .into_iter()
        .zip(new.latency_ms.values())
    {
        row(&format!("latency {name}"), old, new, true, false);
    }
    for (name, old, new) in [
        ("lost", old.lost, new.lost),
        ("duplicated", old.duplicated, new.duplicated),
        ("reordered", old.reordered, new.reordered),
        ("corrupt", old.corrupt, new.corrupt),
        ("disconnected", old.disconnected, new.disconnected),
    ] {
        row(name, old as f64, new as f64, false, false);
    }
    rows
}

/// Formats a table of both runs and their differences.
#[must_use]
pub(super) fn to_text(old: &BenchReport, new: &BenchReport, unicode: bool) -> String {
    let mut table = Table::new(&["compared", "old", "new", "change"]);
    let rows = rows(old, new);
    for row in &rows {
        let show = |number: f64| {
            if row.is_time {
                milliseconds(number, unicode)
            } else {
                grouped_f64(number.round())
            }
        };
        table.row(&[
            row.name.clone(),
            show(row.old),
            show(row.new),
            row.percent(),
        ]);
    }
    let plain = table.render();
    let mut lines = plain.lines();
    let mut text = lines
        .next()
        .map(|line| format!("{line}\n"))
        .unwrap_or_default();
    for (line, row) in lines.zip(&rows) {
        text.push_str(&format!("{}\n", row.colored(line)));
    }
    let differing = parameters(old, new);
    if !differing.is_empty() {
        text.push_str(&format!(
            "\nThe runs have different parameters: {}.\n",
            differing.join(", ")
        ));
    }
    text
}

/// Formats the comparison as JSON.
#[must_use]
pub(super) fn to_json(old: &BenchReport, new: &BenchReport) -> Value {
    let changes: serde_json::Map<String, Value> = rows(old, new)
        .into_iter()
        .map(|row| {
            let unit = if row.is_time { "_ms" } else { "" };
            let percent = row.part().map(|part| (part * 1e4).round() / 1e2);
            (
                row.name.replace(' ', "_") + unit,
                json!({"old": row.old, "new": row.new, "change_percent": percent}),
            )
        })
        .collect();
    json!({"parameters": parameters(old, new), "changes": changes})
}

impl Row {
    /// Relative change; `None` if the old value was 0.
    fn part(&self) -> Option<f64> {
        if self.old == self.new {
            return Some(0.0);
        }
        (self.old != 0.0).then(|| (self.new - self.old) / self.old)
    }

    fn percent(&self) -> String {
        match self.part() {
            Some(0.0) => "0".to_owned(),
            Some(part) => format!("{:+.1}%", part * 100.0),
            None => "new".to_owned(),
        }
    }

    fn colored(&self, line: &str) -> ColoredString {
        let part = self.part().unwrap_or(f64::INFINITY);
        match (part.abs() < NOISE, (part > 0.0) == self.wants_more) {
            (true, _) => line.normal(),
            (false, true) => line.green(),
            (false, false) => line.red(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::bench::report::Latency;

    #[test]
    fn changes_and_other_parameters_are_reported() {
        colored::control::set_override(false);
        let old = BenchReport {
            subscribers: 10,
            deliveries_per_second: 1000.0,
            latency_ms: Latency {
                p99: 2.0,
                ..Latency::default()
            },
            ..BenchReport::default()
        };
        let new = BenchReport {
            subscribers: 20,
            deliveries_per_second: 1500.0,
            latency_ms: Latency {
                p99: 1.0,
                ..Latency::default()
            },
            lost: 1,
            ..BenchReport::default()
        };
        let text = to_text(&old, &new, true);
        let line = |start: &str| {
            text.lines()
                .find(|line| line.starts_with(start))
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(
            line("deliveries").as_deref(),
            Some("deliveries per second 1,000 1,500 +50.0%")
        );
        assert_eq!(
            line("latency p99 ").as_deref(),
            Some("latency p99 2.00 ms 1.00 ms -50.0%")
        );
        assert_eq!(line("lost").as_deref(), Some("lost 0 1 new"));
        assert!(
            text.ends_with("The runs have different parameters: subscribers (was 10, is 20).\n"),
            "{text}"
        );
        assert_eq!(
            to_json(&old, &new)["changes"]["latency_p99_ms"]["change_percent"],
            json!(-50.0)
        );
    }
}
