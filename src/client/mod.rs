//! The client: publishing, subscribing and statistics over HTTP, for pushctl,
//! nginx-push-stream-module, NHPM and nchan.
//!
//! ```text
//! subscription ─ opens ─> ev | ws | lp | stream ─ bytes ─> parse ─> cursor ─ new ─> caller
//!       └ delay from retry, position from cursor
//! publish, statistics: one request each    pipeline: many messages    raw_http: sockets of `bench`
//! ```
//!
//! `cursor`, `retry` and `parse` do no I/O. All requests but those of `raw_http` and `pipeline` use
//! the HTTP stack of [`http`]. This module neither parses the command line nor prints.

mod activity;
mod cr_escape;
pub mod cursor;
pub mod dialect;
pub mod endpoint;
pub mod error;
pub mod ev;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub mod fuzzing;
pub mod http;
pub mod lp;
pub mod marks;
pub mod message;
pub mod page;
pub mod parse;
pub mod pipeline;
pub mod proxy;
pub mod publish;
pub mod raw_http;
pub mod retry;
pub mod silence;
pub mod statistics;
pub mod stream;
pub mod subscription;
pub mod unframed_info;
pub mod unix_socket;
pub mod ws;

pub use dialect::Dialect;
pub use endpoint::Endpoints;
pub use error::Error;
pub use http::Http;
pub use message::Message;
pub use subscription::{Event, Notice, Subscription};

/// Maximum size in bytes of a message and of a poll response.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Delivery mode of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Long-polling: one request per batch of messages
    Lp,
    /// WebSocket
    Ws,
    /// EventSource (server-sent events)
    Ev,
    /// One endless response
    Stream,
    /// One request per interval
    Poll,
}
