//! The broker server: wires listeners, shards and the broker together (`running`: until it ends,
//! over all reloads). Owns no policy.

mod admission;
mod allocator;
pub mod broker;
mod buffer_pool;
pub mod compression;
pub mod config;
pub mod dialect;
pub mod error_log;
mod failpoints;
pub mod fanout;
mod generation;
mod http;
mod limits_log;
mod log_throttle;
pub mod panics;
pub mod publisher;
pub mod request;
pub mod response;
mod running;
mod shard_thread;
pub mod statistics;
pub mod subscriber;
mod syslog;
mod time_limit;

use std::io;
use std::num::NonZero;
use std::sync::OnceLock;

use broker::{Broker, CreateError, MAX_SHARDS};
use config::{Config, ListenAddress};
use generation::Generation;
use http::Bound;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub use http::fuzzing;
pub use http::{InheritedSocket, InheritedSocketError, reopen_access_logs};
pub use running::{Command, NeedsRestart, Reloaded, StopKind};

/// What the `Server` header says.
pub const SERVER: &str = concat!("pushctl/", env!("CARGO_PKG_VERSION"));

/// What error pages say. As long as `nginx/1.26.3`, so that the pages are as long as recorded ones.
pub const SERVER_ON_PAGES: &str = concat!(
    "pushctl v",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR")
);

/// A server that listens but does not accept yet.
#[derive(Debug)]
pub struct Server {
    generation: Generation,
    passed: Vec<InheritedSocket>,
    bound: Vec<Bound>,
    broker: Broker,
}

/// How much a server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedCounts {
    /// Locations of all servers, those inside others included.
    pub locations: usize,
    /// Addresses that are listened on.
    pub addresses: usize,
}

/// Why a server does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason} (choose another address with --listen)")]
    Bind {
        /// The address.
        address: ListenAddress,
        /// What the system says; not the source, which would be told a second time.
        reason: io::Error,
    },
    /// An address cannot be listened on before another one, which goes, is closed.
    #[error(
        "cannot listen on {address}: its port is in use by {used}, which stays open until a reload \
         has succeeded (take that out \
         and reload, then add this and reload; or restart)"
    )]
    Overlap {
        /// The address.
        address: ListenAddress,
        /// The one that has the port.
        used: ListenAddress,
    },
    /// More shards than there can be.
    #[error("{0} shards are too many: the most are {MAX_SHARDS} (--shards, or worker_processes)")]
    Shards(usize),
    /// The memory bound is too small for the events channel.
    #[error(
        "cannot create the events channel: {0} (raise --memory, or push_stream_shared_memory_size)"
    )]
    Events(#[from] CreateError),
    /// A thread or a runtime cannot be started.
    #[error("cannot start a shard: {0}")]
    Shard(#[source] io::Error),
    /// A listener is broken.
    #[error("cannot accept connections: {0}")]
    Accept(#[source] io::Error),
}

impl Server {
    /// Binds all addresses of `config`, but those for which a socket was `passed`.
    ///
    /// # Errors
    /// When an address cannot be bound or a setting is impossible.
    pub fn bind(mut config: Config, passed: Vec<InheritedSocket>) -> Result<Self, ServerError> {
        config.shards = shards_of(&config);
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
            .map(|listener| bind(listener, &config, &passed))
            .collect::<Result<Vec<_>, _>>()?;
        let numbers: Vec<_> = (0..).take(bound.len()).collect();
        Ok(Self {
            generation: Generation::new(config, &numbers, None),
            passed,
            bound,
            broker,
        })
    }

    /// The addresses, with the ports that the system chose.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn addresses(&self) -> io::Result<Vec<ListenAddress>> {
        self.bound.iter().map(Bound::address).collect()
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.generation.config.shards
    }

    /// How much it serves.
    #[must_use]
    pub fn served_counts(&self) -> ServedCounts {
        self.generation.served_counts()
    }

    /// The sockets that were passed and that no listener uses.
    pub fn unused_sockets(&self) -> impl Iterator<Item = &InheritedSocket> {
        let used = |passed: &&InheritedSocket| {
            let listeners = &self.generation.config.listeners;
            listeners.iter().any(|listener| {
                InheritedSocket::find(&self.passed, listener)
                    .is_some_and(|found| std::ptr::eq(found, *passed))
            })
        };
        self.passed.iter().filter(move |passed| !used(passed))
    }
}

/// Sets what there is once in a process: its log, and whether answers tell the version; says which
/// logs of requests cannot be opened. To be called with every configuration that becomes the
/// present one.
pub fn apply_process_settings(config: &Config) {
    error_log::apply(&config.process.error_logs);
    response::set_version_hidden(config.process.hides_version);
    http::try_access_logs(config);
}

/// Opens the address of `listener`, or takes the socket for it that was passed.
fn bind(
    listener: &config::Listener,
    config: &Config,
    passed: &[InheritedSocket],
) -> Result<Bound, ServerError> {
    let settings = &config.limits.tcp;
    let bound = match InheritedSocket::find(passed, listener) {
        Some(passed) => passed.bound(settings),
        None => Bound::bind(listener, settings),
    };
    bound.map_err(|reason| ServerError::Bind {
        address: listener.address.clone(),
        reason,
    })
}

/// The shards that a configuration asks for.
fn shards_of(config: &Config) -> usize {
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
        let end = |count: usize, one: &'static str, many: &'static str| {
            if count == 1 { one } else { many }
        };
        write!(
            f,
            "{locations} location{} on {addresses} address{}",
            end(*locations, "", "s"),
            end(*addresses, "", "es")
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

/// The name of this machine, as statistics show it.
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

/// Seconds since the Unix epoch as `2026-11-21T00:12:27`, in UTC.
#[must_use]
pub fn iso_time(unix_seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.trim_end_matches('Z').to_owned()
}
