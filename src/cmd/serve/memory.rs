//! Limits on the memory of the server.

use super::values::memory_size;
use crate::server::config::{BrokerSettings, MemoryAccounting};

/// Options about memory.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits and memory")]
pub(super) struct MemoryOptions {
    /// Maximum memory of the server [default: 512m]
    ///
    /// Covers messages, channels, subscribers and connections. When it is exhausted, publishing and
    /// subscribing get 500 until memory is free again. Connections without a subscription may
    /// exceed it by a sixteenth (at least 1m), so that statistics can be read and channels deleted.
    /// Incoming requests may use another half of it, at least 8m. Replaces the size of shared
    /// memory in a configuration, which is counted as nginx counts it and excludes connections.
    #[arg(long, value_name = "SIZE", value_parser = memory_size)]
    memory: Option<u64>,
    /// Separate memory limit for connections [default: part of --memory]
    ///
    /// Covers connections and data that waits for their sockets. A subscribed connection takes 1.2
    /// KiB, another one 2.2 KiB. When it is exhausted, new connections get 503, and subscribers
    /// that do not accept their data are disconnected. [default with a configuration that sets a
    /// size of shared memory: 256m]
    #[arg(long, value_name = "SIZE", value_parser = memory_size, hide_short_help = true)]
    connection_memory: Option<u64>,
}

impl MemoryOptions {
    /// Overrides the settings of the configuration.
    pub(super) fn apply(&self, broker: &mut BrokerSettings) {
        if let Some(memory) = self.memory {
            broker.shared_memory_size = memory;
            broker.memory_accounting = MemoryAccounting::Process;
            broker.connection_memory = None;
        }
        broker.connection_memory = self.connection_memory.or(broker.connection_memory);
    }
}
