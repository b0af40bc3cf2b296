//! What the system allows one process: open files and ports, and into how many processes a run is split because of them.

use std::net::{IpAddr, Ipv4Addr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cmd::exit::Usage;

/// Standard streams, the runtime's own files, and the statistics connection.
const OWN_FILES: u64 = 64;
/// Ports for connections to one address, if the system does not say.
const PORTS: u64 = 28_000;
/// Most processes: each costs memory and the processor has few cores.
pub(super) const MAX_PROCESSES: usize = 64;

/// `--processes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Processes {
    /// As few as the limits allow.
    Auto,
    /// So many.
    Exactly(usize),
}

impl Processes {
    /// Reads `auto` or a number.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(number) if (1..=MAX_PROCESSES).contains(&number) => Ok(Self::Exactly(number)),
            _ => Err(format!("it is neither 'auto' nor a number from 1 to {MAX_PROCESSES}")),
        }
    }

    /// How many there are for so many subscribers. Further processes have further ports only if each has an address of its own.
    pub(super) fn number(self, subscribers: usize, has_own_ports: bool) -> usize {
        match self {
            Self::Exactly(number) => number.min(subscribers),
            Self::Auto => {
                let files = getrlimit(Resource::Nofile).maximum.map_or(u64::MAX, |most| most.saturating_sub(OWN_FILES));
                // A tenth of the ports is left for others, and for connections that are being closed.
                let ports = if has_own_ports { ports() * 9 / 10 } else { u64::MAX };
                let each = usize::try_from(files.min(ports).max(1)).unwrap_or(usize::MAX);
                subscribers.div_ceil(each).min(MAX_PROCESSES)
            }
        }
    }
}

/// Ports that the system gives to outgoing connections.
fn ports() -> u64 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = range.split_whitespace().filter_map(|bound| bound.parse::<u64>().ok());
    match (bounds.next(), bounds.next()) {
        (Some(from), Some(to)) if to >= from => to - from + 1,
        _ => PORTS,
    }
}

/// The address that process `index` connects from: one of those given, or on this machine one of 127.0.0.0/8, since each
/// address has its own ports. A single process leaves it to the system.
pub(super) fn source(index: usize, of: usize, given: &[IpAddr], is_loopback: bool) -> Option<IpAddr> {
    match given {
        [] if of > 1 && is_loopback => Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + index as u8))),
        [] => None,
        given => Some(given[index % given.len()]),
    }
}

/// Raises the soft limit of open files as far as needed and possible.
///
/// # Errors
/// [`Usage`] if that is not far enough.
pub(super) fn raise_open_files(connections: usize) -> Result<(), Usage> {
    let needed = connections as u64 + OWN_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed))), maximum: limit.maximum };
    let possible = setrlimit(Resource::Nofile, raised).is_ok() && raised.current >= Some(needed);
    if possible {
        return Ok(());
    }
    let maximum = limit.maximum.unwrap_or(0);
    Err(Usage(format!(
        "{connections} connections need {needed} open files, but the system allows {maximum} (see 'ulimit -Hn', --processes and --subscribers)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_as_few_as_possible() {
        assert_eq!(Processes::parse("auto"), Ok(Processes::Auto));
        assert_eq!(Processes::parse("3").map(|processes| processes.number(2, true)), Ok(2));
        for text in ["0", "65", "many", ""] {
            assert!(Processes::parse(text).is_err(), "{text}");
        }
        assert_eq!(Processes::Auto.number(100, true), 1);
    }

    #[test]
    fn every_process_has_ports_of_its_own() {
        let address = |text: &str| text.parse::<IpAddr>().ok();
        assert_eq!(source(2, 3, &[], true), address("127.0.0.3"));
        assert_eq!((source(0, 1, &[], true), source(1, 2, &[], false)), (None, None));
        let given: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2"].iter().filter_map(|text| address(text)).collect();
        assert_eq!((source(1, 4, &given, false), source(2, 4, &given, true)), (address("10.0.0.2"), address("10.0.0.1")));
    }
}
