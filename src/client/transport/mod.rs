//! Requests and connections: the HTTP stack, one file per delivery mode, and the raw sockets of
//! `bench`. [`super::subscription`] selects the mode and reconnects.

mod activity;
mod cr_escape;
pub mod ev;
pub mod http;
pub mod lp;
pub mod page;
pub mod raw_http;
pub mod stream;
pub mod ws;
