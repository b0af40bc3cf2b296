//! The broker server.

pub mod config;
pub mod dialect;
