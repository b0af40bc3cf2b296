//! `bench --report`: one page with everything, without anything from elsewhere. Pure.

use super::chart::{Column, Curve, Tick, columns, lines, steps};
use super::report::{Latency, Report};
use crate::cmd::figures::{bytes, grouped, grouped_f64, milliseconds, short};

/// The style sheet: the colours follow the reader's system.
const STYLE: &str = include_str!("report.css");

/// The page.
#[must_use]
pub(super) fn page(report: &Report) -> String {
    let title = format!(
        "{} over {}, {} subscribers",
        report.server,
        mode(report),
        grouped(report.subscribers as u64)
    );
    let mut body = header(report, &title);
    body.push_str(&tiles(report));
    if report.delivered > 0 {
        let charts = [
            (
                "How long deliveries took",
                "A message counts from the moment at which it was due (with a rate) or sent.",
                histogram(report),
            ),
            (
                "Percentiles",
                "How long the slowest ones took: each step to the right is ten times rarer.",
                percentiles(report),
            ),
            ("Throughput over time", "", throughput(report)),
            ("Latency over time", "", latency_over_time(report)),
        ];
        for (heading, words, chart) in charts {
            body.push_str(&section(heading, words, &chart));
        }
    }
    body.push_str(&section("Latency", "", &latency_table(report)));
    body.push_str(&section(
        "What was asked for",
        "",
        &table(&parameters(report)),
    ));
    body.push_str(&section(
        "Ledger",
        "Every subscriber keeps a ledger of every publisher's numbered messages.",
        &table(&ledger(report)),
    ));
    body.push_str(&section("Measured on", "", &table(&machine(report))));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light \
         dark\"><title>{}</title><style>{STYLE}</style></head>\n<body>{body}</body></html>\n",
        escaped(&format!("pushctl bench: {title}"))
    )
}

/// `text` as it may stand in an element or in a quoted attribute.
#[must_use]
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if letter.is_control() => safe.extend(letter.escape_default()),
            letter => safe.push(letter),
        }
    }
    safe
}

fn header(report: &Report, title: &str) -> String {
    let (class, verdict) = match report.is_faultless() {
        true => ("good", "nothing lost, repeated, reordered or damaged"),
        false => ("bad", "messages were lost, repeated, reordered or damaged"),
    };
    let title = escaped(title);
    let finished = escaped(&report.finished);
    format!(
        "<header><h1>pushctl bench</h1><p class=\"sub\">{title}<br>{finished}</p><p class=\"badge \
         {class}\">{verdict}</p></header>\n"
    )
}

fn tiles(report: &Report) -> String {
    let latency = &report.latency_ms;
    let tiles = [
        ("deliveries per second", short(report.deliveries_per_second)),
        ("median", milliseconds(latency.p50, true)),
        ("99 of 100 within", milliseconds(latency.p99, true)),
        ("longest", milliseconds(latency.max, true)),
        ("lost", grouped(report.lost)),
    ];
    let tile = |(name, value): &(&str, String)| {
        format!(
            "<div><b>{}</b><span>{}</span></div>",
            escaped(value),
            escaped(name)
        )
    };
    format!(
        "<div class=\"tiles\">{}</div>\n",
        tiles.iter().map(tile).collect::<String>()
    )
}

fn section(heading: &str, words: &str, content: &str) -> String {
    let words = if words.is_empty() {
        String::new()
    } else {
        format!("<p>{}</p>", escaped(words))
    };
    format!(
        "<section><h2>{}</h2>{words}{content}</section>\n",
        escaped(heading)
    )
}

fn table(rows: &[(&str, String)]) -> String {
    let row = |(name, value): &(&str, String)| {
        format!(
            "<tr><th>{}</th><td>{}</td></tr>",
            escaped(name),
            escaped(value)
        )
    };
    format!(
        "<table>{}</table>",
        rows.iter().map(row).collect::<String>()
    )
}

