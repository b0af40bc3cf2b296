//! The result of a run as text: tables and bars. Does no I/O.

use colored::Colorize as _;

use super::report::BenchReport;
use crate::cmd::output::figures::{bytes, grouped, grouped_f64, milliseconds, pad};
use crate::cmd::output::table::Table;

/// Width of the text, whatever the terminal has: wider bars are not clearer.
const COLUMNS: usize = 78;
/// Maximum number of bars; of a longer tail the smallest latencies are merged.
const MAX_BARS: usize = 18;

/// Formats the whole result.
#[must_use]
pub(super) fn render(report: &BenchReport, unicode: bool) -> String {
    let mut text = facts(report);
    if report.delivered > 0 {
        text.push('\n');
        text.push_str(&latencies(report, unicode));
        text.push('\n');
        text.push_str(&bars(report, unicode));
    }
    text.push('\n');
    text.push_str(&verdict(report, unicode));
    text
}

/// Formats parameters and throughput.
fn facts(report: &BenchReport) -> String {
    let mut table = Table::default();
    let mut row = |name: &str, value: String| table.row(&[name.to_owned(), value]);
    row("mode", report.mode.clone());
    row("subscribers", grouped(report.subscribers as u64));
    row("channels", grouped(report.channels as u64));
    row("publishers", grouped(report.publishers as u64));
    if report.processes > 1 {
        row("processes", grouped(report.processes as u64));
    }
    row("message size", bytes(report.size as f64));
    row(
        "connected in",
        format!("{} s", grouped_f64(report.connect_seconds)),
    );
    if report.warm_up_seconds > 0.0 {
        row(
            "warm-up",
            format!(
                "{} in {} s",
                grouped(report.warm_up_published),
                grouped_f64(report.warm_up_seconds)
            ),
        );
    }
    row(
        "published",
        format!(
            "{} in {} s",
            grouped(report.published),
            grouped_f64(report.publish_seconds)
        ),
    );
    if let Some(rate) = report.rate {
        row("requested rate", format!("{}/s", grouped_f64(rate)));
    }
    row(
        "delivered",
        format!(
            "{} in {} s",
            grouped(report.delivered),
            grouped_f64(report.seconds)
        ),
    );
    row(
        "deliveries per second",
        grouped(report.deliveries_per_second.round() as u64),
    );
    table.render()
}

/// Formats the percentiles of deliveries and connections, side by side.
fn latencies(report: &BenchReport, unicode: bool) -> String {
    let mut table = Table::new(&["latency", "deliver", "connect"]);
    for ((name, deliver), (_, connect)) in report
        .latency_ms
        .values()
        .into_iter()
        .zip(report.connect_ms.values())
    {
        table.row(&[
            name.to_owned(),
            milliseconds(deliver, unicode),
            milliseconds(connect, unicode),
        ]);
    }
    if report.rate.is_some() {
        table.row(&[
            "sent late (max)".to_owned(),
            milliseconds(report.behind_ms, unicode),
            String::new(),
        ]);
    }
    table.render()
}

/// Formats the histogram of delivery latencies.
fn bars(report: &BenchReport, unicode: bool) -> String {
    let all = &report.histogram;
    let skipped = all.len().saturating_sub(MAX_BARS);
    let joined: u64 = all[..skipped].iter().map(|bar| bar.count).sum();
    let mut rows: Vec<(String, u64)> = Vec::new();
    for (number, bar) in all[skipped..].iter().enumerate() {
        let first = if number == 0 { joined } else { 0 };
        rows.push((
            format!("up to {}", milliseconds(bar.to_ms, unicode)),
            bar.count + first,
        ));
    }
    let most = rows
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0)
        .max(1);
    let names = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let counts = grouped(most).len();
    let room = COLUMNS.saturating_sub(names + counts + 12);
    let mut text = String::new();
    for (name, count) in rows {
        let share = count as f64 * 100.0 / report.delivered.max(1) as f64;
        let bar = bar(count as f64 / most as f64, room, unicode);
        let line = format!(
            "{}  {}  {share:>5.1}%  {}",
            pad(&name, names, true),
            pad(&grouped(count), counts, true),
            bar.cyan()
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A bar of a part of `room` columns, with a resolution of an eighth; a small value is visible.
fn bar(part: f64, room: usize, unicode: bool) -> String {
    if part <= 0.0 {
        return String::new();
    }
    if !unicode {
        return "#".repeat(((part * room as f64).round() as usize).max(1));
    }
    let eighths = ((part * room as f64 * 8.0).round() as usize).max(1);
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + rest
}

/// Formats the faults.
fn verdict(report: &BenchReport, unicode: bool) -> String {
    let faults = format!(
        "{} lost, {} duplicated, {} reordered, {} corrupt, {} disconnected",
        grouped(report.lost),
        grouped(report.duplicated),
        grouped(report.reordered),
        grouped(report.corrupt),
        grouped(report.disconnected)
    );
    let expected = format!(
        "{} of {} deliveries",
        grouped(report.delivered),
        grouped(report.expected)
    );
    let (mark, is_good) = match (report.is_faultless(), unicode) {
        (true, true) => ("✔ ", true),
        (false, true) => ("✘ ", false),
        (good, false) => ("", good),
    };
    let line = format!("{mark}{expected}");
    format!(
        "{}\n{faults}\n",
        if is_good {
            line.green().bold()
        } else {
            line.red().bold()
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::bench::distribution::Bar;
    use crate::cmd::output::figures::width;

    #[test]
    fn bars_fit_and_small_ones_are_seen() {
        colored::control::set_override(false);
        let bar = |to_ms: f64, count| Bar {
            from_ms: to_ms / 2.0,
            to_ms,
            count,
        };
        let histogram = (0..30)
            .map(|n| bar(0.01 * f64::from(n + 1), if n == 20 { 9_000_000 } else { 1 }))
            .collect();
        let report = BenchReport {
            delivered: 9_000_029,
            histogram,
            ..BenchReport::default()
        };
        for unicode in [true, false] {
            let text = bars(&report, unicode);
            assert_eq!(text.lines().count(), MAX_BARS);
            assert!(
                text.lines()
                    .all(|line| width(line) <= COLUMNS && line.ends_with(['█', '▏', '#'])),
                "{text}"
            );
            assert!(unicode || text.is_ascii(), "{text}");
        }
    }
}
