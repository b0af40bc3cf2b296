//! A generation: the configuration from one reload to the next, and which locations it shares with
//! the one before.
//!
//! A location goes on in the next generation if the same listener has a server with one of its
//! server's names (or, where no name is the same, a default server for its default server), and in
//! it a location with the same pattern, inside the same ones, that is the same kind of subscriber.
//! Such locations have the same number, so that a follower of long ago can be found in the newest
//! generation. Whatever else changes in a location is no concern of those who follow already.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::ServedCounts;
use super::config::{Config, Endpoint, Listener, Location, Servers, SubscriberMode, VirtualServer};

/// A configuration with what is known of its listeners.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) config: Config,
    /// In the order of the configuration's listeners.
    pub(super) listeners: Vec<(ListenerNumber, Arc<LocationIndex>)>,
}

/// A listener over all reloads that leave it.
pub(super) type ListenerNumber = u64;

impl Generation {
    /// The generation of `config`, whose listeners have these numbers; what goes on of `before`
    /// keeps its numbers.
    pub(super) fn new(config: Config, numbers: &[ListenerNumber], before: Option<&Self>) -> Self {
        let census = |number: ListenerNumber, listener: &Listener| {
            let known = before
                .and_then(|before| before.listeners.iter().find(|(other, _)| *other == number));
            (
                number,
                Arc::new(LocationIndex::take(
                    listener,
                    known.map(|(_, census)| &**census),
                )),
            )
        };
        let listeners = numbers
            .iter()
            .zip(&config.listeners)
            .map(|(number, listener)| census(*number, listener))
            .collect();
        Self { config, listeners }
    }

