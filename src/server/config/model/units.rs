//! Parses numbers, sizes and times as nginx does (push-stream.md, section 17:
//! units).

use std::time::Duration;

/// Parses a whole number without sign or unit.
pub(in crate::server) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Parses a number of bytes with the unit `k`, `m` or, for offsets such as `client_max_body_size`,
/// `g`.
pub(in crate::server) fn size(text: &[u8], giga: bool) -> Option<u64> {
    let (digits, unit) = match text {
        [digits @ .., b'k' | b'K'] => (digits, 1 << 10),
        [digits @ .., b'm' | b'M'] => (digits, 1 << 20),
        [digits @ .., b'g' | b'G'] if giga => (digits, 1 << 30),
        digits => (digits, 1),
    };
    number(digits)?.checked_mul(unit)
}

/// Units of time, the largest first: the order in which they may be combined.
const TIME_UNITS: [(&[u8], u64); 8] = [
    (b"y", 365 * 86_400_000),
    (b"M", 30 * 86_400_000),
    (b"w", 7 * 86_400_000),
    (b"d", 86_400_000),
    (b"h", 3_600_000),
    (b"m", 60_000),
    (b"s", 1000),
    (b"ms", 1),
];
/// Maximum time in milliseconds, a thousand years: a deadline this far away can still be computed.
const LONGEST: u64 = 1000 * 365 * 86_400_000;
/// Index of seconds in [`TIME_UNITS`]: the unit of a number without one.
const SECONDS: usize = 6;

/// Parses a time such as `90`, `1m30s` or `1m 30s`; `ms` only if the directive has that resolution.
pub(in crate::server) fn time(text: &[u8], milliseconds: bool) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut next_unit = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let letters = rest[digits..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        let value = number(&rest[..digits])?;
        let unit = &rest[digits..digits + letters];
        let place = match TIME_UNITS.iter().position(|(name, _)| *name == unit) {
            None if unit.is_empty() => SECONDS,
            place => place?,
        };
        if place < next_unit || (place > SECONDS && !milliseconds) {
            return None;
        }
        next_unit = place + 1;
        total = total.checked_add(value.checked_mul(TIME_UNITS[place].1)?)?;
        rest = &rest[digits + letters..];
        rest = &rest[rest.iter().take_while(|byte| **byte == b' ').count()..];
    }
    (total <= LONGEST).then(|| Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let cases = [
            ("0", Some(0)),
            ("127k", Some(130_048)),
            ("10M", Some(10_485_760)),
            ("10x", None),
            ("", None),
            ("k", None),
            ("-1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(size(text.as_bytes(), false), expected, "{text}");
        }
        assert_eq!(
            (size(b"1G", false), size(b"1G", true)),
            (None, Some(1 << 30))
        );
        assert_eq!(size(b"99999999999999999999", true), None);
        assert_eq!(size(b"9999999999999999g", true), None);
    }

    #[test]
    fn times_have_units_in_falling_order() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("1m30s", Some(90_000)),
            ("1m 30s", Some(90_000)),
            ("1m 30", Some(90_000)),
            ("2500ms", Some(2500)),
            ("1s500ms", Some(1500)),
            ("1M", Some(2_592_000_000)),
            ("1y", Some(31_536_000_000)),
            ("", None),
            ("abc", None),
            ("-1", None),
            ("1s1m", None),
            ("1s1s", None),
            ("1x", None),
            ("99999999999999999999", None),
            ("99999999999999999y", None),
            ("2000y", None),
        ] {
            assert_eq!(
                time(text.as_bytes(), true),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
        assert_eq!(time(b"500ms", false), None);
    }
}
