//! The channel info in the response to a publication.

use crate::client::Error;
use crate::client::statistics::{self, Report};
use crate::cmd::output::escape::printable;

/// Lowest number of subscribers of the channels.
///
/// # Errors
/// When the server does not report it.
pub(super) fn fewest_subscribers(body: &[u8]) -> anyhow::Result<u64> {
    let infos = match Report::from_json(body) {
        Some(Report::Channels(infos)) => infos,
        _ => Vec::new(),
    };
    let fewest = infos.iter().map(|info| info.subscribers).min();
    fewest.ok_or_else(|| {
        let reason = "it does not report the subscribers (see --require-subscribers, and \
             push_stream_channel_info_on_publish of the location)";
        Error::Protocol {
            url: "the publisher".to_owned(),
            reason: reason.to_owned(),
        }
        .into()
    })
}

/// Formats the counters of the channels, one line each.
pub(super) fn describe(body: &[u8], channel: &str) -> String {
    let infos = match Report::from_json(body) {
        Some(Report::Channels(infos)) => infos,
        // A location may be configured to send an empty response.
        _ if body.trim_ascii().is_empty() => {
            return format!("published to {}\n", printable(channel));
        }
        _ => {
            return format!("{}\n", printable(String::from_utf8_lossy(body).trim_end()));
        }
    };
    let line = |info: &statistics::ChannelInfo| {
        let stored = info.stored_messages;
        let subscribers = info.subscribers;
        // NHPM and nchan do not report how many there were.
        let published = if info.hides_published {
            String::new()
        } else {
            format!("{} ", info.published_messages)
        };
        let plural = if subscribers == 1 { "" } else { "s" };
        format!(
            "{}: {published}published, {stored} stored, {subscribers} subscriber{plural}\n",
            printable(&info.channel)
        )
    };
    infos.iter().map(line).collect()
}
