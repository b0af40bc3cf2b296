//! The marks of messages: each contains a number and a due time, and can be found in the output of
//! any server.
//!
//! A mark is `T<nanoseconds>#<number>@`; a message is a mark and padding. The scanner reads a byte
//! stream that may be cut anywhere, and checks that every number from 1 comes once. Servers keep
//! the order of each publisher's connection, not that of several, so that a number may come after a
//! later one.

use std::fmt::Write;

use memchr::memchr_iter;

/// Length of the longest mark: two numbers of 20 digits.
const MAX_MARK_BYTES: usize = 43;

/// Appends a message of `size` bytes, or a bare mark if that is longer.
pub fn message(out: &mut String, due_nanos: u64, number: u64, size: usize) {
    let start = out.len();
    let _ = write!(out, "T{due_nanos}#{number}@");
    while out.len() - start < size {
        out.push('x');
    }
}

/// Faults in the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Numbers that are still missing.
    pub lost: u64,
    /// Numbers that arrived more than once.
    pub repeated: u64,
    /// Numbers that arrived after a later one: a fault with one publisher.
    pub reordered: u64,
}

/// Checks the marks received by one subscriber of one channel.
#[derive(Debug, Default)]
pub struct Scanner {
    last: u64,
    /// Numbers below `last` that have not come, as first and last of each row of them.
    missing: Vec<(u64, u64)>,
    held: Vec<u8>,
}

impl Scanner {
    /// Ignores messages up to number `last`.
    pub fn skip_to(&mut self, last: u64) {
        self.last = last;
        self.missing = Vec::new();
        self.held = Vec::new();
    }

    /// Reads further bytes; calls `found` with the due time of each mark.
    pub fn read(&mut self, bytes: &[u8], faults: &mut Faults, mut found: impl FnMut(u64)) {
        if self.held.is_empty() {
            self.scan(bytes, faults, &mut found);
        } else {
            let joined = [&self.held[..], bytes].concat();
            self.held.clear();
            self.scan(&joined, faults, &mut found);
        }
    }

    fn note(&mut self, number: u64, faults: &mut Faults) {
        if number > self.last {
            let missing = number - self.last - 1;
            if missing > 0 {
                self.missing.push((self.last + 1, number - 1));
                faults.lost += missing;
            }
            self.last = number;
            return;
        }
        let Some(at) = self
            .missing
            .iter()
            .position(|(first, last)| (*first..=*last).contains(&number))
        else {
            faults.repeated += 1;
            return;
        };
        faults.lost -= 1;
        faults.reordered += 1;
        let (first, last) = self.missing.swap_remove(at);
        self.missing.extend(
            [(first, number - 1), (number + 1, last)]
                .into_iter()
                .filter(|(first, last)| first <= last),
        );
        if self.missing.is_empty() {
            self.missing = Vec::new();
        }
    }

    fn scan(&mut self, bytes: &[u8], faults: &mut Faults, found: &mut impl FnMut(u64)) {
        let mut end = 0;
        for at in memchr_iter(b'@', bytes) {
            end = at + 1;
            let Some((due, number)) = parse(&bytes[at.saturating_sub(MAX_MARK_BYTES)..at]) else {
                continue;
            };
            self.note(number, faults);
            found(due);
        }
        let tail = &bytes[end.max(bytes.len().saturating_sub(MAX_MARK_BYTES))..];
        // An incomplete mark: all bytes after its `T` are digits and `#`.
        let begin = tail
            .iter()
            .rposition(|byte| !byte.is_ascii_digit() && *byte != b'#');
        if let Some(begin) = begin.filter(|begin| tail[*begin] == b'T') {
            self.held.extend_from_slice(&tail[begin..]);
        } else if self.held.capacity() > 0 {
            self.held = Vec::new();
        }
    }
}

/// Parses backwards from the `@`: number, `#`, due time, `T`.
fn parse(before: &[u8]) -> Option<(u64, u64)> {
    let (rest, number) = digits(before)?;
    let (rest, due) = digits(rest.strip_suffix(b"#")?)?;
    rest.ends_with(b"T").then_some((due, number))
}

fn digits(bytes: &[u8]) -> Option<(&[u8], u64)> {
    let mut value = 0u64;
    let mut scale = 1u64;
    let mut at = bytes.len();
    while at > 0 && bytes[at - 1].is_ascii_digit() {
        at -= 1;
        value = value.wrapping_add(u64::from(bytes[at] - b'0').wrapping_mul(scale));
        scale = scale.wrapping_mul(10);
    }
    (at < bytes.len()).then_some((&bytes[..at], value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_however_the_stream_is_cut() {
        let mut stream = String::from("HTTP GMT {\"text\":\"");
        for number in 1..=4 {
            message(&mut stream, 1_000_000 + number, number, 40);
            stream.push_str(
                "\",\"time\":\"Sat, 21 Nov 2026 12:00:00 GMT\",\"mail\":\"a@b\"}\r\n\
                             5c\r\n{\"text\":\"",
            );
        }
        for cut in 1..stream.len() {
            let mut scanner = Scanner::default();
            let mut faults = Faults::default();
            let mut due = Vec::new();
            for part in stream.as_bytes().chunks(cut) {
                scanner.read(part, &mut faults, |nanos| due.push(nanos));
            }
            assert_eq!(
                (due, faults),
                (
                    vec![1_000_001, 1_000_002, 1_000_003, 1_000_004],
                    Faults::default()
                ),
                "cut every {cut}"
            );
        }
    }

    #[test]
    fn holes_and_repetitions_are_counted() {
        let mut stream = String::new();
        for number in [1, 2, 5, 4, 6, 6, 4] {
            message(&mut stream, 0, number, 0);
        }
        let mut faults = Faults::default();
        Scanner::default().read(stream.as_bytes(), &mut faults, |_| {});
        assert_eq!(
            faults,
            Faults {
                lost: 1,
                repeated: 2,
                reordered: 1
            }
        );
    }

    #[test]
    fn numbers_of_several_publishers_may_overtake_each_other() {
        let mut stream = String::new();
        for number in [8, 1, 2, 5, 3, 4, 7, 6, 9] {
            message(&mut stream, 0, number, 0);
        }
        let mut scanner = Scanner::default();
        let mut faults = Faults::default();
        for piece in stream.as_bytes().chunks(3) {
            scanner.read(piece, &mut faults, |_| {});
        }
        assert_eq!(
            faults,
            Faults {
                lost: 0,
                repeated: 0,
                reordered: 7
            }
        );
        scanner.skip_to(20);
        scanner.read(b"T0#22@T0#23@", &mut faults, |_| {});
        assert_eq!((faults.lost, scanner.last), (1, 23));
    }
}
