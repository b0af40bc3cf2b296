//! The broker server.

pub mod config;
