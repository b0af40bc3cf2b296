//! Which server of a group a request to a back-end goes to, and which after it has failed: as in
//! nginx, in turn by weight, without servers that failed recently. A shard remembers failures on
//! its own, as a worker of nginx does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::peers::{PeerAddress, PeerId, Resolved, resolve};
use crate::server::config::upstream::{Balancing, ServerAddress, Upstream, UpstreamServer};

/// How long addresses of a host name are used before the name is resolved again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
/// How soon a name is looked up again after that has failed.
const RESOLVE_RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Servers that a key is tried with before the others are, in turn.
const KEY_ATTEMPTS: u32 = 20;

/// The groups whose failures are remembered, by name.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    groups: Mutex<HashMap<String, Arc<Mutex<PeerGroup>>>>,
}

/// The peers of a group: each address of each of its servers.
#[derive(Debug, Default)]
struct PeerGroup {
    peers: Vec<PeerState>,
    /// When its names are resolved again; `None` = they never were.
    resolve_at: Option<Instant>,
}

/// An address of a server, and how it does.
#[derive(Debug)]
struct PeerState {
    id: PeerId,
    /// Of smooth weighted round robin: what the peer has coming to it.
    current_weight: i64,
    /// Its weight, lowered by failures.
    effective_weight: i64,
    fails: u32,
    /// When it failed last.
    failed: Option<Instant>,
    /// Since when its failures count.
    checked: Option<Instant>,
    /// Requests that it has now.
    active: u32,
}

/// The choices of one request.
pub(super) struct Selection {
    upstream: Arc<Upstream>,
    group: Arc<Mutex<PeerGroup>>,
    key: Option<u32>,
    tried: Vec<PeerId>,
}

/// A request at a peer. It counts as active until this value goes.
pub(super) struct Attempt {
    group: Arc<Mutex<PeerGroup>>,
    id: PeerId,
}

