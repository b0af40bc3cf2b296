//! `pushctl`: an HTTP push broker and its command line, in one binary.
//!
//! `pushctl serve` accepts messages on channels and delivers them to subscribers over HTTP
//! streaming, polling, long-polling, EventSource and WebSocket. It is wire-compatible with
//! nginx-push-stream-module, NHPM and nchan. The other subcommands are clients of such a server, or
//! check its configuration.
//!
//! # Modules
//!
//! | module | responsibility |
//! |---|---|
//! | [`cmd`] | command line: one module per subcommand, exit codes in [`cmd::exit`] |
//! | [`client`] | publishing, following and statistics over HTTP: one file per transport |
//! | [`server`] | the broker; its own module map is in [`server`] |
//! | [`message`], [`protocol`] | message positions, HTTP dates and wire constants of both sides |
//! | `bin/pushctl` | the program: parses the arguments and returns the exit code |
//!
//! # Data flow
//!
//! The server runs one thread (*shard*) per core. A connection stays on one shard. A subscriber is
//! a *follower*: a connection with a cursor into the log of each of its channels, not a queue.
//!
//! ```text
//! publish    listener -> connection -> route -> protocol family
//!                -> broker: append to the channel's log, notify the shards that have followers
//!                -> response to the publisher
//! subscribe  listener -> connection -> route -> protocol family: channels, start, format
//!                -> shard: the connection becomes a follower
//! deliver    shard: next channel with new messages
//!                -> per follower: read the log from the cursor, encode once per format -> socket
//! client     bin -> cmd -> client: transport, cursor -> messages -> stdout
//! ```
//!
//! Stored and live messages are delivered by the same read of the log, so none is lost or repeated
//! between the two.
//!
//! # Dependencies between modules
//!
//! Imports point one way, which `tests/it/project/imports/` enforces:
//!
//! ```text
//! cmd -> client -> protocol, message          cmd::serve, cmd::check -> server
//! server: runtime -> http -> push_stream, nhpm, nchan -> endpoint -> access, fanout
//!             -> exchange, broker -> observe -> config
//! ```
//!
//! `docs/architecture.md` follows a request through these modules file by file;
//! `docs/protocol/` specifies the wire formats that comments cite.

pub mod client;
pub mod cmd;
pub mod message;
pub mod protocol;
#[cfg(test)]
mod random_numbers;
pub mod server;
