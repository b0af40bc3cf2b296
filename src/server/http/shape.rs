//! Heads that are alike but for two places: what is in these is all that has to be looked at.

use std::ops::Range;

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
use super::head::{self, BodyLength, Parsed};
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
use crate::server::request::{Endpoints, Request};

/// Longest head that is remembered.
const MAX_HEAD_BYTES: usize = 1024;

/// Where heads that are alike may differ: two places, in their order.
pub(super) struct Places([Range<usize>; 2]);

impl Places {
    /// The places of these parts of the head at the front of `buffer`, if they are there as they
    /// are.
    pub(super) fn of(buffer: &[u8], parts: [&[u8]; 2]) -> Option<Self> {
        let [mut first, mut second] = [place(buffer, parts[0])?, place(buffer, parts[1])?];
        if second.start < first.start {
            std::mem::swap(&mut first, &mut second);
        }
        (first.end <= second.start && second.end < MAX_HEAD_BYTES).then_some(Self([first, second]))
    }
}

/// A head, and where those that are like it may differ.
pub(super) struct Shape {
    head: Box<[u8]>,
    places: [Range<usize>; 2],
}

impl Shape {
    /// The shape of a head with these places, if it is short enough to be remembered.
    pub(super) fn new(head: &[u8], Places(places): Places) -> Option<Self> {
        let is_kept = head.len() <= MAX_HEAD_BYTES && places[1].end <= head.len();
        is_kept.then(|| Self {
            head: head.into(),
            places,
        })
    }

    /// Bytes of the head.
    pub(super) fn own_bytes(&self) -> usize {
        self.head.len()
    }

    /// Bytes of what the head itself has in its first place.
    pub(super) fn first_bytes(&self) -> usize {
        self.places[0].len()
    }

    /// What is in the places of the head at the front of `buffer`, and what comes behind it, if it
    /// is like this one. A place ends where `ends` says for its number and all that begins with it.
    pub(super) fn find<'a>(
        &self,
        buffer: &'a [u8],
        ends: impl Fn(usize, &[u8]) -> usize,
    ) -> Option<([&'a [u8]; 2], &'a [u8])> {
        let [first, second] = &self.places;
        let rest = buffer.strip_prefix(&self.head[..first.start])?;
        let (one, rest) = rest.split_at_checked(ends(0, rest))?;
        let rest = rest.strip_prefix(&self.head[first.end..second.start])?;
        let (other, rest) = rest.split_at_checked(ends(1, rest))?;
        let rest = rest.strip_prefix(&self.head[second.end..])?;
        Some(([one, other], rest))
    }
}

/// Where `part` is in `whole`, if it is a part of it.
fn place(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let place = start..start.checked_add(part.len())?;
    (place.end <= whole.len()).then_some(place)
}

/// The shape of a head whose places `of` finds, for tests and fuzzing.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(super) fn of_head(
    head: &[u8],
    of: impl FnOnce(&Request<'_>, BodyLength) -> Option<Places>,
) -> Option<Shape> {
    match head::parse(head, usize::MAX, &Endpoints::default(), of) {
        Parsed::Complete(taken, _, Some(places)) => Shape::new(&head[..taken], places),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    /// Asserts that `is_alike` is false of the beginnings of `whole`,
    /// and of those where one of the first texts in it is the second instead.
    pub(in super::super) fn assert_others_differ(
        whole: &str,
        replacements: &[(&str, &str)],
        is_alike: impl Fn(&[u8]) -> bool,
    ) {
        for cut in 0..whole.len() {
            assert!(!is_alike(&whole.as_bytes()[..cut]), "{cut} bytes");
        }
        for (from, to) in replacements {
            let other = whole.replacen(from, to, 1);
            assert_ne!(other, whole);
            assert!(!is_alike(other.as_bytes()), "{from:?} -> {to:?}");
        }
    }
}
