//! Reasons for which the broker rejects a channel or a subscription.

use super::OutOfMemory;

/// Why a channel cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// `max_number_of_channels` or `max_number_of_wildcard_channels` is reached.
    #[error("number of channels exceeded")]
    TooManyChannels,
    /// The memory bound is reached.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}

/// Why a message is not published, or may not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A limit on channels or memory is reached. Nothing was published.
    #[error(transparent)]
    Rejected(#[from] CreateError),
    /// `--max-pending-publishes` is reached. Nothing was published.
    #[error("too many pending publishes")]
    TooManyPending,
    /// The engine has not acknowledged the message in time (`--publish-timeout`). It may have been
    /// published, or may still be.
    #[error("not acknowledged in time")]
    Unacknowledged,
}

impl PublishError {
    /// The memory bound is reached.
    #[must_use]
    pub fn out_of_memory() -> Self {
        Self::Rejected(CreateError::OutOfMemory(OutOfMemory))
    }
}

impl From<OutOfMemory> for PublishError {
    fn from(error: OutOfMemory) -> Self {
        Self::Rejected(error.into())
    }
}

/// Why a subscription is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The successor of a deleted channel could not be created.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// `max_subscribers_per_channel` is reached.
    #[error("subscribers limit per channel exceeded")]
    TooManySubscribers,
    /// The channel already has a waiting subscriber and `push_subscriber_concurrency first` is set.
    #[error("the channel already has a waiting subscriber (push_subscriber_concurrency first)")]
    AlreadySubscribed,
}
