//! What is constant for the followers of a format, besides the encoding.

use std::time::Duration;

use crate::server::config::SlowPolicy;

/// Treatment of followers that are too far behind.
#[derive(Clone, Copy, Debug)]
pub struct SlowConsumerSettings {
    /// Policy for a follower that is further behind than the stored messages and `max_lag` reach.
    pub policy: SlowPolicy,
    /// Bytes that a follower may be behind, beyond the stored messages.
    pub max_lag: u64,
}

/// What happens to a follower that does not answer a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnansweredPing {
    /// Nothing: it cannot answer, or need not.
    Ignore,
    /// It is dropped without notice after the server's `--ping-timeout`.
    Drop,
    /// It gets the end of the format after this time.
    End(Duration),
}

/// How the followers of a format are treated. They share it with the encoder, so it takes no memory
/// per follower.
#[derive(Clone, Copy, Debug)]
pub struct FollowerPolicy {
    /// Treatment of followers that are too far behind.
    pub slow_consumers: SlowConsumerSettings,
    /// The first messages end the subscription (long-polling).
    pub is_one_shot: bool,
    /// Treatment of followers that do not answer a ping.
    pub unanswered_ping: UnansweredPing,
    /// The deletion of any of its channels ends a follower of several channels.
    pub ends_with_any_channel: bool,
    /// Input from the client ends the follower.
    pub ends_with_input: bool,
    /// A new subscriber that is to be the only one ends the follower.
    pub yields_to_new: bool,
    /// Bytes of the request that the format retains.
    pub own_bytes: usize,
}

impl FollowerPolicy {
    /// The policy for an endless response that ends with the connection.
    #[must_use]
    pub fn stream(slow_consumers: SlowConsumerSettings) -> Self {
        Self {
            slow_consumers,
            is_one_shot: false,
            unanswered_ping: UnansweredPing::Ignore,
            ends_with_any_channel: false,
            ends_with_input: false,
            yields_to_new: false,
            own_bytes: 0,
        }
    }

    /// The policy for one response.
    #[must_use]
    pub fn one_shot(slow_consumers: SlowConsumerSettings) -> Self {
        Self {
            is_one_shot: true,
            ..Self::stream(slow_consumers)
        }
    }
}
