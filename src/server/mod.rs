//! The broker server: binds its listeners, runs its shards, reloads its configuration.
//!
//! A shard is a thread with the connections that were assigned to it. Publishing appends to the
//! log of a channel in the broker, which all shards share; each shard delivers to its own
//! subscribers. This module only connects the parts:
//!
//! | module | responsibility |
//! |---|---|
//! | [`config`] | configuration model and its sources: built-in, nginx.conf, TOML |
//! | `http` | listeners, HTTP/1.x connections, routing, access control, files, back-ends |
//! | [`request`], [`response`], [`compression`] | request with its variables, response, gzip |
//! | [`publisher`], [`subscriber`], [`statistics`] | endpoints: from a request to a response |
//! | [`dialect`] | per protocol family: cursor syntax, statuses, headers, bodies |
//! | [`fanout`] | shards, followers, delivery rounds, deadlines, sockets |
//! | [`broker`] | channels, logs, memory and other limits, expiry, counters |
//! | `running`, `shards`, `shard_thread` | main loop and shutdown, thread of a shard |
//! | `generation` | one loaded configuration, and which locations survive a reload |
//! | `admission` | connection limits and choice of the shard |
//! | [`error_log`], `syslog`, `log_throttle`, `limits_log`, [`panics`] | the log of the process |
//! | `time_limit`, `buffer_pool`, `allocator` | timeouts that tolerate pauses, buffers, memory |
//! | `failpoints` | panics and stalls on demand, for tests of debug builds |
//!
//! | to change | start in |
//! |---|---|
//! | a directive | `config::nginx::directives` |
//! | a subscriber mode | [`subscriber`] |
//! | a protocol family | [`dialect`] |
//! | memory bounds | `broker::memory` |
//!
//! The steps are in docs/architecture.md, also those for another HTTP version.

pub mod access;
pub mod broker;
pub mod config;
pub mod dialect;
pub mod endpoint;
pub mod exchange;
pub mod fanout;
mod http;
pub mod nchan;
pub mod nhpm;
pub mod observe;
pub mod push_stream;
pub mod runtime;

use crate::server::exchange::response;
use crate::server::observe::error_log;
use std::io;
use std::num::NonZero;
use std::sync::OnceLock;

pub use self::http::{InheritedSocket, InheritedSocketError};
pub use self::observe::access_log::reopen as reopen_access_logs;
use self::runtime::generation::Generation;
pub use self::runtime::running::{Command, NeedsRestart, Reloaded, StopKind};
use broker::{Broker, CreateError, MAX_SHARDS};
use config::{Config, ListenAddress};
use http::Bound;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub use http::fuzzing;

/// Value of the `Server` header.
pub const SERVER: &str = concat!("pushctl/", env!("CARGO_PKG_VERSION"));

/// Server name on error pages. As long as `nginx/1.26.3`, so that the pages have the length of the
/// recorded ones.
pub const SERVER_ON_PAGES: &str = concat!(
    "pushctl v",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR")
);

/// A server with bound listeners that does not accept connections yet.
#[derive(Debug)]
pub struct Server {
    generation: Generation,
    inherited: Vec<InheritedSocket>,
    bound: Vec<Bound>,
    broker: Broker,
}

/// Numbers of locations and addresses that a server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedCounts {
    /// Locations of all servers, including nested ones.
    pub locations: usize,
    /// Listening addresses.
    pub addresses: usize,
}

