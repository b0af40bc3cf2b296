//! The client side: publishing, following and statistics over HTTP, against this server, the
//! original module, NHPM or nchan.
//!
//! ```text
//! subscription ─ opens ─> ev | ws | lp | stream ─ bytes ─> parse ─> Message ─ cursor: new or repeated? ─> caller
//!       └ asks retry how long to wait, cursor what to send
//! publish, statistics: one request each         pipeline: many messages     lean: the bare sockets of `bench`
//! ```
//!
//! `cursor`, `retry` and `parse` are pure. All requests but those of `lean` and `pipeline` go
//! through the one HTTP stack of [`http`]. Nothing here knows the command line or prints.

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

/// Most bytes of one message, or of one long-polling answer, that we take from a server.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// How messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Long-polling: one request per message
    Lp,
    /// WebSocket
    Ws,
    /// EventSource (server-sent events)
    Ev,
    /// One endless response
    Stream,
    /// Ask again and again
    Poll,
}
