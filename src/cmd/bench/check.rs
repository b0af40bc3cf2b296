//! `bench --assert`: the values of a report under their names. Does no I/O.

use super::report::BenchReport;
use crate::cmd::assertion::{Conditions, Value};
use crate::cmd::exit::Usage;
use crate::cmd::output::figures::FigureKind;

/// Returns a line for each condition that does not hold.
///
/// # Errors
/// Returns [`Usage`] if a field does not exist, or a unit does not match it.
pub(super) fn failures(
    conditions: &Conditions,
    report: &BenchReport,
) -> Result<Vec<String>, Usage> {
    let fields = fields(report);
    let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
    conditions.failures(&names, |wanted| {
        fields
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| *value)
    })
}

fn fields(report: &BenchReport) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    let mut add =
        |name: &str, number: f64, kind| fields.push((name.to_owned(), Value { number, kind }));
    for (name, milliseconds) in report.latency_ms.values() {
        add(name, milliseconds, FigureKind::Milliseconds);
    }
    for (name, count) in [
        ("lost", report.lost),
        ("duplicated", report.duplicated),
        ("reordered", report.reordered),
        ("corrupt", report.corrupt),
        ("disconnected", report.disconnected),
        ("published", report.published),
        ("expected", report.expected),
        ("delivered", report.delivered),
    ] {
        add(name, count as f64, FigureKind::Count);
    }
    add(
        "deliveries_per_second",
        report.deliveries_per_second,
        FigureKind::Count,
    );
    add("seconds", report.seconds, FigureKind::Seconds);
    add(
        "connect_seconds",
        report.connect_seconds,
        FigureKind::Seconds,
    );
    add(
        "publish_seconds",
        report.publish_seconds,
        FigureKind::Seconds,
    );
    add("behind", report.behind_ms, FigureKind::Milliseconds);
    for (name, milliseconds) in report.connect_ms.values() {
        add(
            &format!("connect_{name}"),
            milliseconds,
            FigureKind::Milliseconds,
        );
    }
    fields
}
