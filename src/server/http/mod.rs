//! HTTP/1.x: listeners, connections, requests and responses.
//!
//! The way of a request: `listen` binds addresses and accepts connections. A `connection` serves
//! requests on a shard: `h1` parses, `route` finds the location, checks access and calls the
//! endpoint, and the connection carries out the result; responses go through its `writer`. A
//! request in the `replay` cache skips `h1` and `route`. A connection with a subscription follows,
//! with its `client_input`.
//!
//! Responses are written byte by byte in nginx's order and spelling, which no HTTP library offers.
//! Heads are parsed with `httparse`, `pages` are served by axum, `static_files` are read by
//! `tower-http`, and `backend` sends requests with `hyper`.
//!
//! `listener_snapshot` is the configuration of a listener, which a reload replaces; `access_log`
//! writes log lines.

mod client_input;
mod connection;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub mod fuzzing;
pub(super) mod h1;
pub(super) mod listen;
mod lists;
mod log_entry;
mod pace;
mod pages;
mod publish_plan;
mod replay;
mod return_response;
mod rewriting;
pub(in crate::server) mod route;
mod static_files;
mod unanswered;
pub(super) mod upstream;
mod writer;

pub(super) use self::upstream::backend::BackendClient;

pub use self::listen::inherited_socket::{InheritedSocket, InheritedSocketError};
pub(super) use self::listen::listener::{Accepted, Bound};
pub(super) use self::listen::listener_snapshot::{ListenerSlot, ListenerSnapshot};
pub(super) use self::upstream::pending_notices::PendingNotices;
pub(super) use connection::Connection;
