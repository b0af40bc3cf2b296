//! Additional header lines of a response.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use bytes::{Bytes, BytesMut};

/// Additional header lines of a response, in the order in which they are sent.
///
/// They are stored as HTTP/1 lines, which are written with one copy. A clone shares them: the
/// responses of a location have the same lines.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderList(Bytes);

impl HeaderList {
    /// Appends complete lines. Nothing is copied if the list is empty or has its lines for itself.
    pub fn push_lines(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let mut own = match std::mem::take(&mut self.0).try_into_mut() {
            Ok(own) => own,
            Err(shared) => {
                let mut own = BytesMut::with_capacity(shared.len() + lines.len());
                own.extend_from_slice(&shared);
                own
            }
        };
        own.extend_from_slice(lines);
        self.0 = own.freeze();
    }

    /// The names and values of the lines, without the whitespace around them.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        pairs(&self.0)
    }

    /// Whether both are clones of one list, or have equal lines.
    pub(in crate::server) fn is_same(&self, other: &Self) -> bool {
        (self.0.as_ptr() == other.0.as_ptr() && self.0.len() == other.0.len()) || self == other
    }
}

impl Deref for HeaderList {
    type Target = [u8];

    /// The complete lines.
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HeaderList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.0.escape_ascii())
    }
}

impl From<&'static [u8]> for HeaderList {
    fn from(lines: &'static [u8]) -> Self {
        Self(Bytes::from_static(lines))
    }
}

impl<const N: usize> From<&'static [u8; N]> for HeaderList {
    fn from(lines: &'static [u8; N]) -> Self {
        Self(Bytes::from_static(lines))
    }
}

impl From<Vec<u8>> for HeaderList {
    fn from(lines: Vec<u8>) -> Self {
        Self(Bytes::from(lines))
    }
}

impl From<Cow<'static, [u8]>> for HeaderList {
    fn from(lines: Cow<'static, [u8]>) -> Self {
        match lines {
            Cow::Borrowed(lines) => Self::from(lines),
            Cow::Owned(lines) => Self::from(lines),
        }
    }
}

/// The names and values of header lines, without the whitespace around them.
pub(in crate::server) fn pairs(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// Appends `name value CRLF`. Control bytes of the value are dropped, so that it cannot add header
/// lines.
pub fn push_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let is_clean = |byte: &u8| (*byte >= b' ') | (*byte == b'\t');
    out.extend_from_slice(name);
    // A loop without an early exit is vectorised.
    if value
        .iter()
        .fold(true, |clean, byte| clean & is_clean(byte))
    {
        out.extend_from_slice(value);
    } else {
        out.extend(value.iter().filter(|byte| is_clean(byte)));
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_added_to_a_clone_are_not_in_the_original() {
        let original = HeaderList::from(b"A: 1\r\n".to_vec());
        let mut clone = original.clone();
        assert!(clone.is_same(&original));
        clone.push_lines(b"B:2 \r\n");
        assert_eq!(&original[..], b"A: 1\r\n");
        assert_eq!(&clone[..], b"A: 1\r\nB:2 \r\n");
        let pairs: Vec<_> = clone.iter().collect();
        assert_eq!(pairs, [(&b"A"[..], &b"1"[..]), (b"B", b"2")]);
    }

    #[test]
    fn a_header_value_cannot_add_a_header() {
        let mut out = Vec::new();
        push_line(
            b"Access-Control-Allow-Origin: ",
            b"a\r\nSet-Cookie: b\0",
            &mut out,
        );
        assert_eq!(out, b"Access-Control-Allow-Origin: aSet-Cookie: b\r\n");
    }
}
