//! The sources of a configuration: built-in, nginx.conf and TOML. Each makes the same model.

pub mod builtin;
pub mod nginx;
pub mod toml;
