//! HTTP/1.x: listening, connections, requests, and which endpoint answers them.
//!
//! `listener` binds (or takes what was `passed`), `accept` takes connections, which are spread over
//! the shards; `refusal` is for those without room; `connection` runs one of them: it reads
//! requests with `head` and `body`, lets `route` find the answer (or knows it already: `habit`),
//! and hands followers to the fan-out until their subscription ends. `intake` and `output` are its
//! reads and writes.
//!
//! Responses are written here byte by byte, in nginx's order and spelling, which no HTTP library
//! offers; the parsing of heads is `httparse`'s, ordinary pages are axum's (`pages`), files are
//! read by `tower-http` (`files`), and `lists`, which may be long, are made on another thread.
//! `web` and `auth` let requests in or not, `access_log` notes them. `site` is the configuration
//! that they are served with, which a reload replaces.

mod accept;
mod access_log;
mod auth;
mod auth_request;
mod backend;
mod backend_connection;
mod balancer;
mod batches;
mod body;
mod browser_guard;
mod client_address;
mod companion;
mod connection;
mod decision;
mod files;
mod following;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub mod fuzzing;
mod habit;
mod head;
mod headers;
mod hook_response;
mod hooks;
mod inherited_socket;
mod listener;
mod lists;
mod log_entry;
mod malformed_request;
mod nchan_socket;
mod notices;
mod pace;
mod pages;
mod password;
mod peers;
mod polled;
mod proxy_request;
mod read;
mod refusal;
mod remembered;
mod repeated;
mod rewriting;
mod route;
mod sending;
mod shape;
mod site;
mod target;
mod unix_socket;
mod web;
mod write;
mod write_coalescing;

pub use access_log::reopen as reopen_access_logs;
pub(super) use access_log::{flush as flush_access_logs, try_all as try_access_logs};
pub(super) use auth::pair as basic_pair;
pub(super) use backend::Backend;
pub(super) use connection::Connection;
pub use inherited_socket::{InheritedSocket, InheritedSocketError};
pub(super) use listener::{Accepted, Bound};
pub(super) use notices::PendingNotices;
pub(super) use site::{Place, Site};
