//! The tables of `stats`. Does no I/O.

use std::collections::BTreeSet;

use serde_json::Number;

use super::select::Selection;
use crate::client::statistics::{ChannelInfo, Details, Summary};
use crate::cmd::output::figures::{FigureKind, grouped, uptime};
use crate::cmd::output::table::Table;

/// Maximum number of detail columns next to a channel: more do not fit on a line.
const DETAIL_COLUMNS: usize = 4;

/// The number of published messages, if it is known.
fn published(info: &ChannelInfo) -> String {
    if info.hides_published {
        "-".to_owned()
    } else {
        grouped(info.published_messages)
    }
}

/// Formats a line per channel, and the sum of several.
#[must_use]
pub(super) fn channels(infos: &[ChannelInfo], selection: &Selection) -> String {
    let shown: Vec<&ChannelInfo> = selection
        .pick(infos)
        .into_iter()
        .map(|number| &infos[number])
        .collect();
    let extra: BTreeSet<&str> = shown
        .iter()
        .flat_map(|info| info.details.keys())
        .map(String::as_str)
        .collect();
    let extra: Vec<&str> = extra.into_iter().take(DETAIL_COLUMNS).collect();
    let titles: Vec<String> = extra.iter().map(|name| title(name)).collect();
    let mut head = vec!["channel", "subscribers", "published", "stored"];
    head.extend(titles.iter().map(String::as_str));
    let mut table = Table::new(&head);
    for info in &shown {
        let mut row = vec![
            info.channel.clone(),
            grouped(info.subscribers),
            published(info),
            grouped(info.stored_messages),
        ];
        row.extend(extra.iter().map(|name| {
            info.details
                .get(*name)
                .map(|number| detail(name, number))
                .unwrap_or_default()
        }));
        table.row(&row);
    }
    let mut text = table.render();
    if infos.len() > 1 || shown.len() < infos.len() {
        let sum =
            |count: fn(&ChannelInfo) -> u64| grouped(shown.iter().map(|info| count(info)).sum());
        let part = if shown.len() < infos.len() {
            format!(" of {}", grouped(infos.len() as u64))
        } else {
            String::new()
        };
        text.push_str(&format!(
            "\n{}{part} channels, {} subscribers, {} stored\n",
            grouped(shown.len() as u64),
            sum(|info| info.subscribers),
            sum(|info| info.stored_messages)
        ));
    }
    text
}

/// Formats the counters of the server, its details and its workers.
#[must_use]
pub(super) fn summary(summary: &Summary) -> String {
    let mut table = Table::default();
    let mut row = |name: &str, value: String| table.row(&[name.to_owned(), value]);
    if !summary.hostname.is_empty() {
        row("hostname", summary.hostname.clone());
    }
    // nchan reports neither of them.
    if !summary.time.is_empty() {
        row("time", summary.time.clone());
        row("uptime", uptime(summary.uptime));
    }
    for (name, value) in summary.counters() {
        row(&title(name), grouped(value));
    }
    let mut text = table.render();
    if !summary.details.is_empty() {
        text.push('\n');
        text.push_str(&details(&summary.details));
    }
    if !summary.by_worker.is_empty() {
        let mut workers = Table::new(&["worker", "subscribers", "uptime"]);
        for worker in &summary.by_worker {
            workers.row(&[
                worker.pid.clone(),
                grouped(worker.subscribers),
                uptime(worker.uptime),
            ]);
        }
        text.push('\n');
        text.push_str(&workers.render());
    }
    text
}

fn details(details: &Details) -> String {
    let (zeros, others): (Vec<_>, Vec<_>) = details
        .iter()
        .partition(|(_, number)| number.as_f64() == Some(0.0));
    let mut text = String::new();
    if !others.is_empty() {
        let mut table = Table::new(&["details", ""]);
        for (name, number) in others {
            table.row(&[title(name), detail(name, number)]);
        }
        text = table.render();
    }
    match zeros.as_slice() {
        [] => text,
        [(name, _)] => text + &format!("{} is 0\n", title(name)),
        zeros => {
            text + &format!(
                "{} other counters are 0 (--json shows them)\n",
                grouped(zeros.len() as u64)
            )
        }
    }
}

/// Formats a number in the unit that its name implies.
pub(super) fn detail(name: &str, number: &Number) -> String {
    match (FigureKind::of(name), number.as_u64(), number.as_f64()) {
        (FigureKind::Count, Some(count), _) => grouped(count),
        (kind, _, Some(number)) => kind.show(number),
        (_, _, None) => number.to_string(),
    }
}

/// Formats a field name for people.
pub(super) fn title(name: &str) -> String {
    let name = name.strip_suffix("_bytes").unwrap_or(name);
    name.replace(['_', '.'], " ")
}