    /// Locations, those inside others included, of all servers; and addresses.
    pub(super) fn served_counts(&self) -> ServedCounts {
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

/// Where a location lies in memory: tells it from the others of its generation, which is held as
/// long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LocationAddress(usize);

impl From<Option<&Location>> for LocationAddress {
    fn from(location: Option<&Location>) -> Self {
        Self(location.map_or(0, |location| std::ptr::from_ref(location).addr()))
    }
}

/// The subscriber locations of a listener and their numbers.
#[derive(Debug, Default)]
pub(super) struct LocationIndex {
    servers: Vec<IndexedServer>,
    numbers: HashMap<LocationAddress, u64>,
    /// The numbers of all that goes on: one location may go on for several of the generation
    /// before.
    living: HashSet<u64>,
    next: u64,
}

/// A server of a listener.
#[derive(Debug)]
struct IndexedServer {
    /// Of a connection to this address; `None` = to another one.
    scope: Option<IpAddr>,
    names: HashSet<String>,
    is_default: bool,
    /// The patterns that lead to each location, and its numbers.
    locations: HashMap<(String, SubscriberMode), Vec<u64>>,
}

impl LocationIndex {
    /// Numbers the locations of `listener`; what goes on of `before` keeps its numbers.
    fn take(listener: &Listener, before: Option<&Self>) -> Self {
        let mut census = Self {
            next: before.map_or(0, |before| before.next),
            ..Self::default()
        };
        let all = |scope, servers: &Arc<Servers>| {
            let servers = Arc::clone(servers);
            (0..servers.len()).map(move |at| {
                (
                    scope,
                    Arc::clone(&servers[at]),
                    Arc::ptr_eq(&servers[at], servers.default_server()),
                )
            })
        };
        let servers: Vec<_> = scopes(listener)
            .flat_map(|(scope, servers)| all(scope, servers))
            .collect();
        let mut found: Vec<(IndexedServer, Vec<_>)> = servers
            .iter()
            .map(|(scope, server, is_default)| server_of(*scope, server, *is_default))
            .collect();
        for earlier in before.map(|before| &before.servers[..]).unwrap_or_default() {
            let shares_name = |server: &IndexedServer| {
                server.scope == earlier.scope && !server.names.is_disjoint(&earlier.names)
            };
            let is_named = found.iter().any(|(server, _)| shares_name(server));
            let both_default = |server: &IndexedServer| {
                server.scope == earlier.scope && server.is_default && earlier.is_default
            };
            for (server, _) in &mut found {
                if shares_name(server) || (!is_named && both_default(server)) {
                    for (key, numbers) in &mut server.locations {
                        numbers.extend(earlier.locations.get(key).into_iter().flatten());
                    }
                }
            }
        }
        for (mut server, addresses) in found {
            for numbers in server.locations.values_mut() {
                if numbers.is_empty() {
                    numbers.push(census.next);
                    census.next += 1;
                }
                numbers.sort_unstable();
                numbers.dedup();
                census.living.extend(numbers.iter());
            }
            census.numbers.extend(
                addresses
                    .into_iter()
                    .map(|(address, key)| (address, server.locations[&key][0])),
            );
            census.servers.push(server);
        }
        census
    }

    /// The location that was at `location` in the `earlier` census is still there.
    pub(super) fn continues(&self, earlier: &Self, location: LocationAddress) -> bool {
        // One that nobody numbered is none that can be followed.
        earlier
            .numbers
            .get(&location)
            .is_none_or(|number| self.living.contains(number))
    }
}

/// The servers of a listener, by the address of the connection.
fn scopes(listener: &Listener) -> impl Iterator<Item = (Option<IpAddr>, &Arc<Servers>)> {
    let own = listener
        .overrides
        .iter()
        .map(|(address, servers)| (Some(*address), servers));
    std::iter::once((None, &listener.servers)).chain(own)
}

type Addresses = Vec<(LocationAddress, (String, SubscriberMode))>;

fn server_of(
    scope: Option<IpAddr>,
    server: &VirtualServer,
    is_default: bool,
) -> (IndexedServer, Addresses) {
    fn walk(locations: &[Location], outer: &str, addresses: &mut Addresses) {
        for location in locations {
            let path = format!("{outer}\n{}", location.pattern);
            if let Endpoint::Subscriber(mode) = location.endpoint {
                addresses.push((Some(location).into(), (path.clone(), mode)));
            }
            walk(&location.nested, &path, addresses);
        }
    }
    let mut addresses = Vec::new();
    walk(&server.locations, "", &mut addresses);
    let names = server.names.iter().map(ToString::to_string).collect();
    let locations = addresses
        .iter()
        .map(|(_, key)| (key.clone(), Vec::new()))
        .collect();
    (
        IndexedServer {
            scope,
            names,
            is_default,
            locations,
        },
        addresses,
    )
}

#[cfg(test)]
mod tests {
    use super::super::config::nginx;
    use super::*;

    fn generation(servers: &[&str], before: Option<&Generation>) -> Generation {
        let servers: String = servers
            .iter()
            .map(|content| format!("server {{ listen 9103; {content} }}\n"))
            .collect();
        let text = format!("events {{}} http {{ push_stream_shared_memory_size 10m;\n{servers}}}");
        let config = nginx::parse("conf", text.as_bytes())
            .expect("a valid configuration")
            .config;
        Generation::new(config, &[7], before)
    }

    fn location(path: &str, mode: &str) -> String {
        format!("location {path} {{ push_stream_subscriber {mode}; push_stream_channels_path x; }}")
    }

    /// Whether what `path` finds in the first server goes on, through all these generations.
    fn goes_on(generations: &[&[&str]], path: &str) -> bool {
        let mut all: Vec<Generation> = Vec::new();
        for servers in generations {
            let next = generation(servers, all.last());
            all.push(next);
        }
        let first = &all[0];
        let last = all.last().expect("some");
        let (found, _) = first.config.listeners[0].servers[0]
            .locate(path.as_bytes())
            .expect("a location");
        last.listeners[0]
            .1
            .continues(&first.listeners[0].1, Some(found).into())
    }

    #[test]
    fn a_location_goes_on_where_pattern_and_mode_are_the_same() {
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
            assert_eq!(goes_on(&[&[&both], &[next]], "/a"), expected, "{next}");
        }
        assert!(goes_on(&[&[&both], &[&a], &[&turned]], "/a"));
        assert!(
            !goes_on(&[&[&both], &[&b], &[&both]], "/a"),
            "what came back is another one"
        );
    }

    #[test]
    fn a_server_goes_on_by_its_names() {
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
            assert_eq!(goes_on(&[&[&a, &b], next], "/a"), expected, "{next:?}");
        }
        let merged = server("a b", "/a");
        assert!(
            goes_on(&[&[&b, &a], &[&merged], &[&merged]], "/a"),
            "of two that became one both go on"
        );
        assert!(goes_on(&[&[&a, &b], &[&merged], &[&merged]], "/a"));
    }
}
