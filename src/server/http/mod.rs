//! HTTP/1.x: listeners, connections, requests and responses.
//!
//! The way of a request: `listener` binds an address (or uses an `inherited_socket`), `accept`
//! accepts connections, and `overload` rejects those without room. A `connection` serves `requests`
//! on a shard: `head` and `chunked_body` parse, `route` finds the location by `rewriting`, checks
//! `access`, and calls the endpoint; `perform` carries out the result. A request in the `replay`
//! cache skips all of that. `following` runs the connection while it has a subscription. `read` and
//! `write` are the input and output of requests.
//!
//! Responses are written byte by byte in nginx's order and spelling, which no HTTP library offers.
//! Heads are parsed with `httparse`, `pages` are served by axum, `static_files` are read by
//! `tower-http`, and `backend` sends requests with `hyper`.
//!
//! `listener_snapshot` is the configuration of a listener, which a reload replaces; `access_log`
//! writes log lines.

mod accept;
mod access;
mod access_log;
mod auth_request;
mod backend;
mod backend_connection;
mod backend_request;
mod balancer;
mod basic_auth;
mod batches;
mod browser_guard;
mod chunked_body;
mod client_address;
mod connection;
mod following;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub mod fuzzing;
mod head;
mod headers;
mod hook_response;
mod hooks;
mod inherited_socket;
mod listener;
mod listener_snapshot;
mod lists;
mod live_hooks;
mod log_entry;
mod malformed_request;
mod message_hook;
mod nchan_socket;
mod notices;
mod overload;
mod pace;
mod pages;
mod password;
mod peers;
mod pending_check;
mod perform;
mod proxy_pass;
mod proxy_request;
mod read;
mod replay;
mod requests;
mod rerouting;
mod return_response;
mod rewriting;
mod route;
mod static_files;
mod target;
mod unix_socket;
mod write;
mod write_coalescing;

pub use access_log::reopen as reopen_access_logs;
pub(super) use access_log::{flush as flush_access_logs, try_all as try_access_logs};
pub(super) use backend::BackendClient;
pub(super) use basic_auth::decode_pair as decode_basic_pair;
pub(super) use connection::Connection;
pub use inherited_socket::{InheritedSocket, InheritedSocketError};
pub(super) use listener::{Accepted, Bound};
pub(super) use listener_snapshot::{ListenerSlot, ListenerSnapshot};
pub(super) use notices::PendingNotices;
