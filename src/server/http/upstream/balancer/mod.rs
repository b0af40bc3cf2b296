//! Load balancing: chooses the server of an upstream for a request to a back-end, and the next one
//! after a failure. As in nginx, servers are chosen in turn by weight, without servers that failed
//! recently. Each shard records failures separately, like a worker of nginx.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::peers::{PeerAddress, PeerId, Resolved, resolve};
use crate::server::config::model::upstream::{Balancing, ServerAddress, Upstream, UpstreamServer};

/// Addresses of a host name are used for this long before the name is resolved again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
/// Delay before a name is resolved again after a failure.
const RESOLVE_RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Attempts to find a server by key before servers are chosen in turn.
const KEY_ATTEMPTS: u32 = 20;

/// Peer groups by the name of their upstream.
#[derive(Debug, Default)]
pub(in crate::server) struct Balancer {
    groups: Mutex<HashMap<String, Arc<Mutex<PeerGroup>>>>,
}

/// The peers of an upstream: each address of each server.
#[derive(Debug, Default)]
struct PeerGroup {
    peers: Vec<PeerState>,
    /// Time at which its names are resolved again; `None` before the first time.
    resolve_at: Option<Instant>,
}

/// An address of a server, with its load and failures.
#[derive(Debug)]
struct PeerState {
    id: PeerId,
    /// Current weight of smooth weighted round robin.
    current_weight: i64,
    /// Its weight, lowered by failures.
    effective_weight: i64,
    fails: u32,
    /// Time of the last failure.
    failed: Option<Instant>,
    /// Start of the period in which failures are counted.
    checked: Option<Instant>,
    /// Active requests.
    active: u32,
}

/// The servers tried for one request.
pub(in crate::server) struct Selection {
    upstream: Arc<Upstream>,
    group: Arc<Mutex<PeerGroup>>,
    key: Option<u32>,
    tried: Vec<PeerId>,
}

/// A request at a peer, which is counted as active until this value is dropped.
pub(in crate::server) struct Attempt {
    group: Arc<Mutex<PeerGroup>>,
    id: PeerId,
}

impl Balancer {
    /// Begins the choice for a request; `key` is the hash of a balancing by key. Each name is
    /// resolved for at most `limit`.
    pub(in crate::server) async fn select(
        &self,
        upstream: &Arc<Upstream>,
        key: Option<u32>,
        limit: Duration,
    ) -> Selection {
        let group = self.group(upstream);
        if group.lock().is_stale(upstream) {
            let resolved = resolve(upstream, limit).await;
            group.lock().replace(resolved, upstream);
        }
        Selection {
            upstream: Arc::clone(upstream),
            group,
            key,
            tried: Vec::new(),
        }
    }

    fn group(&self, upstream: &Upstream) -> Arc<Mutex<PeerGroup>> {
        if !upstream.keeps_state {
            return Arc::default();
        }
        Arc::clone(self.groups.lock().entry(upstream.name.clone()).or_default())
    }
}

impl PeerGroup {
    fn is_stale(&self, upstream: &Upstream) -> bool {
        let has_names = || {
            upstream
                .servers
                .iter()
                .any(|server| matches!(server.address, ServerAddress::Name(..)))
        };
        self.resolve_at
            .is_none_or(|due| has_names() && due < Instant::now())
    }

    /// Replaces the peers; those that remain keep their state. A server whose name cannot be
    /// resolved keeps its addresses.
    fn replace(&mut self, resolved: Resolved, upstream: &Upstream) {
        let Resolved {
            mut ids,
            unresolved,
        } = resolved;
        let valid_for = if unresolved.is_empty() {
            RESOLVE_INTERVAL
        } else {
            RESOLVE_RETRY_INTERVAL
        };
        self.resolve_at = Some(Instant::now() + valid_for);
        let mut before = std::mem::take(&mut self.peers);
        ids.extend(
            before
                .iter()
                .map(|peer| peer.id.clone())
                .filter(|id| unresolved.contains(&id.server)),
        );
        for id in ids {
            let known = before
                .iter()
                .position(|peer| peer.id == id)
                .map(|at| before.swap_remove(at));
            let weight = i64::from(upstream.servers[id.server].weight);
            self.peers
                .push(known.unwrap_or_else(|| PeerState::new(id, weight)));
        }
    }

    fn find(&mut self, id: &PeerId) -> Option<&mut PeerState> {
        self.peers.iter_mut().find(|peer| peer.id == *id)
    }

    /// Chooses among the backup servers or the others.
    fn choose(&mut self, selection: &Choices<'_>, wants_backup: bool) -> Option<PeerId> {
        let Choices {
            upstream,
            tried,
            key,
        } = selection;
        let now = Instant::now();
        // A single peer is tried in spite of its failures.
        let is_alone = self.peers.len() == 1;
        let can_take = |peer: &PeerState| {
            let server = &upstream.servers[peer.id.server];
            let has_room = server.max_connections.is_none_or(|max| peer.active < max);
            let is_candidate = server.is_backup == wants_backup
                && !server.is_down
                && has_room
                && !tried.contains(&peer.id);
            is_candidate && (is_alone || !peer.is_disabled(server, now))
        };
        let candidates: Vec<usize> = (0..self.peers.len())
            .filter(|at| can_take(&self.peers[*at]))
            .collect();
        let chosen = key.and_then(|key| self.find_by_key(key, &candidates, upstream, wants_backup));
        let chosen = chosen.or_else(|| match upstream.balancing {
            Balancing::LeastConnections => {
                let least = self.find_least_connected(&candidates, upstream);
                self.choose_in_turn(&least, upstream)
            }
            _ => self.choose_in_turn(&candidates, upstream),
        })?;
        let peer = &mut self.peers[chosen];
        let timeout = upstream.servers[peer.id.server].fail_timeout;
        if peer
            .checked
            .is_none_or(|checked| now.duration_since(checked) > timeout)
        {
            peer.checked = Some(now);
        }
        peer.active += 1;
        Some(peer.id.clone())
    }

