//! `stats --diff OLD NEW`: the differences between two saved responses. Sends no requests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::select::Selection;
use super::show::title;
use crate::client::statistics::{ChannelInfo, Details, Report, Summary};
use crate::cmd::exit::{Code, Usage};
use crate::cmd::output;
use crate::cmd::output::figures::{FigureKind, grouped_f64, uptime};
use crate::cmd::output::table::Table;

/// A field with its old and new value.
type Change = (String, f64, f64);

/// Prints the differences.
///
/// # Errors
/// Returns [`Usage`] if a file cannot be read or is not a saved response, or if the forms differ.
pub(super) fn run(
    old: &Path,
    new: &Path,
    selection: &Selection,
    json: bool,
) -> anyhow::Result<Code> {
    let text = match (read(old)?, read(new)?) {
        (Report::Summary(old), Report::Summary(new)) if json => {
            format!("{}\n", json!({"summary": object(&changes(&old, &new))}))
        }
        (Report::Summary(old), Report::Summary(new)) => summaries(&old, &new),
        (Report::Channels(old), Report::Channels(new)) => {
            let listed = Channels::compare(old, &new, selection);
            if json {
                format!("{}\n", listed.to_json())
            } else {
                listed.to_text()
            }
        }
        _ => {
            let problem = format!(
                "cannot compare {} with {}: one is of a server, the other one of channels",
                old.display(),
                new.display()
            );
            return Err(Usage(problem).into());
        }
    };
    // Text that is not JSON has no escape sequences.
    output::text(&output::json(text.as_bytes()))?;
    Ok(Code::Success)
}

/// Returns the last response in a file: `--watch --json` writes several.
fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read(path).map_err(|error| {
        Usage(format!(
            "cannot read '{}': {error} (see --diff)",
            path.display()
        ))
    })?;
    let last = text
        .trim_ascii()
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let report = Report::from_json(&text).or_else(|| Report::from_json(last));
    report
        .ok_or_else(|| {
            Usage(format!(
                "'{}' is not output of 'pushctl stats --json' (see --diff)",
                path.display()
            ))
        })
        .context("cannot compare")
}

fn changes(old: &Summary, new: &Summary) -> Vec<Change> {
    let counters = old.counters().into_iter().zip(new.counters());
    let mut changes = vec![("uptime".to_owned(), old.uptime as f64, new.uptime as f64)];
    changes
        .extend(counters.map(|((name, old), (_, new))| (name.to_owned(), old as f64, new as f64)));
    changes.extend(detail_changes(&old.details, &new.details));
    changes
}

fn detail_changes(old: &Details, new: &Details) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |details: &Details, name: &str| {
        details
            .get(name)
            .and_then(serde_json::Number::as_f64)
            .unwrap_or(0.0)
    };
    names
        .into_iter()
        .map(|name| (name.clone(), value(old, name), value(new, name)))
        .collect()
}

