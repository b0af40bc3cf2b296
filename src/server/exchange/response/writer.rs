//! The interface through which the fan-out and the formats have responses written.

use super::{Framing, Response, ResponseContext, SubscriptionHead};

/// Writes responses as a version of HTTP sends them. Called once for all followers that share a
/// frame, and once for the head of a subscription, so that the dynamic dispatch is negligible.
pub trait ResponseWriter {
    /// Appends a response to `out`.
    fn write_response(
        &self,
        response: &Response,
        context: ResponseContext,
        out: &mut Vec<u8>,
    ) -> WrittenResponse;

    /// Appends the head of a response whose payload has this framing.
    fn write_head(&self, head: &SubscriptionHead, framing: Framing, out: &mut Vec<u8>);
}

/// A response that was written.
#[derive(Clone, Copy, Debug)]
pub struct WrittenResponse {
    /// Length of the head.
    pub head_bytes: usize,
    /// The connection stays open.
    pub keeps_alive: bool,
}
