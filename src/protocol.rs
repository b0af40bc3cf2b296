//! Wire constants shared by client and server (push-stream.md, sections 1 to 12).

/// Response header with the reason of a rejection or of a special status.
pub const EXPLAIN: &str = "X-Nginx-PushStream-Explain";
/// Request header that switches a subscriber location to polling or long-polling.
pub const MODE: &str = "X-Nginx-PushStream-Mode";
/// Publisher header: the event id, sent to EventSource clients as `id:`.
pub const EVENT_ID: &str = "Event-Id";
/// Publisher header: the event type, sent to EventSource clients as `event:`.
pub const EVENT_TYPE: &str = "Event-Type";
/// nchan's publisher header for the event type.
pub const EVENTSOURCE_EVENT: &str = "X-EventSource-Event";
/// Header of a reconnecting EventSource client: the id of the last event that it received.
pub const LAST_EVENT_ID: &str = "Last-Event-ID";
/// Content type of a batch of messages, one JSON object per line (an extension of pushctl).
pub const BATCH_TYPE: &str = "application/x-ndjson";
/// Id of ping messages.
pub const PING_ID: i64 = -1;
/// Id of the message that notifies subscribers of the deletion of their channel.
pub const DELETED_ID: i64 = -2;
/// Id of the message that ends a long-poll on timeout.
pub const TIMEOUT_ID: i64 = -3;
/// Id of a gap notice: a JSON object whose `missed` is the number of missed messages.
pub const GAP_ID: i64 = -4;
/// Event type of gap notices to EventSource clients.
pub const GAP_EVENT: &str = "gap";
/// Response header of polls with the number of missed messages, followed by `+` if it is a lower
/// bound.
pub const MISSED: &str = "X-Pushctl-Missed";
/// Default address: `serve` listens on it, the client commands connect to it.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9080";

/// Whether a byte is valid in a token (RFC 9110, section 5.6.2): a method or a header name.
#[must_use]
pub fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