/// A failure to start a server, to reload its configuration, or to keep it running.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The server cannot listen on an address.
    #[error("cannot listen on {address}: {reason} (choose another address with --listen)")]
    Bind {
        /// The address.
        address: ListenAddress,
        /// Error of the system. Not `#[source]`: it is part of the text already.
        reason: io::Error,
    },
    /// The port of a new address is in use by an address that this reload would close.
    #[error(
        "cannot listen on {address}: its port is in use by {used}, which stays open until a reload \
         has succeeded (remove {used} and reload, then add {address} and reload; or restart)"
    )]
    PortInUse {
        /// The address.
        address: ListenAddress,
        /// The address that has the port.
        used: ListenAddress,
    },
    /// More shards than supported.
    #[error("too many shards: {0} (maximum {MAX_SHARDS}; set by --shards or worker_processes)")]
    Shards(usize),
    /// The memory limit is too small for the events channel.
    #[error(
        "cannot create the events channel: {0} (raise --memory, or push_stream_shared_memory_size)"
    )]
    Events(#[from] CreateError),
    /// A thread or its runtime cannot be started.
    #[error("cannot start a shard: {0}")]
    Shard(#[source] io::Error),
    /// A listener has failed.
    #[error("cannot accept connections: {0}")]
    Accept(#[source] io::Error),
}

impl Server {
    /// Binds all addresses of `config`. An address with an `inherited` socket takes that one.
    ///
    /// # Errors
    /// When an address cannot be bound, there are too many shards, or the memory limit is too
    /// small.
    pub fn bind(mut config: Config, inherited: Vec<InheritedSocket>) -> Result<Self, ServerError> {
        config.shards = shard_count(&config);
        if config.shards > MAX_SHARDS {
            return Err(ServerError::Shards(config.shards));
        }
        let broker = Broker::new(
            config.broker.clone(),
            config.shards,
            config.limits.max_lag_bytes,
        )?;
        let bound = config
            .listeners
            .iter()
            .map(|listener| bind(listener, &config, &inherited))
            .collect::<Result<Vec<_>, _>>()?;
        let numbers: Vec<_> = (0..).take(bound.len()).collect();
        Ok(Self {
            generation: Generation::new(config, &numbers, None),
            inherited,
            bound,
            broker,
        })
    }

    /// Returns the listening addresses, with the ports that the system chose.
    ///
    /// # Errors
    /// When the system cannot report the address of a socket.
    pub fn addresses(&self) -> io::Result<Vec<ListenAddress>> {
        self.bound.iter().map(Bound::address).collect()
    }

    /// Returns the number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.generation.config.shards
    }

    /// Returns the numbers of its locations and addresses.
    #[must_use]
    pub fn served_counts(&self) -> ServedCounts {
        self.generation.served_counts()
    }

    /// Returns the inherited sockets that no listener uses.
    pub fn unused_sockets(&self) -> impl Iterator<Item = &InheritedSocket> {
        let is_used = |socket: &&InheritedSocket| {
            let listeners = &self.generation.config.listeners;
            listeners.iter().any(|listener| {
                InheritedSocket::find(&self.inherited, listener)
                    .is_some_and(|found| std::ptr::eq(found, *socket))
            })
        };
        self.inherited.iter().filter(move |socket| !is_used(socket))
    }
}

/// Applies the process-wide settings of `config`: the error log, and whether responses show the
/// version. Logs which access logs cannot be opened. Called for every configuration that takes
/// effect.
pub fn apply_process_settings(config: &Config) {
    error_log::apply(&config.process.error_logs);
    response::set_version_hidden(config.process.hides_version);
    observe::access_log::try_all(config);
}

/// Binds the address of `listener`, or takes its inherited socket.
fn bind(
    listener: &config::Listener,
    config: &Config,
    inherited: &[InheritedSocket],
) -> Result<Bound, ServerError> {
    let settings = &config.limits.tcp;
    let bound = match InheritedSocket::find(inherited, listener) {
        Some(socket) => socket.bound(settings),
        None => Bound::bind(listener, settings),
    };
    bound.map_err(|reason| ServerError::Bind {
        address: listener.address.clone(),
        reason,
    })
}

/// Number of shards for a configuration: by default one per core.
fn shard_count(config: &Config) -> usize {
    match config.shards {
        0 => std::thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(MAX_SHARDS),
        shards => shards,
    }
}

impl std::fmt::Display for ServedCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenAddress::Tcp(address) => write!(f, "http://{address}"),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Returns the host name of this machine.
#[must_use]
pub fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    })
}

/// Formats seconds since the Unix epoch as `2026-11-21T00:12:27`, in UTC.
#[must_use]
pub fn iso_time(unix_seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.trim_end_matches('Z').to_owned()
}
