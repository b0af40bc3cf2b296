//! The messages of `bench`: each carries who published it, its number and when it was due, and is found again in whatever
//! a location's template makes of it. Pure.

use memchr::memmem;

const MARK: &[u8] = b"@@";
/// Bytes of a stamp: two marks around publisher (4), sequence (8) and time (16) in hexadecimal.
pub const STAMP_BYTES: usize = 2 + 4 + 8 + 16 + 2;

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the publisher.
    pub publisher: u16,
    /// Number of the message among those of this publisher on this channel.
    pub sequence: u32,
    /// When it was due, in nanoseconds since the start of the run.
    pub due_nanos: u64,
}

impl Stamp {
    /// The message: padding, then the stamp, so that a complete stamp means a complete text.
    #[must_use]
    pub fn text(&self, size: usize) -> Vec<u8> {
        let mut text = vec![b'x'; size.saturating_sub(STAMP_BYTES)];
        text.extend_from_slice(format!("@@{:04x}{:08x}{:016x}@@", self.publisher, self.sequence, self.due_nanos).as_bytes());
        text
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(bytes.get(2..STAMP_BYTES - 2)?).ok()?;
        if bytes.get(STAMP_BYTES - 2..STAMP_BYTES)? != MARK {
            return None;
        }
        Some(Self {
            publisher: u16::from_str_radix(&digits[..4], 16).ok()?,
            sequence: u32::from_str_radix(digits.get(4..12)?, 16).ok()?,
            due_nanos: u64::from_str_radix(digits.get(12..)?, 16).ok()?,
        })
    }
}

/// Finds stamps in bytes that may be cut anywhere.
#[derive(Debug, Default)]
pub struct Scanner {
    held: Vec<u8>,
}

impl Scanner {
    /// Takes the next bytes; `found` gets each stamp and the server's id of the message, if the template shows it.
    pub fn scan(&mut self, bytes: &[u8], mut found: impl FnMut(Stamp, Option<u64>)) {
        if self.held.is_empty() {
            let rest = scan_all(bytes, &mut found);
            hold(&mut self.held, &bytes[rest..]);
            return;
        }
        let mut whole = std::mem::take(&mut self.held);
        whole.extend_from_slice(bytes);
        let rest = scan_all(&whole, &mut found);
        hold(&mut self.held, &whole[rest..]);
    }

    /// Nothing goes on across this point.
    pub fn boundary(&mut self) {
        self.held = Vec::new();
    }
}

/// Reports the stamps and returns where the rest begins.
fn scan_all(bytes: &[u8], found: &mut impl FnMut(Stamp, Option<u64>)) -> usize {
    let mut rest = 0;
    let mut from = 0;
    while let Some(at) = memmem::find(&bytes[from..], MARK).map(|at| from + at) {
        if at + STAMP_BYTES > bytes.len() {
            break;
        }
        match Stamp::parse(&bytes[at..]) {
            Some(stamp) => {
                found(stamp, message_id(&bytes[rest..at]));
                rest = at + STAMP_BYTES;
                from = rest;
            }
            None => from = at + 1,
        }
    }
    rest
}

/// Keeps what the next stamp may need. Behind a brace or a line break no message is under way.
fn hold(held: &mut Vec<u8>, rest: &[u8]) {
    if !matches!(rest.last(), None | Some(b'}' | b'\n')) {
        held.extend_from_slice(rest);
    }
}

fn message_id(lead: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"id\":";
    let after = &lead[memmem::find(lead, KEY)? + KEY.len()..];
    let digits = after.iter().skip_while(|byte| matches!(byte, b' ' | b'"')).take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |id: Option<u64>, digit| id.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_wherever_the_bytes_were_cut() {
        let stamps: Vec<Stamp> = (0..5).map(|n| Stamp { publisher: 3, sequence: n, due_nanos: u64::from(n) << 40 }).collect();
        let wire: Vec<u8> = stamps
            .iter()
            .zip(7..)
            .flat_map(|(stamp, id)| {
                let text = String::from_utf8(stamp.text(100)).expect("ascii");
                format!("data: {{\"id\":{id},\"channel\":\"c@@d\",\"text\":\"{text}\",\"tag\":1}}\n\n").into_bytes()
            })
            .collect();
        for size in 1..wire.len() {
            let (mut scanner, mut found) = (Scanner::default(), Vec::new());
            for bytes in wire.chunks(size) {
                scanner.scan(bytes, |stamp, id| found.push((stamp, id)));
            }
            let expected: Vec<_> = stamps.iter().copied().zip((7..).map(Some)).collect();
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn texts_have_the_size_asked_for() {
        let stamp = Stamp { publisher: 0, sequence: 0, due_nanos: 0 };
        assert_eq!(stamp.text(100).len(), 100);
        assert_eq!(stamp.text(STAMP_BYTES).len(), STAMP_BYTES);
    }
}
