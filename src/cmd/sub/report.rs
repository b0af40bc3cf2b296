//! What `sub` tells on stderr while it runs, and gaps as lines of JSON.

use crate::client::message::Gap;
use crate::client::{Error, Event, Message, Mode};
use crate::cmd::escape::printable;
use crate::cmd::output::note;
use crate::protocol::GAP_ID;

/// Why the number of messages is not known.
const RESTARTED: &str = "the server was restarted, or the channel was deleted and created again";

/// Tells the user about an event that is no message.
pub(super) fn tell(event: &Event) {
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
            // One line, whatever the farewell has.
            let farewell = printable(&String::from_utf8_lossy(farewell));
            note(format_args!("channel '{channel}' was deleted: {farewell}"));
        }
        Event::Retrying(error, delay) => note(format_args!(
            "{error}; trying again in {:.1} s",
            delay.as_secs_f32()
        )),
        Event::ModeFallback(error, mode) => fallen(error, *mode),
        Event::Notice(notice) => note(notice),
    }
}

fn fallen(error: &Error, mode: Mode) {
    let name = match mode {
        Mode::Ws => "ws",
        Mode::Ev => "ev",
        Mode::Lp => "lp",
        Mode::Stream => "stream",
        Mode::Poll => "poll",
    };
    note(format_args!("{error}; going on with mode {name}"));
}

/// A gap in the shape of the server's own object.
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

/// The end of a channel as an object.
pub(super) fn deleted_line(channel: &str, farewell: &[u8]) -> String {
    serde_json::json!({"deleted": true, "channel": channel, "text": String::from_utf8_lossy(farewell)}).to_string()
}
