//! Blocks in a block, which are read after its other directives.

use crate::server::config::source::nginx::parser::{Block, Directive};

/// A block within a block, which the caller enters.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct InnerBlock<'t> {
    pub(in crate::server) name: &'static str,
    pub(in crate::server) directive: &'t Directive,
    pub(in crate::server) block: &'t Block,
}
