//! The client: publishing, subscribing and statistics over HTTP, for pushctl,
//! nginx-push-stream-module, NHPM and nchan.
//!
//! ```text
//! subscription ─ opens ─> transport ─ bytes ─> parse ─> cursor ─ new ─> caller
//!       └ delay from retry, position from cursor
//! publish, statistics: one request each    publish::pipeline: many messages
//! transport::raw_http: the sockets of `bench`
//! ```
//!
//! `cursor`, `parse` and `subscription::{retry, silence}` do no I/O. All requests but those of
//! `raw_http` and `pipeline` use the HTTP stack of [`transport::http`]. This module neither parses
//! the command line nor prints.

pub mod cursor;
pub mod dialect;
pub mod endpoint;
pub mod error;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub mod fuzzing;
pub mod message;
pub mod mode;
pub mod parse;
pub mod publish;
pub mod statistics;
pub mod subscription;
pub mod transport;
pub mod url;

pub use dialect::Dialect;
pub use endpoint::Endpoints;
pub use error::Error;
pub use message::Message;
pub use mode::Mode;
pub use subscription::{Event, Notice, Subscription};
pub use transport::http::Http;
