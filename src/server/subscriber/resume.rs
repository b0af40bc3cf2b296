//! Where a subscriber of a push-stream location resumes: the cursor of its request, and what the
//! server knows about it.
//!
//! The built-in `/ev` gives every event a position as its id, `TIME:TAG`. A browser sends the last
//! one back, whatever else its address says, so it takes precedence over that.

use super::Call;
use crate::message::Position;
use crate::protocol::LAST_EVENT_ID;
use crate::server::broker::{Broker, Channel, Cursor};
use crate::server::config::SubscriberMode;
use crate::server::dialect::push_stream::cursor;
use crate::server::fanout::Channels;

/// 2001: positions are later, an earlier time asks for all messages.
const FIRST_TIME: u64 = 1_000_000_000;

impl Call<'_> {
    /// The cursor of the request. Where it overrides the numbers of stored messages to begin with,
    /// it resets them.
    pub(super) fn cursor(&self, channels: &mut Channels) -> Cursor {
        let cursor = cursor::of_request(self.settings, self.variables);
        if self.settings.is_builtin
            && let Some(position) = self.position(&cursor, channels)
        {
            channels.iter_mut().for_each(|wanted| wanted.backtrack = 0);
            let cursor = Cursor {
                time: Some(position.time),
                tag: Some(u64::from(position.tag)),
                event_id: None,
                ..cursor
            };
            if cursor.finds_dropped && self.broker.is_before_start(position) {
                return lost(self.broker);
            }
            return located(self.broker, cursor, channels);
        }
        located(self.broker, cursor, channels)
    }

    /// The position that the request names as an event id.
    fn position(&self, cursor: &Cursor, channels: &Channels) -> Option<Position> {
        if self.mode == SubscriberMode::EventSource
            && let Some(position) = self.request.header(LAST_EVENT_ID).and_then(parse)
        {
            return Some(position);
        }
        let event_id = cursor.event_id.as_ref()?;
        parse(event_id).filter(|_| !is_known(event_id, channels))
    }

    /// The id of the stream's beginning, for a client that breaks off before the first message: of
    /// one that begins with news.
    pub(super) fn first_id(&self, channels: &Channels, cursor: &Cursor) -> Option<String> {
        let begins_with_news = channels.iter().all(|wanted| {
            let from_cursor = cursor.time.is_some() || cursor.event_id.is_some();
            let wants_stored = wanted.backtrack > 0 || cursor.lost_at.is_some();
            if wants_stored {
                !wanted.channel.has_stored_messages()
            } else {
                !from_cursor
            }
        });
        (self.settings.is_builtin && begins_with_news).then(|| self.broker.position().event_id())
    }
}

/// The same cursor; or one without a place, if that is lost: it is of an earlier run of the server,
/// or an event id that no message has any more.
pub(super) fn located(broker: &Broker, cursor: Cursor, channels: &Channels) -> Cursor {
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
        (Some(time), _) => time >= FIRST_TIME && broker.is_of_earlier_run(time, cursor.tag),
        (None, event_id) => event_id.is_some(),
    };
    if is_lost { lost(broker) } else { cursor }
}

/// A cursor without a place, for a client that may have missed anything.
fn lost(broker: &Broker) -> Cursor {
    Cursor {
        time: None,
        tag: None,
        event_id: None,
        finds_dropped: true,
        lost_at: Some(broker.position()),
    }
}

/// Whether a message of these channels has or had that event id.
fn is_known(event_id: &[u8], channels: &Channels) -> bool {
    channels
        .iter()
        .any(|wanted| Channel::has_event(&wanted.channel, event_id))
}

/// `TIME:TAG`, as [`Position::event_id`] writes it.
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
