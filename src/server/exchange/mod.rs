//! What every endpoint speaks: requests with their variables, responses, compression. No sockets.

pub(in crate::server) mod basic_credentials;
pub(in crate::server) mod buffer_pool;
pub mod checksum;
pub mod compression;
pub(in crate::server) mod iso_time;
pub(in crate::server) mod owned_request;
pub mod request;
pub mod response;
pub(in crate::server) mod target;
pub(in crate::server) mod variables;
