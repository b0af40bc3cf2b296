//! Why the broker rejects a channel or a subscription.

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

/// Why a subscription is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The channel could not be created again after it went away.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// `max_subscribers_per_channel` is reached.
    #[error("subscribers limit per channel exceeded")]
    TooManySubscribers,
    /// Somebody waits, and it wanted to be the only one.
    #[error("there is a subscriber already")]
    NotAlone,
}
