//! `pushctl`: an HTTP push broker and the tools around it.

pub mod client;
pub mod cmd;
pub mod message;
pub mod protocol;
pub mod server;
