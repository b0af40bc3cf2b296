//! `pushctl`: an HTTP push broker and the tools around it, in one binary.
//!
//! Two flows make up the program:
//!
//! ```text
//! publish    listener -> connection -> location -> publisher -> broker: append to the channel's log -> channel info
//!                                                                \-> the channel has news for every shard that follows it
//! deliver    shard: next channel with news -> each follower: log from its cursor to the head, encoded once -> socket
//! subscribe  listener -> connection -> location -> subscriber: channels, cursor, format, deadline
//!                     -> shard: the connection is a follower now; backlog and live messages are the same read of the log
//! cli        bin -> cmd -> client (transport and cursor) -> messages -> stdout
//! ```
//!
//! Where to find what:
//!
//! | module | what it holds |
//! |---|---|
//! | [`message`], [`protocol`] | the vocabulary and wire constants that client and server share, and nothing else |
//! | [`cmd`] | one file per subcommand; exit codes are in `cmd::exit` alone |
//! | [`client`] | one file per transport; the cursor and the back-off are pure |
//! | [`server::config`] | one model of typed locations; its sources are the built-in one and nginx.conf |
//! | [`server::broker`] | channels, their logs, limits, life cycle, counters; knows no HTTP |
//! | [`server::fanout`] | shards, followers, rounds, deadlines; knows bytes and sockets, not what they mean |
//! | [`server::dialect`] | statuses, spellings, bodies and cursor syntax of a protocol family |
//! | [`server::publisher`], [`server::subscriber`], [`server::statistics`] | what a request asks for and what it gets |
//! | `server::http` | listening, HTTP/1.x connections, routing |
//!
//! Imports point one way:
//! `http -> {publisher, subscriber, statistics} -> {dialect, broker, fanout}`,
//! `fanout -> broker -> message`; a test holds this.

pub mod client;
pub mod cmd;
pub mod message;
pub mod protocol;
pub mod server;
