//! Wire constants that client and server both need (push-stream.md, sections 1 to
//! 12).

/// Header that carries the reason of a refused or notable answer.
pub const EXPLAIN: &str = "X-Nginx-PushStream-Explain";
/// Request header that switches a subscriber location to polling or long-polling.
pub const MODE: &str = "X-Nginx-PushStream-Mode";
/// Publisher header: the id that an EventSource client sees as `id:`.
pub const EVENT_ID: &str = "Event-Id";
/// Publisher header: the type that an EventSource client sees as `event:`.
pub const EVENT_TYPE: &str = "Event-Type";
/// Publisher header of nchan that says the same.
pub const EVENTSOURCE_EVENT: &str = "X-EventSource-Event";
/// Subscriber header of an EventSource that reconnects.
pub const LAST_EVENT_ID: &str = "Last-Event-ID";
/// Content type of a batch of messages, one JSON object per line (an extension of ours).
pub const BATCH_TYPE: &str = "application/x-ndjson";
/// Id of a ping message.
pub const PING_ID: i64 = -1;
/// Id of the message that tells a subscriber that its channel was deleted.
pub const DELETED_ID: i64 = -2;
/// Id of the message that ends a long-poll which found nothing.
pub const TIMEOUT_ID: i64 = -3;
/// Id of the object that tells a subscriber how many messages it missed (`missed` says how many).
pub const GAP_ID: i64 = -4;
/// Type of the event that tells an EventSource the same.
pub const GAP_EVENT: &str = "gap";
/// Header of answers to polls that tells the same: a number, with `+` behind it if there may be
/// more.
pub const MISSED: &str = "X-Pushctl-Missed";
/// Address that `serve` listens on, and that the other commands talk to, when nothing else is said.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9080";

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2): a method or the name of a header.
#[must_use]
pub fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
