//! The broker server.

pub mod broker;
pub mod config;
pub mod dialect;
pub mod fanout;