fn histogram(report: &Report) -> String {
    let most = report
        .histogram
        .iter()
        .map(|bar| bar.count)
        .max()
        .unwrap_or(0) as f64;
    let column = |bar: &super::report::Bar| Column {
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

/// Marks from 0 to at least `most`, and where the axis ends.
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

fn percentiles(report: &Report) -> String {
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

/// 1 for 90 %, 2 for 99 %, and so on.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

fn throughput(report: &Report) -> String {
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

fn latency_over_time(report: &Report) -> String {
    let step = report.timeline.step_seconds.max(1e-9);
    let timeline = &report.timeline;
    // A step without deliveries has no latency.
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
    report: &Report,
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

fn latency_table(report: &Report) -> String {
    let cells = |latency: &Latency| {
        latency
            .values()
            .map(|(_, ms)| format!("<td>{}</td>", milliseconds(ms, true)))
            .concat()
    };
    let head: String = report
        .latency_ms
        .values()
        .iter()
        .map(|(name, _)| format!("<th>{name}</th>"))
        .collect();
    format!(
        "<div class=\"wide\"><table><tr><th></th>{head}</tr><tr><th>deliver</th>{}</\
         tr><tr><th>connect</th>{}</tr></table></div>",
        cells(&report.latency_ms),
        cells(&report.connect_ms)
    )
}

fn mode(report: &Report) -> &'static str {
    match report.mode.as_str() {
        "lp" => "long-polling",
        "ws" => "WebSocket",
        "ev" => "EventSource",
        "stream" => "streaming",
        _ => "polling",
    }
}

fn parameters(report: &Report) -> Vec<(&'static str, String)> {
    let rate = |rate: Option<f64>, none: &str| {
        rate.map_or_else(
            || none.to_owned(),
            |rate| format!("{}/s", grouped_f64(rate)),
        )
    };
    let connecting = if report.storm {
        "all at once"
    } else {
        "as fast as the server answers"
    };
    vec![
        ("server", report.server.clone()),
        ("mode", mode(report).to_owned()),
        ("subscribers", grouped(report.subscribers as u64)),
        ("channels", grouped(report.channels as u64)),
        ("publishers", grouped(report.publishers as u64)),
        ("messages per channel", grouped(u64::from(report.messages))),
        ("message size", bytes(report.size as f64)),
        ("rate", rate(report.rate, "as fast as the server answers")),
        (
            "warm-up",
            format!(
                "{} s, {} messages",
                grouped_f64(report.warm_up_seconds),
                grouped(report.warm_up_published)
            ),
        ),
        ("connections", rate(report.connect_rate, connecting)),
        (
            "connected in",
            format!("{} s", grouped_f64(report.connect_seconds)),
        ),
        (
            "published in",
            format!("{} s", grouped_f64(report.publish_seconds)),
        ),
        ("sent late by up to", milliseconds(report.behind_ms, true)),
    ]
}

fn ledger(report: &Report) -> Vec<(&'static str, String)> {
    vec![
        ("published", grouped(report.published)),
        ("deliveries expected", grouped(report.expected)),
        ("delivered", grouped(report.delivered)),
        ("lost", grouped(report.lost)),
        ("duplicated", grouped(report.duplicated)),
        ("reordered", grouped(report.reordered)),
        ("corrupt", grouped(report.corrupt)),
        ("subscribers disconnected", grouped(report.disconnected)),
    ]
}

fn machine(report: &Report) -> Vec<(&'static str, String)> {
    let machine = &report.machine;
    vec![
        ("system", machine.system.clone()),
        ("processor", machine.processor.clone()),
        ("cores", grouped(machine.cores as u64)),
        ("memory", bytes(machine.memory_bytes as f64)),
        (
            "processes of the load generator",
            grouped(report.processes as u64),
        ),
        ("pushctl", report.pushctl.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_report_becomes_markup() {
        let evil = "<script>alert('x')</script>\"&\u{1b}";
        let mut report = Report {
            server: evil.to_owned(),
            delivered: 1,
            ..Report::default()
        };
        report.machine.processor = evil.to_owned();
        let page = page(&report);
        assert!(
            !page.contains("<script")
                && !page.contains('\u{1b}')
                && page.contains("&lt;script&gt;"),
            "{page}"
        );
        assert!(
            !page.contains("http://www.w3.org")
                && !page.contains("src=")
                && !page.contains("NaN")
                && !page.contains("inf"),
            "{page}"
        );
    }
}
