//! Access: who may send a request to a location.
//!
//! `rules` are nginx's: addresses, passwords (`basic_auth`, `password`), subrequests.
//! `browser_guard` protects the built-in locations from pages of other origins. `client_address`
//! finds the client behind a proxy.

pub(in crate::server) mod basic_auth;
pub(in crate::server) mod browser_guard;
pub(in crate::server) mod client_address;
pub mod grant;
pub(in crate::server) mod host_names;
pub(in crate::server) mod password;
pub(in crate::server) mod rules;
