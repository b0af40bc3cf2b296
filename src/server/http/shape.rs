//! Heads that are alike but for two places: what is in these is all that has to be looked at.

use std::ops::Range;

#[cfg(test)]
use super::head::{self, Parsed};
#[cfg(test)]
use crate::server::request::{Endpoints, Request};

/// Longest head that is remembered.
pub(super) const MAX_HEAD_BYTES: usize = 1024;

/// A head, and what may be something else in those that are like it.
#[derive(Default)]
pub(super) struct Shape {
    head: Box<[u8]>,
    /// The two places, in their order.
    places: [Range<usize>; 2],
}

impl Shape {
    /// The shape of a request at the front of `buffer`, without its head, if these parts of it are there as they are.
    pub(super) fn of(buffer: &[u8], parts: [&[u8]; 2]) -> Option<Box<Self>> {
        let [mut first, mut second] = [place(buffer, parts[0])?, place(buffer, parts[1])?];
        if second.start < first.start {
            std::mem::swap(&mut first, &mut second);
        }
        (first.end <= second.start && second.end < MAX_HEAD_BYTES).then(|| Box::new(Self { head: Box::default(), places: [first, second] }))
    }

    /// Keeps the head that it is the shape of.
    pub(super) fn keep(&mut self, head: &[u8]) {
        self.head = head.into();
    }

    /// Bytes of the head.
    pub(super) fn own_bytes(&self) -> usize {
        self.head.len()
    }

    /// Bytes of what the head itself has in its first place.
    pub(super) fn first_bytes(&self) -> usize {
        self.places[0].len()
    }

    /// What is in the places of the head at the front of `buffer`, and what comes behind it, if it is like this one. A place ends
    /// where `ends` says for its number and all that begins with it.
    pub(super) fn find<'a>(&self, buffer: &'a [u8], ends: impl Fn(usize, &[u8]) -> usize) -> Option<([&'a [u8]; 2], &'a [u8])> {
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

/// For tests: the shape that `of` finds in a head, with it.
#[cfg(test)]
pub(super) fn kept(head: &[u8], of: impl FnOnce(&[u8], &Request<'_>) -> Option<Box<Shape>>) -> Option<Box<Shape>> {
    match head::parse(head, 4096, &Endpoints::default(), |request, _| of(head, request)) {
        Parsed::Complete(taken, _, Some(mut shape)) => {
            shape.keep(&head[..taken]);
            Some(shape)
        }
        _ => None,
    }
}
