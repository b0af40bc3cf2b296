//! TOML: converted from and to the directives of an nginx.conf, so that both have one meaning.

pub(in crate::server) mod from_toml;
pub(in crate::server) mod to_toml;
