//! A generation: one loaded configuration, and which of its locations continue those of the
//! generation before.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::server::config::{Config, Listener, Location};
use crate::server::http::listen::location_index::{LocationIndex, scopes};

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

/// Numbers of locations and addresses that a server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedCounts {
    /// Locations of all servers, including nested ones.
    pub locations: usize,
    /// Listening addresses.
    pub addresses: usize,
}

impl fmt::Display for ServedCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            locations,
            addresses,
        } = self;
        let locations_plural = if *locations == 1 { "" } else { "s" };
        let addresses_plural = if *addresses == 1 { "" } else { "es" };
        write!(
            f,
            "{locations} location{locations_plural} on {addresses} address{addresses_plural}"
        )
    }
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
