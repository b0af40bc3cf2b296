//! The configuration as a whole: addresses, virtual servers, settings of process and broker.

pub mod listener;
pub mod names;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::server::config::{
    BrowserAccess, Captures, ConnectionLimits, EngineChoice, ErrorLog, Listener, Location,
    LocationSettings, Locations, RewriteStep, ServerName,
};

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The listening addresses with their servers; never empty.
    pub listeners: Vec<Listener>,
    /// Number of shards (threads that hold connections); 0 = one per core.
    pub shards: usize,
    /// Limits on connections and on requests to back-ends.
    pub limits: ConnectionLimits,
    /// Settings of the broker, shared by all locations.
    pub broker: BrokerSettings,
    /// Process-wide settings.
    pub process: ProcessSettings,
}

/// Process-wide settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// `server_tokens off` on any level: responses do not show the version.
    pub hides_version: bool,
    /// `error_log`; empty = stderr.
    pub error_logs: Vec<ErrorLog>,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// A `server` block: names and locations.
#[derive(Debug, Default)]
pub struct VirtualServer {
    /// Names to match with the `Host` header; empty = requests without that header.
    pub names: Vec<ServerName>,
    /// Locations, in the order of the file; see [`VirtualServer::locate`].
    pub locations: Locations,
    /// Serves the welcome page, as the built-in configuration does.
    pub welcome: bool,
    /// Restrictions on requests of web pages; `None` = only those of the configuration, as in
    /// nginx.
    pub browser_access: Option<Arc<BrowserAccess>>,
    /// `set`, `if` and `return` on server level, which run before a location is chosen.
    pub steps: Vec<RewriteStep>,
    /// Settings of requests that match no location.
    pub settings: Arc<LocationSettings>,
    /// `underscores_in_headers on`: `$http_a_b` is also the header `A_B`.
    pub has_underscores: bool,
    /// `merge_slashes off`: `//` in paths is kept.
    pub keeps_slashes: bool,
}

/// How messages, channels and subscribers are charged to the memory limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryAccounting {
    /// By the memory that they take in this process: the limit bounds the process.
    #[default]
    Process,
    /// By at most the shared memory that they take in the modules, so that a size chosen for nginx
    /// is sufficient here. The smallest objects take up to 4 times as much in this process.
    SharedMemory,
}

/// Settings of the broker (push-stream.md, section 15, context H).
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// `shared_memory_size` in bytes: limit for messages, channels and subscribers together, and
    /// for connections unless `connection_memory` is set.
    pub shared_memory_size: u64,
    /// How they are charged.
    pub memory_accounting: MemoryAccounting,
    /// Memory limit for connections and their unsent output in bytes; `None` = part of
    /// `shared_memory_size`.
    pub connection_memory: Option<u64>,
    /// `channel_deleted_message_text`
    pub channel_deleted_message_text: Bytes,
    /// `channel_inactivity_time`
    pub channel_inactivity_time: Duration,
    /// `ping_message_text`
    pub ping_message_text: Bytes,
    /// `timeout_with_body`
    pub timeout_with_body: bool,
    /// `message_ttl`
    pub message_ttl: Duration,
    /// `max_subscribers_per_channel`; `None` = unlimited.
    pub max_subscribers_per_channel: Option<u64>,
    /// `max_messages_stored_per_channel`; `None` = unlimited.
    pub max_messages_stored_per_channel: Option<u64>,
    /// `max_channel_id_length` in bytes; `None` = unlimited.
    pub max_channel_id_length: Option<u64>,
    /// `max_number_of_channels`; `None` = unlimited.
    pub max_number_of_channels: Option<u64>,
    /// `max_number_of_wildcard_channels`; `None` = unlimited.
    pub max_number_of_wildcard_channels: Option<u64>,
    /// `wildcard_channel_prefix`; empty = no wildcard channels.
    pub wildcard_channel_prefix: Bytes,
    /// `events_channel_id`; empty = no events channel.
    pub events_channel_id: Bytes,
    /// Positions are greater than those of an earlier run of the server, even one that ended in the
    /// same second. Off as in the module, where the tags of every second start at 1.
    pub separates_runs: bool,
    /// Maximum number of publishes that the engine has not acknowledged; further ones get 503.
    pub max_pending_publishes: u64,
    /// Maximum time for the acknowledgement of a publish; then the publisher gets 503.
    pub publish_timeout: Duration,
    /// The engine.
    pub engine: EngineChoice,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl VirtualServer {
    /// Finds the location for the normalised `path`, with the captures of its regular expression;
    /// `None` = no location matches.
    #[must_use]
    pub fn locate(&self, path: &[u8]) -> Option<(&Location, Option<Captures>)> {
        self.locations
            .locate(path)
            .map(|found| (found.location, found.captures))
    }
}