    /// Finds the peer for a key, if it is a candidate.
    fn find_by_key(
        &self,
        key: u32,
        candidates: &[usize],
        upstream: &Upstream,
        wants_backup: bool,
    ) -> Option<usize> {
        let weight = |peer: &PeerState| {
            let server = &upstream.servers[peer.id.server];
            if server.is_backup == wants_backup && !server.is_down {
                u64::from(server.weight)
            } else {
                0
            }
        };
        let total: u64 = self.peers.iter().map(weight).sum();
        (0..KEY_ATTEMPTS).find_map(|attempt| {
            let hash = crc32fast::hash(&[key.to_be_bytes(), attempt.to_be_bytes()].concat());
            let mut rest = u64::from(hash).checked_rem(total)?;
            let chosen = self.peers.iter().position(|peer| {
                let weight = weight(peer);
                let is_it = rest < weight;
                rest = rest.saturating_sub(weight);
                is_it
            });
            chosen.filter(|chosen| candidates.contains(chosen))
        })
    }

    fn find_least_connected(&self, candidates: &[usize], upstream: &Upstream) -> Vec<usize> {
        let load = |at: &usize| {
            let peer = &self.peers[*at];
            // In thousandths of a connection per unit of weight.
            u64::from(peer.active) * 1000
                / u64::from(upstream.servers[peer.id.server].weight.max(1))
        };
        let least = candidates.iter().map(load).min();
        candidates
            .iter()
            .copied()
            .filter(|at| Some(load(at)) == least)
            .collect()
    }

    /// Smooth weighted round robin.
    fn choose_in_turn(&mut self, candidates: &[usize], upstream: &Upstream) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for at in candidates {
            let peer = &mut self.peers[*at];
            peer.current_weight += peer.effective_weight;
            total += peer.effective_weight;
            if peer.effective_weight < i64::from(upstream.servers[peer.id.server].weight) {
                peer.effective_weight += 1;
            }
            if best
                .is_none_or(|best| self.peers[*at].current_weight > self.peers[best].current_weight)
            {
                best = Some(*at);
            }
        }
        self.peers[best?].current_weight -= total;
        best
    }
}

/// Inputs of a choice other than the peers.
struct Choices<'a> {
    upstream: &'a Upstream,
    tried: &'a [PeerId],
    key: Option<u32>,
}

impl PeerState {
    fn new(id: PeerId, weight: i64) -> Self {
        Self {
            id,
            current_weight: 0,
            effective_weight: weight,
            fails: 0,
            failed: None,
            checked: None,
            active: 0,
        }
    }

    /// Returns whether it has failed too often to be tried now.
    fn is_disabled(&self, server: &UpstreamServer, now: Instant) -> bool {
        let is_recent = self
            .checked
            .is_some_and(|checked| now.duration_since(checked) <= server.fail_timeout);
        server.max_fails > 0 && self.fails >= server.max_fails && is_recent
    }
}

impl Selection {
    /// Chooses the next server; `None` if there is none left.
    pub(in crate::server) fn next(&mut self) -> Option<Attempt> {
        let choices = Choices {
            upstream: &self.upstream,
            tried: &self.tried,
            key: self.key,
        };
        let mut group = self.group.lock();
        let id = group
            .choose(&choices, false)
            .or_else(|| group.choose(&choices, true))?;
        drop(group);
        self.tried.push(id.clone());
        Some(Attempt {
            group: Arc::clone(&self.group),
            id,
        })
    }

    /// Records a failure of a server.
    pub(in crate::server) fn record_failure(&self, attempt: &Attempt) {
        let server = &self.upstream.servers[attempt.id.server];
        let mut group = self.group.lock();
        let Some(peer) = group.find(&attempt.id) else {
            return;
        };
        let now = Instant::now();
        peer.fails += 1;
        (peer.failed, peer.checked) = (Some(now), Some(now));
        if server.max_fails > 0 {
            let loss = i64::from(server.weight) / i64::from(server.max_fails);
            peer.effective_weight = (peer.effective_weight - loss).max(0);
        }
        if server.max_fails > 0 && peer.fails == server.max_fails {
            let address = peer.id.address.to_string();
            tracing::warn!(
                upstream = self.upstream.name,
                address,
                "disabling a server of an upstream temporarily after failures"
            );
        }
    }

    /// Records a response of a server.
    pub(in crate::server) fn record_success(&self, attempt: &Attempt) {
        let mut group = self.group.lock();
        let Some(peer) = group.find(&attempt.id) else {
            return;
        };
        if peer.failed < peer.checked {
            peer.fails = 0;
        }
    }
}

impl Attempt {
    pub(in crate::server) fn address(&self) -> &PeerAddress {
        &self.id.address
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(peer) = self.group.lock().find(&self.id) {
            peer.active = peer.active.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
