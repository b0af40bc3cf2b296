//! Percent-decoding of arguments and header values.

use std::borrow::Cow;

/// Decodes `%XX`; everything else, including `+`, stays unchanged.
#[must_use]
pub(in crate::server) fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        match (byte, after) {
            (b'%', [high, low, after @ ..]) if digit(high).is_some() && digit(low).is_some() => {
                decoded.push(
                    (digit(high).unwrap_or_default() * 16 + digit(low).unwrap_or_default()) as u8,
                );
                rest = after;
            }
            _ => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    Cow::Owned(decoded)
}
