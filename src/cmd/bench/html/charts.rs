//! The charts of the page: histogram, percentiles, throughput and latency over time.

use super::chart::{Column, Curve, Tick, columns, lines, steps};
use crate::cmd::bench::distribution::Bar;
use crate::cmd::bench::report::BenchReport;
use crate::cmd::output::figures::{grouped, grouped_f64, milliseconds, short};

pub(super) fn histogram(report: &BenchReport) -> String {
    let most = report
        .histogram
        .iter()
        .map(|bar| bar.count)
        .max()
        .unwrap_or(0) as f64;
    let column = |bar: &Bar| Column {
        label: milliseconds(bar.to_ms, true),
        hint: format!(
            "{} to {}: {} ({:.2} %)",
            milliseconds(bar.from_ms, true),
            milliseconds(bar.to_ms, true),
            grouped(bar.count),
            bar.count as f64 * 100.0 / report.delivered.max(1) as f64
        ),
        value: bar.count as f64,
    };
    let bars: Vec<Column> = report.histogram.iter().map(column).collect();
    let (ticks, top) = scale(most, short);
    columns(&bars, &ticks, top, "latency up to")
}

/// Returns marks from 0 to at least `most`, and the end of the axis.
fn scale(most: f64, label: impl Fn(f64) -> String) -> (Vec<Tick>, f64) {
    let marks = steps(most);
    let top = marks.last().copied().unwrap_or(1.0).max(1e-9);
    (
        marks
            .iter()
            .map(|mark| Tick {
                at: mark / top,
                label: label(*mark),
            })
            .collect(),
        top,
    )
}

pub(super) fn percentiles(report: &BenchReport) -> String {
    let longest = report.latency_ms.max;
    let (y_ticks, top) = scale(longest, |ms| milliseconds(ms, true).replace("0.00 µs", "0"));
    let rarest = report
        .percentiles
        .iter()
        .filter(|point| point.quantile < 1.0)
        .map(|point| nines(point.quantile))
        .fold(1.0, f64::max);
    let end = rarest.ceil();
    let labels = [
        "0",
        "90%",
        "99%",
        "99.9%",
        "99.99%",
        "99.999%",
        "99.9999%",
        "99.99999%",
        "99.999999%",
    ];
    let x_ticks: Vec<Tick> = labels
        .iter()
        .enumerate()
        .filter(|(number, _)| *number as f64 <= end)
        .map(|(number, label)| Tick {
            at: number as f64 / end,
            label: (*label).to_owned(),
        })
        .collect();
    let points = report
        .percentiles
        .iter()
        .map(|point| (nines(point.quantile).min(end), point.ms))
        .collect();
    let curve = Curve {
        name: "latency",
        class: "a",
        is_filled: false,
        points,
    };
    lines(
        &[curve],
        |x| x / end,
        |y| y / top,
        &x_ticks,
        &y_ticks,
        "part of the deliveries",
    )
}

/// Number of nines: 1 for 90 %, 2 for 99 %, and so on.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

pub(super) fn throughput(report: &BenchReport) -> String {
    let step = report.timeline.step_seconds.max(1e-9);
    let rates = |counts: &[u64]| -> Vec<(f64, f64)> {
        counts
            .iter()
            .enumerate()
            .map(|(number, count)| ((number as f64 + 0.5) * step, *count as f64 / step))
            .collect()
    };
    let delivered = rates(&report.timeline.delivered);
    let published = rates(&report.timeline.published);
    let most = delivered
        .iter()
        .chain(&published)
        .map(|(_, rate)| *rate)
        .fold(0.0, f64::max);
    let curves = [
        Curve {
            name: "deliveries per second",
            class: "a",
            is_filled: true,
            points: delivered,
        },
        Curve {
            name: "messages published per second",
            class: "b",
            is_filled: false,
            points: published,
        },
    ];
    over_time(report, &curves, most, short)
}

pub(super) fn latency_over_time(report: &BenchReport) -> String {
    let step = report.timeline.step_seconds.max(1e-9);
    let timeline = &report.timeline;
    // An interval without deliveries has no latency.
    let points = |values: &[f64]| -> Vec<(f64, f64)> {
        let counted = values
            .iter()
            .zip(&timeline.delivered)
            .enumerate()
            .filter(|(_, (_, count))| **count > 0);
        counted
            .map(|(number, (value, _))| ((number as f64 + 0.5) * step, *value))
            .collect()
    };
    let curves = [
        Curve {
            name: "longest",
            class: "b",
            is_filled: false,
            points: points(&timeline.max_ms),
        },
        Curve {
            name: "mean",
            class: "a",
            is_filled: true,
            points: points(&timeline.mean_ms),
        },
    ];
    let most = timeline.max_ms.iter().copied().fold(0.0, f64::max);
    over_time(report, &curves, most, |ms| {
        milliseconds(ms, true).replace("0.00 µs", "0")
    })
}

fn over_time(
    report: &BenchReport,
    curves: &[Curve<'_>],
    most: f64,
    label: impl Fn(f64) -> String,
) -> String {
    let count = report
        .timeline
        .delivered
        .len()
        .max(report.timeline.published.len())
        .max(1);
    let end = count as f64 * report.timeline.step_seconds.max(1e-9);
    let (y_ticks, top) = scale(most, label);
    let x_ticks: Vec<Tick> = steps(end)
        .into_iter()
        .filter(|mark| *mark <= end * 1.0001)
        .map(|mark| Tick {
            at: mark / end,
            label: format!("{} s", grouped_f64(mark)),
        })
        .collect();
    lines(
        curves,
        |x| x / end,
        |y| y / top,
        &x_ticks,
        &y_ticks,
        "time since the first message",
    )
}