fn object(changes: &[Change]) -> Value {
    let number = |number: f64| {
        if number.fract() == 0.0 && number.abs() < 9e15 {
            json!(number as i64)
        } else {
            json!(number)
        }
    };
    let entry = |(name, old, new): &Change| {
        (
            name.clone(),
            json!({"old": number(*old), "new": number(*new), "change": number(new - old)}),
        )
    };
    changes
        .iter()
        .map(entry)
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn signed(change: f64) -> String {
    match change {
        0.0 => "0".to_owned(),
        change if change > 0.0 => format!("+{}", grouped_f64(change)),
        change => grouped_f64(change),
    }
}

fn value(name: &str, number: f64) -> String {
    FigureKind::of(name).show(number)
}

fn summaries(old: &Summary, new: &Summary) -> String {
    let has_restarted = new.uptime < old.uptime;
    let seconds = new.uptime.saturating_sub(old.uptime);
    let mut table = Table::new(&["", "old", "new", "change", "per second"]);
    for (name, old, new) in changes(old, new) {
        let change = new - old;
        let is_counter = matches!(name.as_str(), "published_messages")
            || FigureKind::of(&name) == FigureKind::Count && change > 0.0;
        let rate = if seconds > 0 && is_counter && change != 0.0 {
            grouped_f64(change / seconds as f64)
        } else {
            String::new()
        };
        let shown = match FigureKind::of(&name) {
            FigureKind::Count => signed(change),
            kind if change < 0.0 => format!("-{}", kind.show(-change)),
            kind if change > 0.0 => format!("+{}", kind.show(change)),
            _ => "0".to_owned(),
        };
        table.row(&[
            title(&name),
            value(&name, old),
            value(&name, new),
            shown,
            rate,
        ]);
    }
    let mut text = table.render();
    if has_restarted {
        text.push_str(&format!(
            "\nThe server was restarted in between, {} before the second one.\n",
            uptime(new.uptime)
        ));
    }
    text
}

/// The channels of two responses.
struct Channels {
    gone: Vec<ChannelInfo>,
    new: Vec<ChannelInfo>,
    changed: Vec<(ChannelInfo, ChannelInfo)>,
    unchanged: usize,
}

impl Channels {
    fn compare(old: Vec<ChannelInfo>, new: &[ChannelInfo], selection: &Selection) -> Self {
        let mut before: BTreeMap<String, ChannelInfo> = old
            .into_iter()
            .filter(|info| selection.takes(info))
            .map(|info| (info.channel.clone(), info))
            .collect();
        let mut all = Self {
            gone: Vec::new(),
            new: Vec::new(),
            changed: Vec::new(),
            unchanged: 0,
        };
        for number in selection.pick(new) {
            let info = &new[number];
            match before.remove(&info.channel) {
                None => all.new.push(info.clone()),
                Some(old) if old == *info => all.unchanged += 1,
                Some(old) => all.changed.push((old, info.clone())),
            }
        }
        let names: BTreeSet<&str> = new.iter().map(|info| info.channel.as_str()).collect();
        all.gone = before
            .into_values()
            .filter(|info| !names.contains(info.channel.as_str()))
            .collect();
        all
    }

    fn to_text(&self) -> String {
        let mut table = Table::new(&["channel", "", "subscribers", "published", "stored"]);
        let counts = |info: &ChannelInfo| {
            [
                info.subscribers,
                info.published_messages,
                info.stored_messages,
            ]
        };
        let mut row = |info: &ChannelInfo, what: &str, old: [u64; 3], new: [u64; 3]| {
            let mut cells = vec![info.channel.clone(), what.to_owned()];
            cells.extend(
                old.iter()
                    .zip(new)
                    .map(|(old, new)| signed(new as f64 - *old as f64)),
            );
            table.row(&cells);
        };
        self.changed
            .iter()
            .for_each(|(old, new)| row(new, "changed", counts(old), counts(new)));
        self.new
            .iter()
            .for_each(|info| row(info, "new", [0; 3], counts(info)));
        self.gone
            .iter()
            .for_each(|info| row(info, "gone", counts(info), [0; 3]));
        let mut text = if self.changed.len() + self.new.len() + self.gone.len() > 0 {
            table.render() + "\n"
        } else {
            String::new()
        };
        text.push_str(&format!(
            "{} changed, {} new, {} gone, {} unchanged\n",
            self.changed.len(),
            self.new.len(),
            self.gone.len(),
            self.unchanged
        ));
        text
    }

    fn to_json(&self) -> Value {
        let fields = |old: &ChannelInfo, new: &ChannelInfo| {
            let mut changes = vec![
                (
                    "subscribers".to_owned(),
                    old.subscribers as f64,
                    new.subscribers as f64,
                ),
                (
                    "published_messages".to_owned(),
                    old.published_messages as f64,
                    new.published_messages as f64,
                ),
                (
                    "stored_messages".to_owned(),
                    old.stored_messages as f64,
                    new.stored_messages as f64,
                ),
            ];
            changes.extend(detail_changes(&old.details, &new.details));
            object(&changes)
        };
        let changed: serde_json::Map<_, _> = self
            .changed
            .iter()
            .map(|(old, new)| (new.channel.clone(), fields(old, new)))
            .collect();
        let names = |infos: &[ChannelInfo]| {
            infos
                .iter()
                .map(|info| info.channel.clone())
                .collect::<Vec<_>>()
        };
        json!({
            "changed": changed,
            "new": names(&self.new),
            "gone": names(&self.gone),
            "unchanged": self.unchanged
        })
    }
}
