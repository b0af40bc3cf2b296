//! Where a subscription stands: what to tell the server when connecting, and which messages were seen before.
//!
//! Long-polling and polling work like every listener of these modules: `Last-Modified` and `Etag` go back as
//! `If-Modified-Since` and `If-None-Match`, letter by letter. The endless modes have no such headers per message; there the
//! position is that of the messages. With several channels it is the *oldest* position that any of them still needs,
//! because after connecting the server sends one channel's messages after the other's, and the connection may have broken
//! between them; what a channel has already given is then recognised by its own position and id.
//!
//! A subscription to new messages only has no position before the first message. It then starts from the server's `Date`
//! when the subscription was answered, with tag 0: nothing is lost, and at worst a reconnect before the first message also
//! brings the messages of that same second. A channel that was asked for with a backlog is asked for with it again until
//! it has given something, or the backlog is known to have come whole: what is older than the start is wanted there.
//! Messages that carry neither position nor id (a bare template) cannot be told
//! apart, so a reconnect may repeat those of the last second. Pure.

use std::collections::HashMap;

use super::Message;
use crate::message::{Position, http_date};

/// The state of one subscription.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// Where channels start that have given nothing yet.
    base: Option<Position>,
    /// True once a connection was made from `base`: older messages are then none that we asked for.
    resumed: bool,
    channels: HashMap<String, Last>,
    answer: Option<Answer>,
    /// True if an answer was cut off, so that the last one's headers do not tell where all channels stand.
    is_cut: bool,
    /// Channels that have not given their backlog yet, and its length.
    backlogs: HashMap<String, u64>,
    event_id: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    position: Option<Position>,
    id: Option<i64>,
}

#[derive(Clone, Debug)]
struct Answer {
    last_modified: String,
    etag: Option<String>,
}

/// What to send when connecting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// `If-Modified-Since` and `time`
    pub time: Option<String>,
    /// `If-None-Match` and `tag`
    pub tag: Option<String>,
    /// `Last-Event-ID` and `eventid`
    pub event_id: Option<String>,
}

impl Cursor {
    /// A cursor that starts with the messages of second `since`.
    #[must_use]
    pub fn since(since: u64) -> Self {
        Self { base: Some(Position::new(since, 0)), resumed: true, ..Self::default() }
    }

    /// The same cursor, with stored messages to get before the new ones of some channels.
    #[must_use]
    pub fn with_backlogs(mut self, backlogs: impl IntoIterator<Item = (String, u64)>) -> Self {
        self.backlogs.extend(backlogs);
        self
    }

    /// The stored messages that `channel` is still to start with.
    #[must_use]
    pub fn backlog(&self, channel: &str) -> Option<u64> {
        self.backlogs.get(channel).copied()
    }

    /// All backlogs have come: the messages of an answer were taken, or the connection was up for a good while.
    pub fn backlogs_came(&mut self) {
        if !self.is_cut {
            self.backlogs.clear();
        }
    }

    /// The server's clock when it answered the first request; it matters only as long as nothing better is known.
    pub fn answered_at(&mut self, date: u64) {
        self.base.get_or_insert(Position::new(date, 0));
    }

