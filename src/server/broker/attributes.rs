//! What a publisher may say of a message beyond its text, and how it is to be kept.

use bytes::Bytes;

use super::memory::allocated;

/// What is known of a message beyond its text; most messages have none.
#[derive(Debug, Default)]
pub struct Attributes {
    /// `Content-Type` of the publisher.
    pub content_type: Option<Bytes>,
    /// The second after which it expires; `None` = the time to live of the broker's settings.
    pub expires_after: Option<u64>,
    /// The text as one raw deflate block, flushed, without its last four bytes (RFC 7692): made
    /// once for all followers.
    pub deflated: Option<Bytes>,
    /// It does not expire before so many readers have had it.
    pub min_recipients: u32,
    /// It goes when it was read as the oldest one and more than so many are stored.
    pub goes_when_read: Option<u32>,
}

/// How a message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// For subscribers to come.
    pub store: bool,
    /// Most stored messages of the channel from now on; `None` = what the broker's settings say.
    pub max_stored: Option<u64>,
    /// It takes a tag of its channel although it is not stored.
    pub counts: bool,
}

impl Keeping {
    /// As the broker's settings say.
    #[must_use]
    pub fn new(store: bool) -> Self {
        Self {
            store,
            max_stored: None,
            counts: true,
        }
    }
}

impl Attributes {
    /// Bytes that they take from the memory bound.
    pub(super) fn footprint(&self) -> u64 {
        let of = |part: &Option<Bytes>| part.as_ref().map_or(0, |part| allocated(part.len()));
        allocated(std::mem::size_of::<Self>() + 16) + of(&self.content_type) + of(&self.deflated)
    }
}
