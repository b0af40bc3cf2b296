//! Additional headers of a response.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// Additional headers of a response, in the order in which they are sent.
///
/// They are stored as HTTP/1 lines, which are written with one copy. A clone shares them: the
/// responses of a location have the same headers.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct HeaderList(Bytes);

/// Makes a list of headers.
#[derive(Debug, Default)]
pub struct HeaderListBuilder(Vec<u8>);

/// Creates a list of constant headers.
macro_rules! header_list {
    ($($name:literal: $value:literal),+ $(,)?) => {
        $crate::server::exchange::response::HeaderList::of_static_lines(
            concat!($($name, ": ", $value, "\r\n"),+)
        )
    };
}
pub(in crate::server) use header_list;

impl HeaderList {
    /// The list of complete lines; for [`header_list!`].
    #[must_use]
    pub(in crate::server) const fn of_static_lines(lines: &'static str) -> Self {
        Self(Bytes::from_static(lines.as_bytes()))
    }

    /// Creates a list of one header.
    #[must_use]
    pub fn of(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let mut list = HeaderListBuilder::default();
        list.push(name, value);
        list.build()
    }

    /// Joins lists.
    #[must_use]
    pub fn concat(lists: &[&Self]) -> Self {
        let mut joined = Self::default();
        let mut others = lists.iter().filter(|list| !list.is_empty());
        if let Some(first) = others.next() {
            joined = (*first).clone();
        }
        let rest: usize = others.clone().map(|list| list.byte_len()).sum();
        if rest == 0 {
            return joined;
        }
        let mut all = Vec::with_capacity(joined.byte_len() + rest);
        all.extend_from_slice(&joined.0);
        others.for_each(|list| all.extend_from_slice(&list.0));
        Self(all.into())
    }

    /// Appends headers. Nothing is copied if this list is empty or not shared.
    pub fn extend(&mut self, more: &Self) {
        if more.is_empty() {
            return;
        }
        if self.is_empty() {
            self.0 = more.0.clone();
            return;
        }
        let mut own = match std::mem::take(&mut self.0).try_into_mut() {
            Ok(own) => own,
            Err(shared) => {
                let mut own = BytesMut::with_capacity(shared.len() + more.byte_len());
                own.extend_from_slice(&shared);
                own
            }
        };
        own.extend_from_slice(&more.0);
        self.0 = own.freeze();
    }

    /// Whether there are no headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of memory.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        header_pairs(&self.0)
    }

    /// The value of the first header with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The headers as HTTP/1 sends them.
    pub(in crate::server) fn as_lines(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are clones of one list, or have equal headers.
    pub(in crate::server) fn is_same(&self, other: &Self) -> bool {
        (self.0.as_ptr() == other.0.as_ptr() && self.0.len() == other.0.len()) || self == other
    }
}

impl HeaderListBuilder {
    /// Room for the headers of most lists.
    const USUAL_BYTES: usize = 128;

    /// Creates an empty list with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Appends a header. Control bytes of the value are dropped, so that it cannot add headers.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.push_name(name.as_ref());
        push_value(value.as_ref(), &mut self.0);
    }

    /// Appends a header with a value that has no control bytes.
    pub fn push_display(&mut self, name: impl AsRef<[u8]>, value: impl fmt::Display) {
        use std::io::Write;
        self.push_name(name.as_ref());
        // Writing to a Vec cannot fail.
        drop(write!(self.0, "{value}\r\n"));
    }

    /// Appends headers.
    pub fn extend(&mut self, more: &HeaderList) {
        self.0.extend_from_slice(&more.0);
    }

    /// Returns the list.
    #[must_use]
    pub fn build(self) -> HeaderList {
        HeaderList(self.0.into())
    }

    fn push_name(&mut self, name: &[u8]) {
        if self.0.capacity() == 0 {
            self.0.reserve(Self::USUAL_BYTES);
        }
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(b": ");
    }
}

impl From<&HeaderList> for HeaderList {
    fn from(list: &HeaderList) -> Self {
        list.clone()
    }
}

impl fmt::Debug for HeaderList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.0.escape_ascii())
    }
}

/// The names and values of header lines, without the whitespace around them.
pub(in crate::server) fn header_pairs(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// Appends `name value CRLF`. Control bytes of the value are dropped, so that it cannot add header
/// lines.
pub fn push_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    push_value(value, out);
}

fn push_value(value: &[u8], out: &mut Vec<u8>) {
    let is_clean = |byte: &u8| (*byte >= b' ') | (*byte == b'\t');
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
    fn headers_that_are_added_to_a_clone_are_not_in_the_original() {
        let original = HeaderList::of("A", "1");
        let mut clone = original.clone();
        assert!(clone.is_same(&original));
        clone.extend(&header_list!("B": "2 "));
        assert_eq!(original.as_lines(), b"A: 1\r\n");
        assert_eq!(clone.as_lines(), b"A: 1\r\nB: 2 \r\n");
        let pairs: Vec<_> = clone.iter().collect();
        assert_eq!(pairs, [(&b"A"[..], &b"1"[..]), (b"B", b"2")]);
        assert_eq!(clone.get("b"), Some(&b"2"[..]));
        assert_eq!(clone.get("c"), None);
    }

    #[test]
    fn joined_lists_keep_their_order_and_a_single_one_is_shared() {
        let [one, two] = [HeaderList::of("A", "1"), header_list!("B": "2", "C": "3")];
        let none = HeaderList::default();
        assert!(HeaderList::concat(&[&none, &two, &none]).is_same(&two));
        assert!(HeaderList::concat(&[&none]).is_empty());
        let all = HeaderList::concat(&[&one, &none, &two]);
        assert_eq!(all.as_lines(), b"A: 1\r\nB: 2\r\nC: 3\r\n");
    }

    #[test]
    fn a_header_value_cannot_add_a_header() {
        let list = HeaderList::of("Access-Control-Allow-Origin", "a\r\nSet-Cookie: b\0");
        assert_eq!(
            list.as_lines(),
            b"Access-Control-Allow-Origin: aSet-Cookie: b\r\n"
        );
    }
}