    /// True if there is nothing that a reconnect could start from.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.base.is_none() && self.answer.is_none() && self.channels.is_empty()
    }

    /// A long-polling or polling answer was cut off: its messages count, its headers do not.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// The headers of a long-polling or polling answer. An answer without `Last-Modified` changes nothing.
    pub fn answered(&mut self, last_modified: Option<&str>, etag: Option<&str>) {
        self.is_cut = false;
        if let Some(last_modified) = last_modified {
            self.answer = Some(Answer { last_modified: last_modified.to_owned(), etag: etag.map(str::to_owned) });
        }
    }

    /// What to send for an endless connection to `channels`.
    pub fn for_stream(&mut self, channels: &[String]) -> Sent {
        let needed = |channel: &String| self.channels.get(channel).and_then(|last| last.position).or(self.base);
        // A backtrack goes before the cursor (protocol reference, section 7.1).
        let oldest = channels.iter().filter(|channel| !self.backlogs.contains_key(*channel)).filter_map(needed).min();
        self.send(oldest)
    }

    /// What to send with the next long-polling or polling request: the headers of the last answer. If it had no `Etag` (an
    /// old server, or a proxy that swallows it), the newest message's position; the oldest needed one would bring the same
    /// answer for ever. If the last answer was cut off, some of `channels` may stand behind others.
    pub fn for_request(&mut self, channels: &[String]) -> Sent {
        if self.is_cut {
            return self.for_stream(channels);
        }
        let newest = self.channels.values().filter_map(|last| last.position).max();
        match (&self.answer, newest) {
            (Some(Answer { last_modified, etag }), newest) if etag.is_some() || newest.is_none() => {
                self.resumed = true;
                Sent { time: Some(last_modified.clone()), tag: etag.clone(), event_id: self.event_id.clone() }
            }
            _ => self.send(newest.or(self.base)),
        }
    }

    fn send(&mut self, position: Option<Position>) -> Sent {
        self.resumed |= position.is_some();
        Sent {
            time: position.map(|position| http_date(position.time)),
            tag: position.map(|position| format!("W/{}", position.tag)),
            event_id: self.event_id.clone(),
        }
    }

    /// Notes a message of `channel`, received when the server's clock showed about `now`. Returns false if it was seen
    /// before.
    pub fn take(&mut self, message: &Message, channel: Option<&str>, now: Option<u64>) -> bool {
        if let Some(event_id) = &message.event_id {
            self.event_id = Some(event_id.clone());
        }
        let position = message.position();
        let Some(channel) = channel else {
            // Nobody knows whose it is, so it can only move the common start.
            self.base = self.base.max(position);
            self.backlogs.clear();
            return true;
        };
        let last = self.channels.get(channel).copied().unwrap_or_default();
        let is_backlog = self.backlogs.contains_key(channel);
        if is_repeated(message, last) || (!is_backlog && self.is_before_start(message, last)) {
            return false;
        }
        self.backlogs.remove(channel);
        if position.is_none() && message.id.is_none() {
            let second_ago = now.map(|now| Position::new(now.saturating_sub(1), 0));
            self.base = self.base.max(second_ago);
        } else {
            let last = Last { position: position.or(last.position), id: message.id.or(last.id) };
            self.channels.insert(channel.to_owned(), last);
        }
        true
    }

    fn is_before_start(&self, message: &Message, last: Last) -> bool {
        let unseen = last.position.is_none() && last.id.is_none();
        match (message.position(), self.base) {
            (Some(position), Some(base)) => self.resumed && unseen && position < base,
            _ => false,
        }
    }

    /// Forgets a deleted channel: if it comes back, it counts from 1 again.
    pub fn forget(&mut self, channel: &str) {
        self.channels.remove(channel);
        self.backlogs.remove(channel);
    }
}

