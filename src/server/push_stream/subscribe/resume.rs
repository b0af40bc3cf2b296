//! The position from which a subscriber of a push-stream location resumes: the cursor of its
//! request, checked against the log.
//!
//! The built-in `/ev` sends the position `TIME:TAG` as the id of every event. A browser returns the
//! last one even if its URL names another position, so that it takes precedence.

use crate::message::Position;
use crate::protocol::LAST_EVENT_ID;
use crate::server::broker::{Broker, Channel, Cursor};
use crate::server::config::SubscriberMode;
use crate::server::endpoint::SubscribeCall;
use crate::server::fanout::Channels;
use crate::server::push_stream::cursor;

/// September 2001: every position is later; an earlier time requests all messages.
const FIRST_TIME: u64 = 1_000_000_000;

/// The cursor of the request. A position in an event id overrides the backtracks of the
/// channels.
pub(in crate::server) fn cursor(call: &SubscribeCall<'_>, channels: &mut Channels) -> Cursor {
    let cursor = cursor::of_request(call.settings, call.variables);
    if call.settings.is_builtin
        && let Some(position) = position(call, &cursor, channels)
    {
        channels
            .iter_mut()
            .for_each(|requested| requested.backtrack = 0);
        let cursor = Cursor {
            time: Some(position.time),
            tag: Some(u64::from(position.tag)),
            event_id: None,
            ..cursor
        };
        if cursor.finds_dropped && call.broker.clock().is_before_start(position) {
            return lost(call.broker);
        }
        return located(call.broker, cursor, channels);
    }
    located(call.broker, cursor, channels)
}

/// The position in the event id of the request.
fn position(call: &SubscribeCall<'_>, cursor: &Cursor, channels: &Channels) -> Option<Position> {
    if call.mode == SubscriberMode::EventSource
        && let Some(position) = call.request.header(LAST_EVENT_ID).and_then(parse)
    {
        return Some(position);
    }
    let event_id = cursor.event_id.as_ref()?;
    parse(event_id).filter(|_| !is_known(event_id, channels))
}

/// The id with which a stream of new messages starts, so that a client that disconnects before
/// the first message can resume.
pub(in crate::server) fn first_id(
    call: &SubscribeCall<'_>,
    channels: &Channels,
    cursor: &Cursor,
) -> Option<String> {
    let begins_with_news = channels.iter().all(|requested| {
        let from_cursor = cursor.time.is_some() || cursor.event_id.is_some();
        let wants_stored = requested.backtrack > 0 || cursor.lost_at.is_some();
        if wants_stored {
            !requested.channel.has_stored_messages()
        } else {
            !from_cursor
        }
    });
    (call.settings.is_builtin && begins_with_news).then(|| call.broker.clock().now().event_id())
}

/// Checks a cursor against the log. If its position is from an earlier run of the server, or its
/// event id belongs to no message any more, returns a cursor without a position.
pub(in crate::server) fn located(broker: &Broker, cursor: Cursor, channels: &Channels) -> Cursor {
    if !cursor.finds_dropped {
        return cursor;
    }
    if cursor
        .event_id
        .as_ref()
        .is_some_and(|event_id| is_known(event_id, channels))
    {
        return cursor;
    }
    let is_lost = match (cursor.time, &cursor.event_id) {
        (Some(time), _) => time >= FIRST_TIME && broker.clock().is_of_earlier_run(time, cursor.tag),
        (None, event_id) => event_id.is_some(),
    };
    if is_lost { lost(broker) } else { cursor }
}

/// A cursor without a position, for a client that may have missed any number of messages.
fn lost(broker: &Broker) -> Cursor {
    Cursor {
        time: None,
        tag: None,
        event_id: None,
        finds_dropped: true,
        lost_at: Some(broker.clock().now()),
    }
}

/// Whether a message of these channels has or had this event id.
fn is_known(event_id: &[u8], channels: &Channels) -> bool {
    channels
        .iter()
        .any(|requested| Channel::has_event(&requested.channel, event_id))
}

/// Parses `TIME:TAG`, exactly as [`Position::event_id`] writes it.
fn parse(text: &[u8]) -> Option<Position> {
    let (time, tag) = std::str::from_utf8(text).ok()?.split_once(':')?;
    let number = |digits: &str| {
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse::<u64>().ok())
            .flatten()
    };
    let position = Position::new(number(time)?, u32::try_from(number(tag)?).ok()?);
    (position.time >= FIRST_TIME && position.event_id().as_bytes() == text).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_what_the_server_writes_and_nothing_else() {
        assert_eq!(
            parse(b"1795219883:7"),
            Some(Position::new(1_795_219_883, 7))
        );
        for text in [
            "",
            ":",
            "1795219883",
            "1795219883:",
            ":7",
            "1795219883:07",
            "01795219883:7",
            "+1795219883:7",
            "1795219883:-1",
            "5:7",
            "a:b",
            "1795219883:7 ",
            "1795219883:4294967296",
            "1795219883:7:8",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
