//! A generation: one loaded configuration, and which of its locations continue those of the
//! generation before.
//!
//! Followers survive a reload if their location continues. A location of the new generation
//! continues an old one if
//!
//! - the same listener has a server with one of the old server's names (or, if no name is the same,
//!   both are default servers), and
//! - that server has a location with the same pattern, nested in the same patterns, and the same
//!   subscriber mode.
//!
//! Continuing locations keep their number, so that the location of an old follower is found in the
//! newest generation. Other changes of a location do not affect its present followers.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::server::ServedCounts;
use crate::server::config::{
    Config, Endpoint, Listener, Location, Servers, SubscriberMode, VirtualServer,
};

/// A configuration with the location indexes of its listeners.
#[derive(Debug)]
pub(in crate::server) struct Generation {
    pub(in crate::server) config: Config,
    /// In the order of `config.listeners`.
    pub(in crate::server) listeners: Vec<(ListenerNumber, Arc<LocationIndex>)>,
}

/// Number of a listener, stable over all reloads that keep its address.
pub(in crate::server) type ListenerNumber = u64;

impl Generation {
    /// Creates the generation of `config`, whose listeners have these `numbers`. Locations that
    /// continue those of `before` keep their numbers.
    pub(in crate::server) fn new(
        config: Config,
        numbers: &[ListenerNumber],
        before: Option<&Self>,
    ) -> Self {
        let index_of = |number: ListenerNumber, listener: &Listener| {
            let known = before
                .and_then(|before| before.listeners.iter().find(|(other, _)| *other == number));
            let index = LocationIndex::new(listener, known.map(|(_, index)| &**index));
            (number, Arc::new(index))
        };
        let listeners = numbers
            .iter()
            .zip(&config.listeners)
            .map(|(number, listener)| index_of(*number, listener))
            .collect();
        Self { config, listeners }
    }

    /// Counts the locations of all servers, including nested ones, and the addresses.
    pub(in crate::server) fn served_counts(&self) -> ServedCounts {
        fn count(locations: &[Location]) -> usize {
            locations
                .iter()
                .map(|location| 1 + count(&location.nested))
                .sum()
        }
        let mut seen = HashSet::new();
        let servers = self
            .config
            .listeners
            .iter()
            .flat_map(|listener| scopes(listener).flat_map(|(_, servers)| servers.iter()));
        let locations = servers
            .filter(|server| seen.insert(Arc::as_ptr(server)))
            .map(|server| count(&server.locations))
            .sum();
        ServedCounts {
            locations,
            addresses: self.config.listeners.len(),
        }
    }
}

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

/// Identity of a location over reloads: the patterns that lead to it, one per line, and its mode.
type LocationKey = (String, SubscriberMode);

/// The subscriber locations of a server by their addresses.
type KeysByAddress = Vec<(LocationAddress, LocationKey)>;

impl LocationIndex {
    /// Numbers the locations of `listener`. Those that continue locations of `before` keep their
    /// numbers.
    fn new(listener: &Listener, before: Option<&Self>) -> Self {
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
        // A location without a number has no followers.
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
fn scopes(listener: &Listener) -> impl Iterator<Item = (Option<IpAddr>, &Arc<Servers>)> {
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
            if let Endpoint::Subscriber(mode) = location.endpoint {
                keys.push((Some(location).into(), (path.clone(), mode)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::source;

    fn generation(servers: &[&str], before: Option<&Generation>) -> Generation {
        let servers: String = servers
            .iter()
            .map(|content| format!("server {{ listen 9103; {content} }}\n"))
            .collect();
        let text = format!("events {{}} http {{ push_stream_shared_memory_size 10m;\n{servers}}}");
        let config = source::parse("conf", text.as_bytes())
            .expect("a valid configuration")
            .config;
        Generation::new(config, &[7], before)
    }

    fn location(path: &str, mode: &str) -> String {
        format!("location {path} {{ push_stream_subscriber {mode}; push_stream_channels_path x; }}")
    }

    /// Whether the location that `path` finds in the first server continues through all these
    /// generations.
    fn continues(generations: &[&[&str]], path: &str) -> bool {
        let mut all: Vec<Generation> = Vec::new();
        for servers in generations {
            let next = generation(servers, all.last());
            all.push(next);
        }
        let first = &all[0];
        let last = all.last().expect("at least one generation");
        let (found, _) = first.config.listeners[0].servers[0]
            .locate(path.as_bytes())
            .expect("a location");
        last.listeners[0]
            .1
            .continues(&first.listeners[0].1, Some(found).into())
    }

    #[test]
    fn a_location_continues_if_pattern_and_mode_are_the_same() {
        let a = location("/a", "streaming");
        let b = location("/b", "streaming");
        let both = format!("{a} {b}");
        let turned = format!("{b} {a}");
        for (next, expected) in [
            (&both[..], true),
            (&turned, true),
            (&a, true),
            (&b, false),
            (&location("/a", "eventsource"), false),
            (&location("= /a", "streaming"), false),
            (&format!("server_name x; {a}"), true),
            (&format!("location / {{ {a} }}"), false),
        ] {
            assert_eq!(continues(&[&[&both], &[next]], "/a"), expected, "{next}");
        }
        assert!(continues(&[&[&both], &[&a], &[&turned]], "/a"));
        assert!(
            !continues(&[&[&both], &[&b], &[&both]], "/a"),
            "a location that was removed and added again is a new one"
        );
    }

    #[test]
    fn a_server_continues_by_its_names() {
        let server = |names: &str, path: &str| {
            format!("server_name {names}; {}", location(path, "streaming"))
        };
        let (a, b) = (server("a", "/a"), server("b", "/a"));
        for (next, expected) in [
            (&[&b[..], &a][..], true),
            (&[&server("c", "/a"), &server("x a", "/a")], true),
            (&[&server("c", "/a"), &server("a", "/x")], false),
            (&[&server("c", "/a"), &b], true),
            (&[&server("c", "/x"), &b], false),
        ] {
            assert_eq!(continues(&[&[&a, &b], next], "/a"), expected, "{next:?}");
        }
        let merged = server("a b", "/a");
        assert!(
            continues(&[&[&b, &a], &[&merged], &[&merged]], "/a"),
            "two servers that were merged both continue"
        );
        assert!(continues(&[&[&a, &b], &[&merged], &[&merged]], "/a"));
    }
}
