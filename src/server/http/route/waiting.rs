//! Steps of routing that wait: for a check, for a body, or for a back-end.
//!
//! The functions of routing are asynchronous and generic over [`Waiting`]. Most requests need no
//! such step: they are routed with [`NoWaiting`], which never waits, while their head is in the
//! buffer of the connection. A request that needs one is copied, routed again from its location,
//! and continues as its connection waits.

use bytes::Bytes;

use super::next_step::PendingBody;
use crate::server::exchange::response::Response;

/// How a request waits.
pub(in crate::server) trait Waiting {
    /// Why it is not routed any further.
    type Stop;

    /// Prepares a wait of unknown length: sends the responses to earlier requests, and reserves the
    /// memory of this one.
    async fn begin(&mut self) -> Result<(), Self::Stop>;

    /// Reads the body, or returns the response to one that is too large or malformed.
    async fn read_body(&mut self, body: PendingBody)
    -> Result<Result<Bytes, Response>, Self::Stop>;
}

/// Does not wait.
pub(in crate::server) struct NoWaiting;

/// The request needs a step that waits.
pub(in crate::server) struct MustWait;

impl Waiting for NoWaiting {
    type Stop = MustWait;

    async fn begin(&mut self) -> Result<(), MustWait> {
        Err(MustWait)
    }

    async fn read_body(&mut self, _: PendingBody) -> Result<Result<Bytes, Response>, MustWait> {
        Err(MustWait)
    }
}
