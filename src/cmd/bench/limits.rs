//! Limits of one process: open files and ports, and the number of processes that a run needs
//! because of them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::error::io_reason;
use crate::client::transport::raw_http::Target;
use crate::cmd::exit::Usage;

/// Standard streams, files of the runtime, and the connection for statistics.
const OWN_FILES: u64 = 64;
/// Number of ports per address, if the system does not report it.
const PORTS: u64 = 28_000;
/// Maximum number of processes: each needs memory, and there are few cores.
pub(super) const MAX_PROCESSES: usize = 64;

/// Value of `--processes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Processes {
    /// As few as the limits allow.
    Auto,
    /// This number.
    Exactly(usize),
}

impl Processes {
    /// Parses `auto` or a number.
    ///
    /// # Errors
    /// Returns the reason why the value is invalid.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(number) if (1..=MAX_PROCESSES).contains(&number) => Ok(Self::Exactly(number)),
            _ => Err(format!(
                "it is neither 'auto' nor a number from 1 to {MAX_PROCESSES}"
            )),
        }
    }

    /// Returns the number of processes for `subscribers`. Additional processes have additional
    /// ports only if each has its own address.
    pub(super) fn number(self, subscribers: usize, has_own_ports: bool) -> usize {
        match self {
            Self::Exactly(number) => number.min(subscribers),
            Self::Auto => {
                let files = getrlimit(Resource::Nofile)
                    .maximum
                    .map_or(u64::MAX, |most| most.saturating_sub(OWN_FILES));
                // A tenth of the ports is left for others, and for connections in TIME_WAIT.
                let ports = if has_own_ports {
                    ports() * 9 / 10
                } else {
                    u64::MAX
                };
                let each = usize::try_from(files.min(ports).max(1)).unwrap_or(usize::MAX);
                subscribers.div_ceil(each).min(MAX_PROCESSES)
            }
        }
    }
}

/// Returns the number of ports for outgoing connections.
fn ports() -> u64 {
    let range =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = range
        .split_whitespace()
        .filter_map(|bound| bound.parse::<u64>().ok());
    match (bounds.next(), bounds.next()) {
        (Some(from), Some(to)) if to >= from => to - from + 1,
        _ => PORTS,
    }
}

/// Returns the addresses of `--bind` from which connections to `target` are possible, without those
/// of other families.
///
/// # Errors
/// Returns [`Usage`] if there are none, or an address does not belong to this machine.
pub(super) fn usable_sources(given: &[IpAddr], target: &Target) -> Result<Vec<IpAddr>, Usage> {
    let usable: Vec<IpAddr> = given
        .iter()
        .copied()
        .filter(|source| target.is_reachable_from(*source))
        .collect();
    if usable.is_empty() && !given.is_empty() {
        return Err(Usage(if target.is_tcp() {
            "the server has no address of the family of --bind".to_owned()
        } else {
            "connections to a unix socket have no source address (omit --bind)".to_owned()
        }));
    }
    for source in &usable {
        UdpSocket::bind((*source, 0)).map_err(|error| {
            Usage(format!(
                "cannot connect from {source} (--bind): {}",
                io_reason(&error)
            ))
        })?;
    }
    Ok(usable)
}

/// Origin of the connections of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// Number of subscribers of all processes.
    pub(super) subscribers: usize,
    /// Usable addresses of `--bind`.
    pub(super) given: &'a [IpAddr],
    /// The server is on this machine, which has the addresses 127.0.0.0/8.
    pub(super) is_loopback: bool,
}

