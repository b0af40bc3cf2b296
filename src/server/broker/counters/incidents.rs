//! Incidents: rejections, time-outs and errors, counted without locks and listed in statistics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::server::observe::limits_log::Limit;

/// A rejected, dropped or failed operation, or the reason for which the server ended a connection
/// or a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A connection beyond `--max-connections`.
    TooManyConnections,
    /// A connection beyond `--max-connections-per-address`.
    TooManyFromAddress,
    /// A connection beyond the memory bound.
    NoMemoryForConnection,
    /// A connection for which the system had no file descriptor.
    NoDescriptor,
    /// Another error of `accept`.
    AcceptFailed,
    /// A message, a channel or a subscription beyond the memory bound.
    NoMemory,
    /// A subscriber that was dropped because its pending bytes exceeded the memory bound.
    NoMemoryForPending,
    /// An incomplete request, a websocket message or a response beyond the memory bound.
    NoMemoryForIncoming,
    /// A request whose head did not arrive in time.
    HeadTimeout,
    /// A body that did not arrive in time, or too slowly.
    BodyTimeout,
    /// A connection without a further request within `--keepalive-timeout`.
    KeepaliveTimeout,
    /// A client that accepted no data of a response within `--send-timeout`. Subscribers count as
    /// `slow_timed_out`.
    SendTimeout,
    /// A client that did not close its connection within `--linger-time` after the last response.
    LingerTimeout,
    /// A client that the kernel found unreachable (`--tcp-keepalive`, `--tcp-user-timeout`).
    TcpTimeout,
    /// A socket error other than a disconnected client.
    SocketError,
    /// A connection that could not be registered with its thread.
    SetupFailed,
    /// A websocket that did not answer a ping.
    UnansweredPing,
    /// A client that pipelined too many requests while it waited for a long-polling response.
    TooManyPipelined,
    /// A subscription that reached its time to live.
    EndedByTimeToLive,
    /// A subscription whose last channel was deleted.
    EndedByDeletion,
    /// A subscription that was replaced by a newer one (NHPM, `push_subscriber_concurrency`).
    EndedByConflict,
    /// A subscription that a further request of its client ended.
    EndedByRequest,
    /// A subscription or connection that ended because the server shut down, or because its
    /// location or listener was removed.
    EndedByShutdown,
    /// A request to a back-end without a waiting client, beyond `--max-hook-notices`.
    DroppedNotice,
    /// A bug in the server that ended a connection.
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
    /// Name of its counter in statistics.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// One counter per kind of incident.
#[derive(Debug, Default)]
pub(in crate::server::broker) struct Incidents([AtomicU64; NAMES.len()]);

impl Incidents {
    pub(in crate::server::broker) fn count(&self, incident: Incident) {
        match incident {
            Incident::NoMemory | Incident::NoMemoryForPending => Limit::Memory.log(),
            Incident::NoMemoryForIncoming => Limit::IncomingMemory.log(),
            _ => {}
        }
        self.0[incident as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All incidents since the start: the names of the counters and their values.
    pub(super) fn list(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES
            .into_iter()
            .zip(&self.0)
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
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
