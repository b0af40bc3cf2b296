//! `stats --assert`: the values of a response under their names. Does no I/O.

use super::select::Selection;
use crate::client::statistics::{ChannelInfo, Details, Report, Summary};
use crate::cmd::assertion::{Conditions, Value};
use crate::cmd::exit::Usage;
use crate::cmd::output::escape::printable;
use crate::cmd::output::figures::FigureKind;

/// Maximum number of failures reported one by one: there may be thousands of channels.
const MAX_TOLD: usize = 10;

/// Names and values of the counters.
type Fields = Vec<(String, f64)>;

/// Returns a line for each condition that does not hold; it must hold for each selected channel.
///
/// # Errors
/// Returns [`Usage`] if a field does not exist.
pub(super) fn failures(
    conditions: &Conditions,
    report: &Report,
    selection: &Selection,
) -> Result<Vec<String>, Usage> {
    let infos = match report {
        Report::Summary(summary) => return compare(conditions, &of_summary(summary)),
        Report::Channels(infos) => infos,
    };
    let picked = selection.pick(infos);
    if picked.is_empty() {
        // An unknown field is reported even without a channel.
        compare(conditions, &of_channel(&ChannelInfo::default()))?;
        return Ok(vec!["there is no such channel".to_owned()]);
    }
    let mut failures = Vec::new();
    for number in picked {
        let info = &infos[number];
        let failed = compare(conditions, &of_channel(info))?;
        failures.extend(
            failed
                .into_iter()
                .map(|failure| format!("{}: {failure}", printable(&info.channel))),
        );
    }
    let unlisted = failures.len().saturating_sub(MAX_TOLD);
    failures.truncate(MAX_TOLD);
    failures.extend((unlisted > 0).then(|| format!("{unlisted} more conditions do not hold")));
    Ok(failures)
}

fn compare(conditions: &Conditions, fields: &Fields) -> Result<Vec<String>, Usage> {
    let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
    conditions.failures(&names, |wanted| {
        let wanted = match wanted {
            "published" => "published_messages",
            "stored" => "stored_messages",
            name => name,
        };
        let (name, number) = fields.iter().find(|(name, _)| name == wanted)?;
        Some(Value {
            number: *number,
            kind: FigureKind::of(name),
        })
    })
}

fn of_summary(summary: &Summary) -> Fields {
    let mut fields: Fields = summary
        .counters()
        .map(|(name, count)| (name.to_owned(), count as f64))
        .into();
    fields.push(("uptime".to_owned(), summary.uptime as f64));
    fields.push(("workers".to_owned(), summary.by_worker.len() as f64));
    add(fields, &summary.details)
}

fn of_channel(info: &ChannelInfo) -> Fields {
    let counts = [
        ("subscribers", info.subscribers),
        ("published_messages", info.published_messages),
        ("stored_messages", info.stored_messages),
    ];
    let known = counts
        .into_iter()
        .filter(|(name, _)| !(info.hides_published && *name == "published_messages"));
    add(
        known
            .map(|(name, count)| (name.to_owned(), count as f64))
            .collect(),
        &info.details,
    )
}

fn add(mut fields: Fields, details: &Details) -> Fields {
    fields.extend(
        details
            .iter()
            .filter_map(|(name, number)| Some((name.clone(), number.as_f64()?))),
    );
    fields
}
