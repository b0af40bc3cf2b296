//! Attributes of a message beyond its content, and options for storing it.

use bytes::Bytes;

use super::memory::allocated;

/// Attributes of a message beyond its content. Most messages have none.
#[derive(Debug, Default)]
pub struct Attributes {
    /// `Content-Type` of the publisher.
    pub content_type: Option<Bytes>,
    /// Second after which it expires; `None` = the time to live of the broker's settings applies.
    pub expires_after: Option<u64>,
    /// The content as one raw deflate block, flushed, without its last four bytes (RFC 7692).
    /// Compressed once for all followers.
    pub deflated: Option<Bytes>,
    /// Number of readers that must have had the message before it can expire.
    pub min_recipients: u32,
    /// Delete the message when it is read as the oldest one and more than this number of messages
    /// are stored.
    pub delete_when_read: Option<u32>,
}

/// Options for storing a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Store the message for future subscribers.
    pub store: bool,
    /// Limit on the stored messages of the channel from now on; `None` = the limit of the broker's
    /// settings.
    pub max_stored: Option<u64>,
    /// The message takes a tag of its channel even if it is not stored.
    pub takes_channel_tag: bool,
}

impl StoreOptions {
    /// The options that the broker's settings imply.
    #[must_use]
    pub fn new(store: bool) -> Self {
        Self {
            store,
            max_stored: None,
            takes_channel_tag: true,
        }
    }
}

impl Attributes {
    /// Bytes to charge to the memory bound.
    pub(super) fn footprint(&self) -> u64 {
        let of = |part: &Option<Bytes>| part.as_ref().map_or(0, |part| allocated(part.len()));
        allocated(std::mem::size_of::<Self>() + 16) + of(&self.content_type) + of(&self.deflated)
    }
}
