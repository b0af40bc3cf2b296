//! The sources of a configuration: built-in, nginx.conf and TOML. Each makes the same model.

pub mod builtin;
mod diagnostics;
mod file;
mod front_enforces;
pub mod nginx;
#[cfg(test)]
mod tests;
pub mod toml;

pub use diagnostics::{
    Diagnostic, DirectiveSupport, ImportOptions, InvalidConfig, LoadedConfig, Support,
};
pub use file::{front, load, parse, reload, to_toml};
pub use front_enforces::FrontEnforces;
