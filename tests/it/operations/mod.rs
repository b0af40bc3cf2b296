//! Operations: sockets, systemd, reloads, shutdown, channel statistics, and isolation of panics.

mod channel_lists;
mod panic_isolation;
mod reload;
mod reload_listeners;
mod reload_subscriber;
mod reload_under_load;
mod shutdown;
mod systemd;
mod unix_sockets;
