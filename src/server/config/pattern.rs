//! Which requests a location takes: exact, prefix and regular-expression patterns, and nginx's order of choice.
//!
//! Stub: to be written.

/// Captures of a regular-expression location: a copy of the matched texts.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    groups: smallvec::SmallVec<[Option<std::ops::Range<usize>>; 4]>,
}

/// The pattern of a location.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// `= /x`
    Exact(Vec<u8>),
    /// `/x` and, with `stops_regexes`, `^~ /x`
    Prefix {
        /// The prefix.
        prefix: Vec<u8>,
        /// `^~`: a regular expression is not tried when this is the longest prefix.
        stops_regexes: bool,
    },
    /// `~ re` and `~* re`
    Regex(regex::bytes::Regex),
}
