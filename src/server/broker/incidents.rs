//! What the server had to defend itself against: counted without locks, listed for statistics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Broker;
use crate::server::limits_log::Limit;

/// Something that was rejected, given up or caught, or why the server ended a connection or a
/// subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A connection beyond `--max-connections`.
    TooManyConnections,
    /// A connection beyond `--max-connections-per-address`.
    TooManyFromAddress,
    /// A connection for which the memory bound had no room.
    NoMemoryForConnection,
    /// A connection for which the system had no descriptor.
    NoDescriptor,
    /// Accepting failed for another reason.
    AcceptFailed,
    /// A message, a channel or a subscription for which the memory bound had no room.
    NoMemory,
    /// A subscriber that was given up because what waits for its socket had no room.
    NoMemoryForPending,
    /// Bytes of an incomplete request, a websocket message or an answer that had no room.
    NoMemoryForIncoming,
    /// A request whose head did not come in time.
    HeadTimeout,
    /// A body that did not come in time, or too slowly.
    BodyTimeout,
    /// A connection without a further request within `--keepalive-timeout`.
    KeepaliveTimeout,
    /// A client that accepted nothing of a response within `--send-timeout`. Subscribers count as
    /// `slow_timed_out`.
    SendTimeout,
    /// A client that did not close its connection within `--linger-time` after the last response.
    LingerTimeout,
    /// The kernel found a client gone (`--tcp-keepalive`, `--tcp-user-timeout`).
    TcpTimeout,
    /// Another error of a socket than that its client has left.
    SocketError,
    /// A connection that could not be registered with its thread.
    SetupFailed,
    /// A websocket that did not answer a ping.
    UnansweredPing,
    /// A client that sent too many requests ahead while it waited for a long-poll answer.
    TooManyPipelined,
    /// A subscription that reached its time to live.
    EndedByTimeToLive,
    /// A subscription whose last channel was deleted.
    EndedByDeletion,
    /// A subscription that yielded to another one (NHPM, `push_subscriber_concurrency`).
    EndedByConflict,
    /// A subscription that was ended by a further request of its client.
    EndedByRequest,
    /// A subscription or connection whose location or listener was removed, or that was there when
    /// the server ended.
    EndedByShutdown,
    /// A request to a back-end that nobody waits for, beyond `--max-hook-notices`.
    DroppedNotice,
    /// A mistake of the server's that cost a connection.
    Panic,
}

/// The names of the counters, in the order of the variants.
const NAMES: [&str; 25] = [
    "refused_connections_total",
    "refused_connections_address",
    "refused_connections_memory",
    "refused_connections_descriptors",
    "accept_errors",
    "refused_requests_memory",
    "dropped_subscribers_memory",
    "dropped_requests_memory",
    "header_timeouts",
    "body_timeouts",
    "keepalive_timeouts",
    "send_timeouts",
    "linger_timeouts",
    "tcp_timeouts",
    "socket_errors",
    "connection_setup_errors",
    "unanswered_pings",
    "dropped_subscribers_pipelining",
    "ended_time_to_live",
    "ended_channel_deleted",
    "ended_conflict",
    "ended_by_request",
    "ended_shutdown",
    "dropped_hook_notices",
    "panics",
];

impl Incident {
    /// The name of its counter.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// One counter for each kind of incident.
#[derive(Debug, Default)]
pub(super) struct Incidents([AtomicU64; NAMES.len()]);

impl Incidents {
    pub(super) fn count(&self, incident: Incident) {
        match incident {
            Incident::NoMemory | Incident::NoMemoryForPending => Limit::Memory.log(),
            Incident::NoMemoryForIncoming => Limit::IncomingMemory.log(),
            _ => {}
        }
        self.0[incident as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Broker {
    /// Counts an incident.
    pub fn count(&self, incident: Incident) {
        self.0.incidents.count(incident);
    }

    /// All incidents since the start: names for statistics, and how often each came.
    #[must_use]
    pub fn incidents(&self) -> Vec<(&'static str, u64)> {
        NAMES
            .into_iter()
            .zip(&self.0.incidents.0)
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_incident_has_the_counter_of_its_name() {
        let incidents = Incidents::default();
        incidents.count(Incident::TooManyConnections);
        incidents.count(Incident::Panic);
        let counts: Vec<u64> = incidents
            .0
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        assert_eq!(
            (counts.first(), counts.last(), counts.iter().sum::<u64>()),
            (Some(&1), Some(&1), 2)
        );
        for (incident, name) in [
            (Incident::BodyTimeout, "body_timeouts"),
            (Incident::SendTimeout, "send_timeouts"),
            (Incident::UnansweredPing, "unanswered_pings"),
            (Incident::EndedByShutdown, "ended_shutdown"),
            (Incident::Panic, "panics"),
        ] {
            assert_eq!(incident.name(), name);
        }
    }
}
