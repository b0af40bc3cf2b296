//! Options about memory.

use super::size;
use crate::server::config::{BrokerSettings, MemoryAccounting};

/// How much memory the server may use.
#[derive(Debug, clap::Args)]
pub(super) struct MemoryOptions {
    /// Memory for messages, channels, subscribers and connections together [default: 512m]
    ///
    /// When it is used up, publishing and subscribing are answered with 500 until there is room
    /// again. Connections that do not subscribe may go beyond it by a sixteenth (at least 1m), so
    /// that statistics can be read and channels deleted. Requests that are coming in may take half
    /// as much, and at least 8m. Replaces the size of shared memory of a configuration, which is
    /// counted as nginx counts it and does not include connections.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Memory for connections and what waits for their sockets, apart from --memory [default: part
    /// of --memory; 256m where a configuration sets a size of shared memory]
    ///
    /// A connection takes 1.2 KiB while it follows, 2.2 KiB otherwise. When it is used up, further
    /// ones are answered with 503, and subscribers that do not accept what is sent to them are
    /// dropped.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    connection_memory: Option<u64>,
}

impl MemoryOptions {
    /// Puts what was given in the place of what the configuration says.
    pub(super) fn apply(&self, broker: &mut BrokerSettings) {
        if let Some(memory) = self.memory {
            broker.shared_memory_size = memory;
            broker.memory_accounting = MemoryAccounting::Process;
            broker.connection_memory = None;
        }
        broker.connection_memory = self.connection_memory.or(broker.connection_memory);
    }
}
