//! Numbers and dates as text.

use std::cell::Cell;
use std::num::NonZeroU64;

use crate::message::{http_date, unix_now};

/// A second since the Unix epoch, which is sent as an HTTP date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate(
    /// The second plus one, so that an `Option` takes no more memory.
    NonZeroU64,
);

impl HttpDate {
    /// The date of this second.
    #[must_use]
    pub fn of(unix_seconds: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(unix_seconds))
    }

    /// Appends it to `out`.
    pub(in crate::server) fn push(self, out: &mut Vec<u8>) {
        let second = self.0.get() - 1;
        if second == unix_now() {
            push_date(second, out);
        } else {
            out.extend_from_slice(http_date(second).as_bytes());
        }
    }
}

/// Appends a number in decimal digits.
pub fn push_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an HTTP date. It is formatted once per second and thread: most dates are of the current
/// second.
pub fn push_date(unix_seconds: u64, out: &mut Vec<u8>) {
    thread_local! {
        static DATE: Cell<(u64, [u8; 29])> = const { Cell::new((u64::MAX, [b' '; 29])) };
    }
    let (mut second, mut text) = DATE.get();
    if second != unix_seconds {
        second = unix_seconds;
        let date = http_date(unix_seconds);
        text.iter_mut()
            .zip(date.bytes())
            .for_each(|(to, from)| *to = from);
        DATE.set((second, text));
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_that_of_its_second_also_at_the_epoch() {
        let now = unix_now();
        for second in [0, 784_111_777, now, now - 1] {
            let mut out = Vec::new();
            HttpDate::of(second).push(&mut out);
            assert_eq!(out, http_date(second).as_bytes());
        }
    }
}
