//! The broker server: binds its listeners, runs its shards, reloads its configuration.
//!
//! A shard is a thread with the connections that were assigned to it. Publishing appends to the
//! log of a channel in the broker, which all shards share; each shard delivers to its own
//! subscribers. The folders are layers: each uses only those below it.
//!
//! | folder | responsibility |
//! |---|---|
//! | [`runtime`] | main loop, reload, threads of the shards, connection limits |
//! | `http` | listeners, HTTP/1.x connections, routing, static files, back-ends |
//! | [`push_stream`], [`nhpm`], [`nchan`] | protocol families: from a request to a response |
//! | [`endpoint`] | what the endpoints of all families share |
//! | [`access`] | who may send a request to a location |
//! | [`fanout`] | shards, followers, delivery rounds, deadlines, sockets |
//! | [`exchange`] | requests with their variables, responses, compression |
//! | [`broker`] | channels, logs, memory and other limits, expiry, counters |
//! | [`journal`] | a log of records in files that survives crashes; no engine uses it yet |
//! | [`observe`] | logs of errors and requests |
//! | [`config`] | the configuration and its sources: built-in, nginx.conf, TOML |
//!
//! | to change | start in |
//! |---|---|
//! | a directive | `config::source::nginx::directives` |
//! | a subscriber mode | [`push_stream::subscribe`] |
//! | a protocol family | [`endpoint`] |
//! | memory bounds | `broker::memory` |
//!
//! The steps are in docs/architecture.md, also those for another HTTP version.

pub mod access;
pub mod broker;
pub mod config;
pub mod endpoint;
pub mod exchange;
pub mod fanout;
mod http;
pub mod journal;
pub mod nchan;
pub mod nhpm;
pub mod observe;
pub mod push_stream;
pub mod runtime;

#[cfg(any(fuzzing, feature = "fuzzing"))]
pub use http::fuzzing;
pub use http::{InheritedSocket, InheritedSocketError};
pub use observe::access_log::reopen as reopen_access_logs;
pub use runtime::generation::ServedCounts;
pub use runtime::running::{Command, NeedsRestart, Reloaded, StopKind};
pub use runtime::server::{Server, ServerError, apply_process_settings};
