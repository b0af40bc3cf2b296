//! A message as the broker keeps it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use super::NewMessage;
use super::attributes::Attributes;
use super::memory::{Charge, allocated};
use crate::message::{Position, unix_now};
use crate::server::config::MemoryAccounting;

/// What the smallest message takes of push-stream's shared memory, less a margin: 2 MiB hold 12,409
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
    /// The bytes of the request that published it.
    pub text: Bytes,
    /// `Event-Id` of the publisher.
    pub event_id: Option<Bytes>,
    /// `Event-Type` of the publisher.
    pub event_type: Option<Bytes>,
    /// What else is known of it.
    pub attributes: Option<Arc<Attributes>>,
    /// Its number among the messages of its channel in its second, from 0.
    pub channel_tag: u32,
    /// Readers that had it, of those who take one message at a time.
    pub(super) recipients: AtomicU32,
    /// Releases its share of the memory bound when the last holder lets go.
    pub(super) charge: Charge,
}

impl Message {
    /// What it counts for where many are read at once: about its bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.text.len() + 64
    }

    /// Its `Content-Type`, if its publisher said one.
    #[must_use]
    pub fn content_type(&self) -> Option<&Bytes> {
        self.attributes
            .as_ref()
            .and_then(|attributes| attributes.content_type.as_ref())
    }

    /// Its text in compressed form, if its publisher wanted that.
    #[must_use]
    pub fn deflated(&self) -> Option<&Bytes> {
        self.attributes
            .as_ref()
            .and_then(|attributes| attributes.deflated.as_ref())
    }

    /// Bytes that a message takes from the memory bound.
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
        // Two reference counters, and its slots in two queues, which are up to twice as long as
        // what is in them.
        let parts = allocated(message.text.len())
            + of(&message.event_id)
            + of(&message.event_type)
            + attributes;
        parts + allocated(std::mem::size_of::<Self>() + 16) + 32
    }

    /// Its time is over: by its own time, or by that of the broker.
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
