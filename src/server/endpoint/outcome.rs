//! The outcome of a publisher's request: known at once, or when the engine acknowledges it.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::server::exchange::response::Response;

/// Why a publisher gets 503 and nothing was published.
pub const TOO_MANY_PENDING: &str = "Too many publishes are not acknowledged yet.";

/// Why a publisher gets 503 although the message may have been published.
pub const UNACKNOWLEDGED: &str =
    "Not acknowledged in time: the message may have been published or not.";

/// The outcome of a publisher's request or message: `T` is the response, or the reply of a
/// websocket.
#[must_use]
pub enum PublishOutcome<T = Response> {
    /// It is known.
    Ready(T),
    /// It depends on acknowledgements that are still to come.
    Pending(PendingPublish<T>),
}

/// The outcome that depends on acknowledgements. The request is carried out even if this is
/// dropped.
#[must_use]
pub struct PendingPublish<T = Response>(Pin<Box<dyn Future<Output = T>>>);

impl<T: 'static> PublishOutcome<T> {
    /// An outcome that is known when `future` is.
    pub fn pending(future: impl Future<Output = T> + 'static) -> Self {
        Self::Pending(PendingPublish(Box::pin(future)))
    }

    /// Converts the outcome.
    pub fn map<U: 'static>(self, convert: impl FnOnce(T) -> U + 'static) -> PublishOutcome<U> {
        match self {
            Self::Ready(outcome) => PublishOutcome::Ready(convert(outcome)),
            Self::Pending(pending) => {
                PublishOutcome::pending(async move { convert(pending.await) })
            }
        }
    }
}

impl<T> Future for PendingPublish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.0.as_mut().poll(cx)
    }
}
