//! Listeners: addresses, inherited sockets, accepting connections, and the configuration that they
//! serve, which a reload replaces.

pub(in crate::server) mod accept;
pub(in crate::server) mod inherited_socket;
pub(in crate::server) mod listener;
pub(in crate::server) mod listener_snapshot;
pub(in crate::server) mod location_index;
pub(in crate::server) mod overload;
pub(in crate::server) mod unix_socket;