impl Balancer {
    /// Begins the choices of a request; `key` is that of a balancing by key. Each name is looked up
    /// for at most `limit`.
    pub(super) async fn select(
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

    /// Takes these peers; what is known of those that were there already stays. A server whose name
    /// cannot be resolved now keeps its addresses.
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
        // A server that is alone is tried whatever it did before.
        let is_alone = self.peers.len() == 1;
        let can_take = |peer: &PeerState| {
            let server = &upstream.servers[peer.id.server];
            let has_room = server.max_connections.is_none_or(|max| peer.active < max);
            let is_candidate = server.is_backup == wants_backup
                && !server.is_down
                && has_room
                && !tried.contains(&peer.id);
            is_candidate && (is_alone || !peer.is_left_out(server, now))
        };
        let candidates: Vec<usize> = (0..self.peers.len())
            .filter(|at| can_take(&self.peers[*at]))
            .collect();
        let chosen = key.and_then(|key| self.by_key(key, &candidates, upstream, wants_backup));
        let chosen = chosen.or_else(|| match upstream.balancing {
            Balancing::LeastConnections => {
                let least = self.with_fewest_connections(&candidates, upstream);
                self.in_turn(&least, upstream)
            }
            _ => self.in_turn(&candidates, upstream),
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

    /// The peer that a key leads to, if it is a candidate.
    fn by_key(
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

    fn with_fewest_connections(&self, candidates: &[usize], upstream: &Upstream) -> Vec<usize> {
        let load = |at: &usize| {
            let peer = &self.peers[*at];
            // Exact to a thousandth of a connection per unit of weight.
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
    fn in_turn(&mut self, candidates: &[usize], upstream: &Upstream) -> Option<usize> {
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

/// What a choice depends on beyond the peers.
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

    /// It has failed too often to be tried now.
    fn is_left_out(&self, server: &UpstreamServer, now: Instant) -> bool {
        let is_recent = self
            .checked
            .is_some_and(|checked| now.duration_since(checked) <= server.fail_timeout);
        server.max_fails > 0 && self.fails >= server.max_fails && is_recent
    }
}

impl Selection {
    /// The next server to try; `None` = there is none any more.
    pub(super) fn next(&mut self) -> Option<Attempt> {
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

    /// Notes that a server has failed.
    pub(super) fn record_failure(&self, attempt: &Attempt) {
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
                "a server of an upstream is left out for now: it has failed"
            );
        }
    }

    /// Notes that a server has answered.
    pub(super) fn record_success(&self, attempt: &Attempt) {
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
    pub(super) fn address(&self) -> &PeerAddress {
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
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn upstream(servers: &[&str], balancing: Balancing) -> Arc<Upstream> {
        let server = |text: &&str| {
            let mut words = text.split(' ');
            let port: u16 = words
                .next()
                .and_then(|port| port.parse().ok())
                .expect("a port");
            let mut server = UpstreamServer::new(ServerAddress::Ip(([127, 0, 0, 1], port).into()));
            for word in words {
                match word.split_once('=').unwrap_or((word, "0")) {
                    ("weight", weight) => server.weight = weight.parse().expect("a number"),
                    ("max_fails", fails) => server.max_fails = fails.parse().expect("a number"),
                    ("backup", _) => server.is_backup = true,
                    (_, _) => server.is_down = true,
                }
            }
            server
        };
        let servers = servers.iter().map(server).collect();
        Arc::new(Upstream {
            name: "up".to_owned(),
            servers,
            balancing,
            keeps_state: true,
            keepalive: 0,
            unsupported: None,
        })
    }

    fn port(attempt: &Attempt) -> u16 {
        match attempt.address() {
            PeerAddress::Tcp(address) => address.port(),
            PeerAddress::Unix(_) => 0,
        }
    }

    /// The ports of the servers that requests go to, each of which takes its time.
    async fn ports(
        balancer: &Balancer,
        upstream: &Arc<Upstream>,
        count: usize,
    ) -> Vec<Option<u16>> {
        let mut ports = Vec::new();
        for _ in 0..count {
            let mut selection = balancer.select(upstream, None, LIMIT).await;
            let attempt = selection.next();
            attempt
                .iter()
                .for_each(|attempt| selection.record_success(attempt));
            ports.push(attempt.as_ref().map(port));
        }
        ports
    }

    #[tokio::test]
    async fn servers_are_tried_in_the_order_of_nginx() {
        // As seen with nginx 1.22.
        let expected = [1, 1, 2, 1, 1, 1, 2, 1].map(Some);
        for balancing in [Balancing::RoundRobin, Balancing::LeastConnections] {
            let upstream = upstream(&["1 weight=3", "2"], balancing);
            assert_eq!(ports(&Balancer::default(), &upstream, 8).await, expected);
        }
    }

    #[tokio::test]
    async fn backups_and_servers_that_are_down_wait() {
        let upstream = upstream(&["1 down", "2", "3 backup"], Balancing::RoundRobin);
        let balancer = Balancer::default();
        let mut selection = balancer.select(&upstream, None, LIMIT).await;
        let first = selection.next().expect("the one that is up");
        assert_eq!(port(&first), 2);
        selection.record_failure(&first);
        assert_eq!(selection.next().as_ref().map(port), Some(3));
        assert!(selection.next().is_none());
        assert_eq!(
            ports(&balancer, &upstream, 2).await,
            [Some(3), Some(3)],
            "the failure is remembered"
        );
    }

    #[tokio::test]
    async fn failures_leave_a_server_out_unless_it_is_alone_or_may_fail() {
        for (servers, expected) in [
            (&["1"][..], Some(1)),
            (&["1 max_fails=0", "2 down"], Some(1)),
            (&["1", "2 down"], None),
        ] {
            let upstream = upstream(servers, Balancing::RoundRobin);
            let balancer = Balancer::default();
            let mut selection = balancer.select(&upstream, None, LIMIT).await;
            let attempt = selection.next().expect("it is tried at first");
            selection.record_failure(&attempt);
            assert_eq!(
                ports(&balancer, &upstream, 1).await,
                [expected],
                "{servers:?}"
            );
        }
    }

    #[tokio::test]
    async fn keys_lead_to_one_server_until_it_fails() {
        let upstream = upstream(&["1", "2", "3"], Balancing::ClientAddress);
        let balancer = Balancer::default();
        let mut reached = Vec::new();
        for key in 0..50 {
            let mut chosen = Vec::new();
            for _ in 0..3 {
                chosen.push(
                    balancer
                        .select(&upstream, Some(key), LIMIT)
                        .await
                        .next()
                        .as_ref()
                        .map(port),
                );
            }
            assert!(chosen.iter().all(|port| *port == chosen[0]), "{chosen:?}");
            let mut selection = balancer.select(&upstream, Some(key), LIMIT).await;
            let first = selection.next().as_ref().map(port);
            assert_ne!(selection.next().as_ref().map(port), first);
            reached.extend(first);
        }
        assert!([1, 2, 3].iter().all(|port| reached.contains(port)));
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_resolved_now_keeps_its_addresses() {
        let mut upstream = Upstream::clone(&upstream(&["1", "2"], Balancing::RoundRobin));
        upstream.servers[0].address = ServerAddress::Name("one".to_owned(), 1);
        let id = |server: usize| PeerId {
            server,
            address: PeerAddress::Tcp(([127, 0, 0, 1], [1, 2][server]).into()),
        };
        let mut group = PeerGroup::default();
        group.replace(
            Resolved {
                ids: vec![id(0), id(1)],
                unresolved: Vec::new(),
            },
            &upstream,
        );
        group.peers[0].fails = 1;
        group.replace(
            Resolved {
                ids: vec![id(1)],
                unresolved: vec![0],
            },
            &upstream,
        );
        let mut kept: Vec<_> = group
            .peers
            .iter()
            .map(|peer| (peer.id.server, peer.fails))
            .collect();
        kept.sort_unstable();
        assert_eq!(kept, [(0, 1), (1, 0)]);
        group.replace(
            Resolved {
                ids: vec![id(1)],
                unresolved: Vec::new(),
            },
            &upstream,
        );
        assert_eq!(group.peers.len(), 1, "the name stands for nothing any more");
    }
}
