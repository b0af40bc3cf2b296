//! Reads an nginx.conf (push-stream.md, sections 15 to 17).
//!
//! `parser` builds a tree of directives; `files` resolves `include`. `build` turns the tree into a
//! [`Config`](crate::server::config::Config) with `blocks`, `locations`, `listeners`, `upstreams`
//! and `timeouts`. The rules of the directives are in `directives` and in the files of their
//! subjects, such as `push_stream`, `nhpm`, `nchan`, `web` and `gzip`; `levels` and `push_levels`
//! hold the settings of a block and inherit them; `checks` and `hooks` check the result. `classes`
//! and `ignored` classify directives without a rule: those that may restrict access are `guards`,
//! others become notices.
//!
//! `front` writes the nginx.conf for an nginx in
//! front of pushctl.

pub(super) mod build;
mod channel_directive;
mod charset;
pub(in crate::server::config::source) mod classes;
pub(in crate::server::config::source) mod conditions;
mod connection;
pub(in crate::server::config::source) mod directives;
pub(in crate::server::config::source) mod files;
pub(super) mod front;
mod guard_directive;
mod guard_rules;
mod gzip;
pub(super) mod hints;
mod ignored;
mod levels;
mod listen;
mod logs;
pub(in crate::server::config::source) mod names;
mod nchan;
mod nchan_unsupported;
mod nhpm;
pub(in crate::server::config::source) mod parser;
pub(in crate::server::config::source) mod proxy;
mod push_levels;
mod push_stream;
pub(super) mod report;
pub(in crate::server::config::source) mod rewriting;
pub(in crate::server::config::source) mod rule;
mod web;

/// Names of all known directives, supported or not.
pub fn directive_names() -> impl Iterator<Item = &'static str> {
    directives::names().chain(classes::names())
}

/// Names of the blocks in which a directive is allowed; `None` for an unsupported directive.
#[must_use]
pub fn directive_blocks(name: &str) -> Option<Vec<&'static str>> {
    directives::rule_with_hooks(name).map(directives::blocks_of)
}
