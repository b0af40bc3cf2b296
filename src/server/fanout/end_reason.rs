//! Why a subscription ends.

use crate::server::broker::Incident;

/// Why a subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its time to live is over (`subscriber_connection_ttl`, `longpolling_connection_ttl`).
    TimeToLive,
    /// Its last channel was deleted.
    Deleted,
    /// The server is shutting down, or the location or listener was removed.
    Shutdown,
    /// A newer subscriber is to be the only one that waits.
    Conflict,
    /// It did not answer a ping.
    UnansweredPing,
    /// The client sent data while it should have waited for the response.
    Interrupted,
}

impl EndReason {
    /// The incident to count; `None` if the code that ends the subscription counts it.
    #[must_use]
    pub fn incident(self) -> Option<Incident> {
        Some(match self {
            EndReason::TimeToLive => Incident::EndedByTimeToLive,
            EndReason::Deleted => Incident::EndedByDeletion,
            EndReason::Shutdown => Incident::EndedByShutdown,
            EndReason::Conflict => Incident::EndedByConflict,
            EndReason::Interrupted => Incident::EndedByRequest,
            EndReason::UnansweredPing => return None,
        })
    }
}
