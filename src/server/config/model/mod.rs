//! The model: what a configuration says, whatever its source.

pub mod browsers;
pub mod clients;
pub mod compression;
pub mod defaults;
pub mod limits;
pub mod listener;
pub mod logs;
pub mod names;
pub mod nchan;
pub mod nhpm;
pub mod padding;
pub mod pattern;
pub mod proxy;
pub mod template;
pub mod tls;
pub(in crate::server) mod units;
pub mod upstream;
pub mod users;
pub mod web;
