//! HTTP/1.x: listening, connections, requests, and which endpoint answers them.
//!
//! `listener` binds, `accept` takes connections, which are spread over the shards; `refusal` is for those without room; `connection` runs one of them: it reads requests with
//! `head` and `body`, lets `route` find the answer, and hands followers to the fan-out until their subscription ends.
//! Responses are written here byte by byte, in nginx's order and spelling, which no HTTP library offers; the parsing of
//! heads is `httparse`'s, and ordinary pages are axum's (`pages`).

mod accept;
mod batches;
mod body;
mod connection;
mod following;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head;
mod intake;
mod listener;
mod pages;
mod refusal;
mod route;

pub(super) use connection::{Connection, Site};
pub(super) use listener::{Accepted, Bound};
