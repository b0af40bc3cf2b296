//! A server: its listeners are bound before it runs.

use std::io;
use std::num::NonZero;

use super::generation::{Generation, ServedCounts};
use crate::server::broker::{Broker, CreateError, MAX_SHARDS};
use crate::server::config::{Config, ListenAddress, Listener};
use crate::server::exchange::response;
use crate::server::http::{Bound, InheritedSocket};
use crate::server::observe::{access_log, error_log};

/// A server with bound listeners that does not accept connections yet.
#[derive(Debug)]
pub struct Server {
    pub(super) generation: Generation,
    pub(super) inherited: Vec<InheritedSocket>,
    pub(super) bound: Vec<Bound>,
    pub(super) broker: Broker,
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
    access_log::try_all(config);
}

/// Binds the address of `listener`, or takes its inherited socket.
pub(super) fn bind(
    listener: &Listener,
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
pub(super) fn shard_count(config: &Config) -> usize {
    match config.shards {
        0 => std::thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(MAX_SHARDS),
        shards => shards,
    }
}
