//! Which locations of a listener continue those of the configuration before.
//!
//! Followers survive a reload if their location continues. A location of the new generation
//! continues an old one if
//!
//! - the same listener has a server with one of the old server's names (or, if no name is the same,
//!   both are default servers), and
//! - that server has a location with the same pattern, nested in the same patterns, that followers
//!   of the same kind could follow.
//!
//! Continuing locations keep their number, so that the location of an old follower is found in the
//! newest generation. Other changes of a location do not affect its present followers.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::server::config::model::nchan::Roles;
use crate::server::config::{Endpoint, Listener, Location, Servers, SubscriberMode, VirtualServer};

/// Address of a location in memory: its identity within its generation, which outlives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::server) struct LocationAddress(usize);

impl From<Option<&Location>> for LocationAddress {
    fn from(location: Option<&Location>) -> Self {
        Self(location.map_or(0, |location| std::ptr::from_ref(location).addr()))
    }
}

/// The numbers of the subscriber locations of a listener.
#[derive(Debug, Default)]
pub(in crate::server) struct LocationIndex {
    servers: Vec<IndexedServer>,
    numbers: HashMap<LocationAddress, u64>,
    /// Numbers of all locations that exist, old numbers included: when servers are merged, one
    /// location continues several.
    current: HashSet<u64>,
    next_number: u64,
}

/// A server of a listener, with the keys by which its locations continue.
#[derive(Debug)]
struct IndexedServer {
    /// Local address of the connections that it serves; `None` = all without their own servers.
    scope: Option<IpAddr>,
    names: HashSet<String>,
    is_default: bool,
    locations: HashMap<LocationKey, Vec<u64>>,
}

/// Identity of a location over reloads: the patterns that lead to it, one per line, and the kind of
/// its followers.
type LocationKey = (String, FollowerKind);

/// The kind of the followers of a location. If it changes, they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum FollowerKind {
    PushStream(SubscriberMode),
    Nhpm,
    Nchan,
    /// A websocket that may only publish.
    NchanPublisher,
    NchanSubscriberInfo,
}

impl FollowerKind {
    /// The kind of the followers at an endpoint; `None` if it has none.
    fn at(endpoint: &Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::Subscriber(mode) => Some(Self::PushStream(*mode)),
            Endpoint::NhpmSubscriber { .. } => Some(Self::Nhpm),
            Endpoint::Nchan { roles, .. } if roles.has(NCHAN_SUBSCRIBERS) => Some(Self::Nchan),
            Endpoint::Nchan { roles, .. } => roles
                .has(Roles::PUBLISH_WEBSOCKET)
                .then_some(Self::NchanPublisher),
            Endpoint::NchanSubscriberInfo(_) => Some(Self::NchanSubscriberInfo),
            Endpoint::None
            | Endpoint::BackEnd(_)
            | Endpoint::Statistics
            | Endpoint::Publisher { .. }
            | Endpoint::NhpmPublisher(_)
            | Endpoint::NchanGroup { .. }
            | Endpoint::NchanStubStatus => None,
        }
    }
}

/// The subscriber types of nchan.
const NCHAN_SUBSCRIBERS: Roles = Roles::SUBSCRIBE.and(Roles::RAW_STREAM);

/// The subscriber locations of a server by their addresses.
type KeysByAddress = Vec<(LocationAddress, LocationKey)>;

impl LocationIndex {
    /// Numbers the locations of `listener`. Those that continue locations of `before` keep their
    /// numbers.
    pub(in crate::server) fn new(listener: &Listener, before: Option<&Self>) -> Self {
        let mut index = Self {
            next_number: before.map_or(0, |before| before.next_number),
            ..Self::default()
        };
        let mut found: Vec<(IndexedServer, KeysByAddress)> = scopes(listener)
            .flat_map(|(scope, servers)| {
                servers.iter().map(move |server| {
                    let is_default = Arc::ptr_eq(server, servers.default_server());
                    indexed_server(scope, server, is_default)
                })
            })
            .collect();
        for earlier in before.map(|before| &before.servers[..]).unwrap_or_default() {
            inherit_numbers(earlier, &mut found);
        }
        for (server, keys) in found {
            index.add(server, keys);
        }
        index
    }

    /// Adds a server; numbers its locations that continue none.
    fn add(&mut self, mut server: IndexedServer, keys: KeysByAddress) {
        for numbers in server.locations.values_mut() {
            if numbers.is_empty() {
                numbers.push(self.next_number);
                self.next_number += 1;
            }
            numbers.sort_unstable();
            numbers.dedup();
            self.current.extend(numbers.iter());
        }
        self.numbers.extend(
            keys.into_iter()
                .map(|(address, key)| (address, server.locations[&key][0])),
        );
        self.servers.push(server);
    }

    /// Whether the location at `address` in the generation of `earlier` still exists.
    pub(in crate::server) fn continues(&self, earlier: &Self, address: LocationAddress) -> bool {
        // Only locations that can have followers have a number.
        earlier
            .numbers
            .get(&address)
            .is_none_or(|number| self.current.contains(number))
    }
}

/// Gives the locations of `servers` the numbers of those that they continue in `earlier`.
fn inherit_numbers(earlier: &IndexedServer, servers: &mut [(IndexedServer, KeysByAddress)]) {
    let shares_name = |server: &IndexedServer| {
        server.scope == earlier.scope && !server.names.is_disjoint(&earlier.names)
    };
    let both_default = |server: &IndexedServer| {
        server.scope == earlier.scope && server.is_default && earlier.is_default
    };
    let is_named = servers.iter().any(|(server, _)| shares_name(server));
    for (server, _) in servers {
        if shares_name(server) || (!is_named && both_default(server)) {
            for (key, numbers) in &mut server.locations {
                numbers.extend(earlier.locations.get(key).into_iter().flatten());
            }
        }
    }
}

/// The servers of a listener by the local address of the connection; `None` = any other address.
pub(in crate::server) fn scopes(
    listener: &Listener,
) -> impl Iterator<Item = (Option<IpAddr>, &Arc<Servers>)> {
    let own = listener
        .overrides
        .iter()
        .map(|(address, servers)| (Some(*address), servers));
    std::iter::once((None, &listener.servers)).chain(own)
}

fn indexed_server(
    scope: Option<IpAddr>,
    server: &VirtualServer,
    is_default: bool,
) -> (IndexedServer, KeysByAddress) {
    fn collect(locations: &[Location], outer: &str, keys: &mut KeysByAddress) {
        for location in locations {
            let path = format!("{outer}\n{}", location.pattern);
            if let Some(kind) = FollowerKind::at(location.endpoint()) {
                keys.push((Some(location).into(), (path.clone(), kind)));
            }
            collect(&location.nested, &path, keys);
        }
    }
    let mut keys = Vec::new();
    collect(&server.locations, "", &mut keys);
    let indexed = IndexedServer {
        scope,
        names: server.names.iter().map(ToString::to_string).collect(),
        is_default,
        locations: keys
            .iter()
            .map(|(_, key)| (key.clone(), Vec::new()))
            .collect(),
    };
    (indexed, keys)
}
