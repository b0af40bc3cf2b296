//! `bench --report`: a self-contained HTML page with the whole result. Does no I/O.

mod chart;
mod charts;
mod escape;

use self::charts::{histogram, latency_over_time, percentiles, throughput};
use self::escape::escaped;
use super::report::{BenchReport, Latency};
use crate::cmd::output::figures::{bytes, grouped, grouped_f64, milliseconds, short};

/// The style sheet: its colours follow the settings of the reader.
const STYLE: &str = include_str!("report.css");

/// Formats the page.
#[must_use]
pub(super) fn page(report: &BenchReport) -> String {
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
                "Delivery latency",
                "Measured from the time at which a message was due (with a rate) or sent.",
                histogram(report),
            ),
            (
                "Percentiles",
                "Latency of the slowest deliveries: each step to the right is ten times rarer.",
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
    body.push_str(&section("Parameters", "", &table(&parameters(report))));
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

fn header(report: &BenchReport, title: &str) -> String {
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

fn tiles(report: &BenchReport) -> String {
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

fn latency_table(report: &BenchReport) -> String {
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

fn mode(report: &BenchReport) -> &'static str {
    match report.mode.as_str() {
        "lp" => "long-polling",
        "ws" => "WebSocket",
        "ev" => "EventSource",
        "stream" => "streaming",
        _ => "polling",
    }
}

fn parameters(report: &BenchReport) -> Vec<(&'static str, String)> {
    let rate = |rate: Option<f64>, none: &str| {
        rate.map_or_else(
            || none.to_owned(),
            |rate| format!("{}/s", grouped_f64(rate)),
        )
    };
    let connecting = if report.storm {
        "all at once"
    } else {
        "as fast as the server responds"
    };
    vec![
        ("server", report.server.clone()),
        ("mode", mode(report).to_owned()),
        ("subscribers", grouped(report.subscribers as u64)),
        ("channels", grouped(report.channels as u64)),
        ("publishers", grouped(report.publishers as u64)),
        ("messages per channel", grouped(u64::from(report.messages))),
        ("message size", bytes(report.size as f64)),
        ("rate", rate(report.rate, "as fast as the server responds")),
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

fn ledger(report: &BenchReport) -> Vec<(&'static str, String)> {
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

fn machine(report: &BenchReport) -> Vec<(&'static str, String)> {
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
        let mut report = BenchReport {
            server: evil.to_owned(),
            delivered: 1,
            ..BenchReport::default()
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
