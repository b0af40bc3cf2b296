//! Requests of publishers whose response waits for an acknowledgement of the engine, and those
//! behind them.
//!
//! Pipelined publishes of a connection are in flight together, up to a bound. Their responses keep
//! the order of the requests; any other request is served after them. `connection` answers them.

use std::collections::VecDeque;

use super::route::ResponsePlan;
use crate::server::endpoint::PublishOutcome;

/// Most requests of a connection whose responses wait. The engine charges the memory of each.
const MAX_UNANSWERED: usize = 64;

/// A request whose response is not written yet.
pub(super) struct UnansweredRequest {
    pub(super) outcome: PublishOutcome,
    /// What completes the response.
    pub(super) context: ResponsePlan,
    /// Bytes read of the body.
    pub(super) received: u64,
}

/// The requests of a connection whose responses are not written yet, in their order. Boxed, because
/// most connections have none.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "a connection holds one pointer")]
pub(super) struct UnansweredRequests(Option<Box<VecDeque<UnansweredRequest>>>);

impl UnansweredRequest {
    /// Returns whether no further request of the connection is served.
    fn is_last(&self) -> bool {
        let closes = match &self.outcome {
            PublishOutcome::Ready(response) => response.head.close,
            PublishOutcome::Pending(_) => false,
        };
        closes || !self.context.connection.keep_alive
    }
}

impl UnansweredRequests {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns whether all of them have to be answered before another one is served.
    pub(super) fn is_full(&self) -> bool {
        self.0.as_ref().is_some_and(|requests| {
            requests.len() >= MAX_UNANSWERED
                || requests.back().is_some_and(UnansweredRequest::is_last)
        })
    }

    pub(super) fn push(&mut self, request: UnansweredRequest) {
        self.0.get_or_insert_default().push_back(request);
    }

    /// Takes all of them.
    pub(super) fn take(&mut self) -> VecDeque<UnansweredRequest> {
        self.0.take().map(|requests| *requests).unwrap_or_default()
    }
}