impl Origin<'_> {
    /// Checks that the local addresses have enough ports.
    ///
    /// # Errors
    /// Returns [`Usage`] if they do not.
    pub(super) fn check_ports(self) -> Result<(), Usage> {
        if self.given.is_empty() && self.is_loopback {
            return Ok(());
        }
        let addresses = self.given.iter().collect::<HashSet<_>>().len().max(1);
        let subscribers = self.subscribers;
        let ports = ports();
        if subscribers as u64 <= ports.saturating_mul(addresses as u64) {
            return Ok(());
        }
        Err(Usage(format!(
            "{subscribers} connections need more ports than {addresses} local {} ({ports} each, \
             see \
             'sysctl net.ipv4.ip_local_port_range'): give further addresses with --bind",
            if addresses == 1 {
                "address has"
            } else {
                "addresses have"
            }
        )))
    }

    /// Returns the local addresses of process `index`, used in turn; empty if the system chooses.
    /// Each process starts with another address of `--bind`. On the loopback interface each process
    /// has its own addresses, and a single process as many as it needs.
    pub(super) fn sources(self, index: usize, of: usize) -> Vec<IpAddr> {
        let local = |number: usize| {
            IpAddr::V4(Ipv4Addr::new(
                127,
                0,
                0,
                u8::try_from(number + 1).unwrap_or(u8::MAX),
            ))
        };
        if !self.given.is_empty() {
            let mut sources = self.given.to_vec();
            sources.rotate_left(index % self.given.len());
            return sources;
        }
        // A tenth of the ports is left for others, and for connections in TIME_WAIT.
        let each = usize::try_from(ports() * 9 / 10)
            .unwrap_or(usize::MAX)
            .max(1);
        let needed = self.subscribers.div_ceil(of).div_ceil(each);
        if !self.is_loopback || of.max(needed) == 1 {
            return Vec::new();
        }
        (index * needed..(index + 1) * needed).map(local).collect()
    }
}

/// Raises the soft limit of open files as far as needed and possible.
///
/// # Errors
/// Returns [`Usage`] if the hard limit is too low.
pub(super) fn raise_open_files(connections: usize) -> Result<(), Usage> {
    let needed = connections as u64 + OWN_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed))),
        maximum: limit.maximum,
    };
    let possible = setrlimit(Resource::Nofile, raised).is_ok() && raised.current >= Some(needed);
    if possible {
        return Ok(());
    }
    let maximum = limit.maximum.unwrap_or(0);
    Err(Usage(format!(
        "{connections} connections need {needed} open files, but the system allows {maximum} (see \
         'ulimit -Hn', --processes and --subscribers)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_as_few_as_possible() {
        assert_eq!(Processes::parse("auto"), Ok(Processes::Auto));
        assert_eq!(
            Processes::parse("3").map(|processes| processes.number(2, true)),
            Ok(2)
        );
        for text in ["0", "65", "many", ""] {
            assert!(Processes::parse(text).is_err(), "{text}");
        }
        assert_eq!(Processes::Auto.number(100, true), 1);
    }

    #[test]
    fn every_process_has_its_own_ports() {
        let origin = |subscribers, is_loopback| Origin {
            subscribers,
            given: &[],
            is_loopback,
        };
        let addresses = |numbers: &[u8]| {
            numbers
                .iter()
                .map(|number| IpAddr::from([127, 0, 0, *number]))
                .collect::<Vec<_>>()
        };
        assert_eq!(origin(30, true).sources(2, 3), addresses(&[3]));
        assert_eq!(
            (
                origin(30, true).sources(0, 1),
                origin(30, false).sources(1, 2)
            ),
            (Vec::new(), Vec::new())
        );
        let many = usize::try_from(ports()).expect("it is small");
        assert_eq!(origin(2 * many, true).sources(0, 1), addresses(&[1, 2, 3]));
        assert_eq!(origin(4 * many, true).sources(1, 2), addresses(&[4, 5, 6]));
        let given = addresses(&[7, 8, 9]);
        let origin = Origin {
            subscribers: 10,
            given: &given,
            is_loopback: true,
        };
        assert_eq!(
            (origin.sources(0, 2), origin.sources(4, 5)),
            (addresses(&[7, 8, 9]), addresses(&[8, 9, 7]))
        );
    }

    #[test]
    fn too_few_addresses_are_reported_before_anything_is_connected() {
        let given = [IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 2])];
        let subscribers = usize::try_from(ports()).expect("it is small") + 1;
        let origin = Origin {
            subscribers,
            given: &given,
            is_loopback: true,
        };
        let error = origin
            .check_ports()
            .expect_err("one address does not suffice")
            .to_string();
        assert!(
            error.contains("than 1 local address has") && error.contains("--bind"),
            "{error}"
        );
        assert!(
            Origin {
                subscribers: subscribers - 1,
                ..origin
            }
            .check_ports()
            .is_ok()
        );
        assert!(
            Origin {
                given: &[],
                ..origin
            }
            .check_ports()
            .is_ok(),
            "127.0.0.0/8 has enough"
        );
    }
}
