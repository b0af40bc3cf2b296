//! The servers of a configuration as `pushctl check` lists them.

use std::sync::Arc;

use crate::server::config::{Config, ListenAddress, VirtualServer};

/// The servers of a configuration without duplicates, each with its addresses.
pub(super) fn servers(config: &Config) -> Vec<(Arc<VirtualServer>, Vec<String>)> {
    let mut all: Vec<(Arc<VirtualServer>, Vec<String>)> = Vec::new();
    let mut add = |server: &Arc<VirtualServer>, listen: String| match all
        .iter_mut()
        .find(|(known, _)| Arc::ptr_eq(known, server))
    {
        Some((_, listens)) => listens.push(listen),
        None => all.push((Arc::clone(server), vec![listen])),
    };
    for listener in &config.listeners {
        let shown = match &listener.address {
            ListenAddress::Tcp(address) => address.to_string(),
            ListenAddress::Unix(path) => format!("unix:{}", path.display()),
        };
        listener
            .servers
            .iter()
            .for_each(|server| add(server, shown.clone()));
        for (address, servers) in &listener.overrides {
            let port = shown.rsplit(':').next().unwrap_or_default();
            let shown = if address.is_ipv6() {
                format!("[{address}]:{port}")
            } else {
                format!("{address}:{port}")
            };
            servers.iter().for_each(|server| add(server, shown.clone()));
        }
    }
    all
}