/// A channel that was deleted and came back has newer positions but smaller ids; a clock that was set back gives older
/// positions to larger ids. Only what is behind in both was seen before.
fn is_repeated(message: &Message, last: Last) -> bool {
    let position = message.position().zip(last.position).map(|(new, old)| new <= old);
    let id = message.id.zip(last.id).map(|(new, old)| new <= old);
    match (position, id) {
        (Some(position), Some(id)) => position && id,
        (Some(behind), None) | (None, Some(behind)) => behind,
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: i64, time: u64, tag: u32) -> Message {
        Message { id: Some(id), time: Some(time), tag: Some(tag), ..Message::raw(b"x") }
    }

    fn channels(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn at(time: u64, tag: u32) -> Sent {
        Sent { time: Some(http_date(time)), tag: Some(format!("W/{tag}")), event_id: None }
    }

    #[test]
    fn headers_go_back_as_they_came() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.for_request(&[]), Sent::default());
        cursor.answered(Some("Sun, 06 Nov 1994 08:49:37 GMT"), Some("W/7"));
        let sent = Sent { time: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()), tag: Some("W/7".to_owned()), event_id: None };
        assert_eq!(cursor.for_request(&[]), sent);
        cursor.answered(None, None);
        assert_eq!(cursor.for_request(&[]), sent);
    }

    #[test]
    fn without_etag_the_newest_message_tells_the_tag() {
        let mut cursor = Cursor::default();
        assert!(cursor.take(&message(1, 100, 2), Some("a"), None));
        assert!(cursor.take(&message(1, 100, 3), Some("b"), None));
        cursor.answered(Some(&http_date(100)), None);
        assert_eq!(cursor.for_request(&[]), at(100, 3));
    }

    #[test]
    fn without_etag_and_positions_the_time_alone_goes_back() {
        let mut cursor = Cursor::default();
        cursor.answered_at(90);
        assert!(cursor.take(&Message::raw(b"x"), Some("a"), Some(101)));
        cursor.answered(Some(&http_date(100)), None);
        assert_eq!(cursor.for_request(&[]), Sent { tag: None, ..at(100, 0) });
    }

    #[test]
    fn a_stream_resumes_at_the_oldest_position_and_drops_what_it_had() {
        let mut cursor = Cursor::default();
        cursor.answered_at(90);
        let both = channels(&["a", "b"]);
        assert!(cursor.take(&message(1, 100, 1), Some("a"), None));
        assert!(cursor.take(&message(2, 100, 2), Some("a"), None));
        assert_eq!(cursor.for_stream(&both), at(90, 0));
        assert!(cursor.take(&message(1, 99, 5), Some("b"), None));
        assert_eq!(cursor.for_stream(&both), at(99, 5));
        assert!(!cursor.take(&message(1, 100, 1), Some("a"), None));
        assert!(!cursor.take(&message(2, 100, 2), Some("a"), None));
        assert!(cursor.take(&message(3, 100, 3), Some("a"), None));
        assert_eq!(cursor.for_stream(&channels(&["a"])), at(100, 3));
    }

    #[test]
    fn a_backlog_before_the_start_is_shown_but_not_after_a_reconnect() {
        let mut cursor = Cursor::default();
        cursor.answered_at(100);
        assert!(cursor.take(&message(4, 50, 1), Some("a"), None));
        assert_eq!(cursor.for_stream(&channels(&["a", "b"])), at(50, 1));
        assert!(cursor.take(&message(5, 60, 1), Some("a"), None));
        assert!(!cursor.take(&message(9, 60, 2), Some("b"), None), "b was asked for new messages only");
        assert!(cursor.take(&message(10, 100, 1), Some("b"), None));
    }

    #[test]
    fn a_channel_that_came_back_and_a_clock_set_back_lose_nothing() {
        let mut cursor = Cursor::default();
        assert!(cursor.take(&message(8, 100, 1), Some("a"), None));
        assert!(cursor.take(&message(1, 101, 1), Some("a"), None));
        assert!(cursor.take(&message(2, 99, 1), Some("a"), None));
    }

    #[test]
    fn ids_alone_recognise_repeats_and_event_ids_are_sent() {
        let mut cursor = Cursor::since(10);
        let bare = |id, event: &str| Message { id: Some(id), event_id: Some(event.to_owned()), ..Message::default() };
        assert!(cursor.take(&bare(1, "x"), Some("a"), None));
        assert!(!cursor.take(&bare(1, "x"), Some("a"), None));
        assert!(cursor.take(&bare(2, "y"), Some("a"), None));
        let sent = cursor.for_stream(&channels(&["a"]));
        assert_eq!(sent, Sent { event_id: Some("y".to_owned()), ..at(10, 0) });
    }

    #[test]
    fn a_backlog_is_wanted_until_its_channel_has_given_something() {
        let mut cursor = Cursor::default().with_backlogs([("a".to_owned(), 5), ("b".to_owned(), 5)]);
        let both = channels(&["a", "b"]);
        cursor.answered_at(100);
        assert_eq!(cursor.for_stream(&both), Sent::default(), "the backtracks say it all");
        assert!(cursor.take(&message(1, 50, 1), Some("a"), None));
        assert_eq!((cursor.backlog("a"), cursor.backlog("b")), (None, Some(5)));
        assert_eq!(cursor.for_stream(&both), at(50, 1));
        assert!(cursor.take(&message(1, 40, 1), Some("b"), None), "its backlog is older than the start");
        cursor.backlogs_came();
        assert_eq!(cursor.for_stream(&both), at(40, 1));
    }

    #[test]
    fn an_answer_that_was_cut_off_moves_only_the_channels_that_gave_something() {
        let mut cursor = Cursor::default();
        let both = channels(&["a", "b"]);
        cursor.answered(Some(&http_date(90)), Some("W/1"));
        cursor.answered_at(80);
        assert!(cursor.take(&message(1, 100, 1), Some("a"), None));
        cursor.cut();
        assert_eq!(cursor.for_request(&both), at(80, 0));
        cursor.answered(Some(&http_date(110)), Some("W/1"));
        assert_eq!(cursor.for_request(&both), at(110, 1));
    }

    #[test]
    fn bare_texts_move_the_start() {
        let mut cursor = Cursor::default();
        cursor.answered_at(100);
        assert!(cursor.take(&Message::raw(b"x"), Some("a"), Some(130)));
        assert_eq!(cursor.for_stream(&channels(&["a"])), at(129, 0));
    }
}
