//! Request heads that are equal except in two holes: matching one takes three comparisons of bytes
//! and the two rules that say where a hole ends.

use std::ops::Range;
use std::time::Instant;

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
use crate::server::exchange::request::{Endpoints, Request};
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
use crate::server::http::h1::{
    head::{self, ParsedHead},
    headers::BodyLength,
};

/// Longest head that is cached.
const MAX_HEAD_BYTES: usize = 1024;

/// Byte range of a head where similar heads may differ.
type Hole = Range<usize>;

/// The two holes of a head.
pub(in crate::server) struct Holes {
    /// In the order of the head.
    ranges: [Hole; 2],
    /// The second part is the first one in the head.
    is_swapped: bool,
    /// What was found out about the head is valid until this time; `None` = for ever.
    valid_until: Option<Instant>,
}

impl Holes {
    /// Returns the ranges of `parts`, which must lie in the head at the front of `buffer` (not in
    /// a decoded copy) and must not overlap.
    pub(super) fn of(buffer: &[u8], parts: [&[u8]; 2]) -> Option<Self> {
        let [mut first, mut second] =
            [find_range(buffer, parts[0])?, find_range(buffer, parts[1])?];
        let is_swapped = second.start < first.start;
        if is_swapped {
            std::mem::swap(&mut first, &mut second);
        }
        let fits = first.end <= second.start && second.end < MAX_HEAD_BYTES;
        fits.then_some(Self {
            ranges: [first, second],
            is_swapped,
            valid_until: None,
        })
    }

    /// Limits the time for which heads match.
    pub(super) fn until(self, valid_until: Option<Instant>) -> Self {
        Self {
            valid_until,
            ..self
        }
    }
}

/// A head with its two holes.
pub(in crate::server) struct HeadTemplate {
    head: Box<[u8]>,
    holes: Holes,
}

/// A head that matches a template.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct TemplateMatch<'a> {
    /// Contents of the holes, in the order in which [`Holes::of`] got them.
    pub(in crate::server) parts: [&'a [u8]; 2],
    /// The bytes after the head.
    pub(in crate::server) rest: &'a [u8],
}

impl HeadTemplate {
    /// Copies a head with these holes; `None` if it is too long to be cached.
    pub(super) fn new(head: &[u8], holes: Holes) -> Option<Self> {
        let fits = head.len() <= MAX_HEAD_BYTES && holes.ranges[1].end <= head.len();
        fits.then(|| Self {
            head: head.into(),
            holes,
        })
    }

    /// Bytes of heap memory.
    pub(super) fn own_bytes(&self) -> usize {
        self.head.len()
    }

    /// Matches the head at the front of `buffer`; after the time of the template nothing matches.
    /// `part_length` gets the number of a part (0 or 1) and the bytes from its start, and returns
    /// its length.
    // Inlined, it costs 50 of 7,900 instructions per publish less (callgrind).
    #[inline]
    pub(super) fn match_head<'a>(
        &self,
        buffer: &'a [u8],
        part_length: impl Fn(usize, &[u8]) -> usize,
    ) -> Option<TemplateMatch<'a>> {
        let Holes {
            ranges,
            is_swapped,
            valid_until,
        } = &self.holes;
        if valid_until.is_some_and(|until| until <= Instant::now()) {
            return None;
        }
        let [first, second] = ranges;
        let numbers = if *is_swapped { [1, 0] } else { [0, 1] };
        let rest = buffer.strip_prefix(&self.head[..first.start])?;
        let (first_part, rest) = rest.split_at_checked(part_length(numbers[0], rest))?;
        let rest = rest.strip_prefix(&self.head[first.end..second.start])?;
        let (second_part, rest) = rest.split_at_checked(part_length(numbers[1], rest))?;
        let rest = rest.strip_prefix(&self.head[second.end..])?;
        let parts = if *is_swapped {
            [second_part, first_part]
        } else {
            [first_part, second_part]
        };
        Some(TemplateMatch { parts, rest })
    }
}

/// Returns the range of `part` in `whole`, if it is a subslice of it.
fn find_range(whole: &[u8], part: &[u8]) -> Option<Hole> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let range = start..start.checked_add(part.len())?;
    (range.end <= whole.len()).then_some(range)
}

/// Makes the template of a head with the holes that `find_holes` returns, for tests and fuzzing.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(in crate::server) fn template_of(
    head: &[u8],
    find_holes: impl FnOnce(&Request<'_>, BodyLength) -> Option<Holes>,
) -> Option<HeadTemplate> {
    match head::parse(head, usize::MAX, &Endpoints::default(), find_holes) {
        ParsedHead::Complete(taken, _, Some(holes)) => HeadTemplate::new(&head[..taken], holes),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    /// Asserts that `matches` is false for every proper prefix of `whole`, and for `whole` with
    /// the first text of each pair replaced by the second.
    pub(in crate::server::http::replay) fn assert_others_differ(
        whole: &str,
        replacements: &[(&str, &str)],
        matches: impl Fn(&[u8]) -> bool,
    ) {
        for cut in 0..whole.len() {
            assert!(!matches(&whole.as_bytes()[..cut]), "{cut} bytes");
        }
        for (from, to) in replacements {
            let other = whole.replacen(from, to, 1);
            assert_ne!(other, whole);
            assert!(!matches(other.as_bytes()), "{from:?} -> {to:?}");
        }
    }
}
