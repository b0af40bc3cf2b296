//! Log lines for rejections by a limit: which limit, and the option or directive that sets it. At
//! most one line per second and limit, with the number of suppressed ones.
//!
//! Rejected connections are logged by `runtime::admission`, dropped notices to back-ends by
//! `http::upstream::notices`.

use super::log_throttle::LogThrottle;

/// A limit that rejects or ends requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Limit {
    /// Memory for messages, channels, subscribers and connections together.
    Memory,
    /// Memory for incoming bodies and unsent responses.
    IncomingMemory,
    /// Number of channels.
    Channels,
    /// Number of wildcard channels.
    WildcardChannels,
    /// Subscriptions of a channel.
    Subscribers,
    /// Channels in a request.
    ChannelsPerRequest,
    /// Bytes of a channel id.
    ChannelId,
    /// Bytes of a message.
    Body,
    /// Bytes of a batch.
    Batch,
    /// Bytes of a websocket message.
    WebSocketMessage,
    /// Bytes or number of headers.
    Headers,
    /// Queued lists of channels.
    WaitingLists,
    /// Publishes that are not acknowledged.
    PendingPublishes,
    /// Time for the acknowledgement of a publish.
    PublishTimeout,
}

/// Texts of the log lines, in the order of the variants.
const TEXTS: [&str; 14] = [
    "rejected for lack of memory: messages, channels and connections have reached the limit \
     (--memory, push_stream_shared_memory_size or nchan_shared_memory_size)",
    "ended for lack of memory: incoming requests and unsent responses have reached the limit \
     (--memory, push_stream_shared_memory_size or nchan_shared_memory_size)",
    "rejected a channel: too many channels (--max-channels, or push_stream_max_number_of_channels)",
    "rejected a channel: too many wildcard channels (push_stream_max_number_of_wildcard_channels)",
    "rejected a subscriber: too many subscribers of its channel (--max-subscribers-per-channel, or \
     push_stream_max_subscribers_per_channel)",
    "rejected a request: it names too many channels (--max-channels-per-request)",
    "rejected a request: channel id too long (--max-channel-id-length, or \
     push_stream_max_channel_id_length)",
    "rejected a message: body too large (--max-body-size, or client_max_body_size)",
    "rejected a batch: too large (--max-batch-size)",
    "closed a websocket: message too large (--max-websocket-message-size)",
    "rejected a request: headers too large (--max-header-size; at most 100 headers)",
    "rejected a request: too many queued lists of channels (--max-waiting-lists)",
    "rejected a publish: too many are not acknowledged yet (--max-pending-publishes)",
    "ended the wait for the acknowledgement of a publish: its time limit is exceeded \
     (--publish-timeout)",
];

static LINES: [LogThrottle; TEXTS.len()] = [const { LogThrottle::new() }; TEXTS.len()];

impl Limit {
    /// Logs a rejection by this limit.
    pub(in crate::server) fn log(self) {
        let text = TEXTS[self as usize];
        LINES[self as usize].warn(|suppressed| tracing::warn!(suppressed, "{text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_its_text() {
        assert_eq!(Limit::PublishTimeout as usize + 1, TEXTS.len());
        assert!(TEXTS[Limit::Headers as usize].contains("--max-header-size"));
        assert!(TEXTS[Limit::Subscribers as usize].contains("--max-subscribers-per-channel"));
    }
}
