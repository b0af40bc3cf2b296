//! Percent-decoding. What a place does with an invalid escape is its own: most keep it, as
//! `percent_decode` does; nginx and the modules reject, drop or cut it off elsewhere, and decode
//! with `escaped_byte`.

use std::borrow::Cow;

/// Decodes `%XX`; everything else, including `+`, stays unchanged.
#[must_use]
pub fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(text).into()
}

/// A byte that was escaped, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct EscapedByte<'a> {
    pub(in crate::server) byte: u8,
    pub(in crate::server) rest: &'a [u8],
}

/// Decodes the two digits behind a `%`; `None` if the escape is invalid.
#[must_use]
pub(in crate::server) fn escaped_byte(text: &[u8]) -> Option<EscapedByte<'_>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let [high, low, rest @ ..] = text else {
        return None;
    };
    let byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    Some(EscapedByte { byte, rest })
}
