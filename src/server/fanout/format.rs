//! A format: the encoder of a kind of follower, and the policy for them.

use std::cell::OnceCell;
use std::rc::Rc;

use super::encoder::Encoder;
use super::frame::{PayloadBuffer, PayloadFrame};
use super::policy::FollowerPolicy;
use crate::server::exchange::checksum::Checksum;
use crate::server::exchange::compression;

/// Typical size of a response without messages.
const USUAL_NOTICE_BYTES: usize = 400;

/// The encoder of a kind of follower, and the policy for them. All followers of the kind share it.
#[derive(Debug)]
pub struct Format<E: ?Sized = dyn Encoder> {
    /// What is constant for the followers.
    pub policy: FollowerPolicy,
    /// Level of the gzip compression of the payload; `None` = not compressed.
    compression: Option<u32>,
    /// Followers are pinged at different times, so that a ping is encoded once in advance.
    ping: OnceCell<Rc<PayloadFrame>>,
    encoder: E,
}

impl<E: Encoder> Format<E> {
    /// A format whose payload is not compressed.
    #[must_use]
    pub fn new(policy: FollowerPolicy, encoder: E) -> Self {
        Self {
            policy,
            compression: None,
            ping: OnceCell::new(),
            encoder,
        }
    }

    /// Compresses the payload with gzip, if there is a `level`. The opening of each subscription
    /// has to begin the gzip member.
    #[must_use]
    pub fn compressed(self, level: Option<u32>) -> Self {
        Self {
            compression: level,
            ..self
        }
    }
}

impl Format {
    /// The frame of what `write` encodes, compressed if the format is. `capacity` is the expected
    /// size of the payload.
    pub(super) fn encode(
        &self,
        capacity: usize,
        write: impl FnOnce(&dyn Encoder, &mut PayloadBuffer),
    ) -> PayloadFrame {
        let Some(level) = self.compression else {
            let mut payload = PayloadBuffer::with_capacity(capacity);
            write(&self.encoder, &mut payload);
            return payload.finish();
        };
        let mut plain = PayloadBuffer::joined(capacity);
        write(&self.encoder, &mut plain);
        if plain.is_empty() {
            return plain.finish();
        }
        let mut compressed = PayloadBuffer::with_capacity(0);
        let checksum =
            compressed.piece(|out| compression::block(level, plain.joined_payload(), out));
        plain.recycle();
        compressed.finish().with_checksum(checksum)
    }

    /// The frame of a notice, or of a response without messages.
    pub(super) fn encode_notice(
        &self,
        write: impl FnOnce(&dyn Encoder, &mut PayloadBuffer),
    ) -> PayloadFrame {
        self.encode(USUAL_NOTICE_BYTES, write)
    }

    /// A ping; an empty frame if the format has no pings.
    pub(super) fn ping(&self) -> &Rc<PayloadFrame> {
        self.ping
            .get_or_init(|| Rc::new(self.encode(0, |encoder, out| encoder.encode_ping(out))))
    }

    /// The payload after the last message of a response whose payload has this checksum.
    pub(super) fn trailer(&self, checksum: Checksum) -> Vec<u8> {
        let mut trailer = Vec::new();
        if self.compression.is_some() {
            compression::end(checksum, &mut trailer);
        }
        trailer
    }
}
