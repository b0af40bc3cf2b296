//! A message in the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use super::attributes::Attributes;
use super::memory::{Charge, allocated};
use crate::message::{Position, unix_now};
use crate::server::config::MemoryAccounting;

/// Memory of the smallest message in push-stream's shared memory, less a margin: 2 MiB hold 12,409
/// messages of one byte, 169 bytes each (nchan: 8,064). Longer texts take more there than their
/// length, which is rounded up to a power of two or to pages.
const SHARED_MEMORY_BYTES: u64 = 144;

/// A published message.
#[derive(Debug)]
pub struct Message {
    /// Number of the message in its channel, from 1; also its sequence number in the log.
    pub id: u64,
    /// Its time and tag.
    pub position: Position,
    /// Its content.
    pub text: Bytes,
    /// `Event-Id` of the publisher.
    pub event_id: Option<Bytes>,
    /// `Event-Type` of the publisher.
    pub event_type: Option<Bytes>,
    /// Further attributes; most messages have none.
    pub attributes: Option<Arc<Attributes>>,
    /// Its number among the messages of its channel and second, from 0.
    pub channel_tag: u32,
    /// Number of readers that had it, of those that take one message at a time.
    pub(super) recipients: AtomicU32,
    /// Released when the last holder drops the message.
    pub(super) charge: Charge,
}

/// A message to be published.
#[derive(Clone, Debug, Default)]
pub struct NewMessage {
    /// Content of the message.
    pub text: Bytes,
    /// `Event-Id` of the publisher.
    pub event_id: Option<Bytes>,
    /// `Event-Type` of the publisher.
    pub event_type: Option<Bytes>,
    /// Further attributes; most messages have none.
    pub attributes: Option<Arc<Attributes>>,
}

impl NewMessage {
    /// Pairs the message with each of these channels, without a copy for the last one.
    pub fn for_each<C>(self, channels: &[C]) -> impl Iterator<Item = (&C, Self)> {
        channels
            .iter()
            .zip(std::iter::repeat_n(self, channels.len()))
    }
}

impl Message {
    /// Weight in reads that are limited in size: its content with an allowance for the rest.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.text.len() + 64
    }

    /// Its `Content-Type`, if the publisher set one.
    #[must_use]
    pub fn content_type(&self) -> Option<&Bytes> {
        self.attributes
            .as_ref()
            .and_then(|attributes| attributes.content_type.as_ref())
    }

    /// Its compressed content, if the publisher requested that.
    #[must_use]
    pub fn deflated(&self) -> Option<&Bytes> {
        self.attributes
            .as_ref()
            .and_then(|attributes| attributes.deflated.as_ref())
    }

    /// Bytes to charge to the memory bound.
    pub(super) fn footprint(message: &NewMessage, accounting: MemoryAccounting) -> u64 {
        if accounting == MemoryAccounting::SharedMemory {
            let of = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
            let attributes = message.attributes.as_ref();
            let attributes = attributes.map_or(0, |attributes| {
                of(&attributes.content_type) + of(&attributes.deflated)
            });
            let parts =
                message.text.len() + of(&message.event_id) + of(&message.event_type) + attributes;
            return SHARED_MEMORY_BYTES + parts as u64;
        }
        let attributes = message
            .attributes
            .as_ref()
            .map_or(0, |attributes| attributes.footprint());
        let of = |part: &Option<Bytes>| part.as_ref().map_or(0, |part| allocated(part.len()));
        // The reference counts, and its entries in two queues, whose capacity is up to twice their
        // length.
        let parts = allocated(message.text.len())
            + of(&message.event_id)
            + of(&message.event_type)
            + attributes;
        parts + allocated(std::mem::size_of::<Self>() + 16) + 32
    }

    /// True if it has expired: by its own expiry time or by the broker's time to live.
    pub(super) fn is_expired(&self, newest_expired: u64) -> bool {
        let Some(attributes) = &self.attributes else {
            return self.position.time <= newest_expired;
        };
        let is_over = match attributes.expires_after {
            Some(second) => unix_now() > second,
            None => self.position.time <= newest_expired,
        };
        is_over && self.recipients.load(Ordering::Relaxed) >= attributes.min_recipients
    }
}
