//! Notes of `sub` on stderr, and gaps and deletions as lines of JSON.

use crate::client::message::Gap;
use crate::client::mode::Mode;
use crate::client::{Error, Event, Message};
use crate::cmd::output::escape::printable;
use crate::cmd::output::note;
use crate::protocol::GAP_ID;

/// Reason for a gap of unknown size.
const RESTARTED: &str = "the server was restarted, or the channel was deleted and created again";

/// Prints an event that is not a message on stderr.
pub(super) fn print(event: &Event) {
    match event {
        Event::Message(..) | Event::Moved(_) => {}
        Event::Missed(message, gap, _) => {
            let channel = message
                .channel
                .as_ref()
                .map(|channel| format!("channel '{channel}': "))
                .unwrap_or_default();
            let reason = if gap.is_unknown() {
                RESTARTED
            } else {
                "the server had dropped them"
            };
            note(format_args!("{channel}{gap}, {reason}"));
        }
        Event::Deleted(channel, farewell, _) if farewell.is_empty() => {
            note(format_args!("channel '{channel}' was deleted"))
        }
        Event::Deleted(channel, farewell, _) => {
            // Escaped, because the farewell may have line breaks.
            let farewell = printable(&String::from_utf8_lossy(farewell));
            note(format_args!("channel '{channel}' was deleted: {farewell}"));
        }
        Event::Retrying(error, delay) => note(format_args!(
            "{error}; retrying in {:.1} s",
            delay.as_secs_f32()
        )),
        Event::ModeFallback(error, mode) => print_fallback(error, *mode),
        Event::Notice(notice) => note(notice),
    }
}

fn print_fallback(error: &Error, mode: Mode) {
    let name = match mode {
        Mode::Ws => "ws",
        Mode::Ev => "ev",
        Mode::Lp => "lp",
        Mode::Stream => "stream",
        Mode::Poll => "poll",
    };
    note(format_args!("{error}; continuing in mode {name}"));
}

/// A gap as JSON, in the format of the server.
pub(super) fn gap_line(message: &Message, gap: Gap) -> String {
    let text = if message.text.is_empty() {
        gap.to_string().into_bytes()
    } else {
        message.text.clone()
    };
    Message {
        id: Some(GAP_ID),
        text,
        gap: Some(gap),
        event_type: None,
        event_id: None,
        ..message.clone()
    }
    .to_json()
}

/// The deletion of a channel as JSON.
pub(super) fn deleted_line(channel: &str, farewell: &[u8]) -> String {
    let text = String::from_utf8_lossy(farewell);
    serde_json::json!({"deleted": true, "channel": channel, "text": text}).to_string()
}
