//! The messages of `bench`: each contains its publisher, its number and its due time, and can be
//! found in the output of any template. Does no I/O.

use memchr::memmem;

const MARK: &[u8] = b"@@";
const PADDING: u8 = b'x';
/// Bit of the publisher's number for messages of the warm-up.
const WARM_UP: u16 = 0x8000;
/// Size of a stamp: two marks around publisher (4), sequence (8) and time (16) in hexadecimal.
pub const STAMP_BYTES: usize = 2 + 4 + 8 + 16 + 2;

/// The content of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the publisher.
    pub publisher: u16,
    /// Number of the message within its publisher and channel.
    pub sequence: u32,
    /// Due time, in nanoseconds of the run's clock.
    pub due_nanos: u64,
    /// True if the message is counted but not measured.
    pub is_warm_up: bool,
}

impl Stamp {
    /// Index of the ledger line: the warm-up is numbered separately.
    #[must_use]
    pub fn line(&self) -> usize {
        usize::from(self.publisher) * 2 + usize::from(self.is_warm_up)
    }

    /// Formats the message: padding, then the stamp, so that a complete stamp implies a complete
    /// text.
    #[must_use]
    pub fn text(&self, size: usize) -> Vec<u8> {
        let mut text = vec![PADDING; size.saturating_sub(STAMP_BYTES)];
        let publisher = self.publisher | if self.is_warm_up { WARM_UP } else { 0 };
        text.extend_from_slice(
            format!(
                "@@{publisher:04x}{:08x}{:016x}@@",
                self.sequence, self.due_nanos
            )
            .as_bytes(),
        );
        text
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(bytes.get(2..STAMP_BYTES - 2)?).ok()?;
        if bytes.get(STAMP_BYTES - 2..STAMP_BYTES)? != MARK {
            return None;
        }
        let publisher = u16::from_str_radix(digits.get(..4)?, 16).ok()?;
        Some(Self {
            publisher: publisher & !WARM_UP,
            is_warm_up: publisher & WARM_UP != 0,
            sequence: u32::from_str_radix(digits.get(4..12)?, 16).ok()?,
            due_nanos: u64::from_str_radix(digits.get(12..)?, 16).ok()?,
        })
    }
}

/// A message in the received data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The stamp of the message.
    pub stamp: Stamp,
    /// The server's message id, if the template includes it.
    pub id: Option<u64>,
    /// True if the padding is undamaged.
    pub is_intact: bool,
}

/// Finds messages of one size in data that is cut anywhere.
#[derive(Debug, Default)]
pub struct Scanner {
    size: usize,
    held: Vec<u8>,
}

impl Scanner {
    /// Creates a scanner for messages of `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            size,
            held: Vec::new(),
        }
    }

    /// Scans the next bytes; `found` is called for each message.
    pub fn scan(&mut self, bytes: &[u8], mut found: impl FnMut(Found)) {
        if self.held.is_empty() {
            let rest = scan_all(bytes, self.size, &mut found);
            hold(&mut self.held, &bytes[rest..]);
            return;
        }
        let mut whole = std::mem::take(&mut self.held);
        whole.extend_from_slice(bytes);
        let rest = scan_all(&whole, self.size, &mut found);
        hold(&mut self.held, &whole[rest..]);
    }

    /// Drops an incomplete message, which does not continue.
    pub fn boundary(&mut self) {
        self.held = Vec::new();
    }
}

/// Reports the messages and returns the offset after the last one.
fn scan_all(bytes: &[u8], size: usize, found: &mut impl FnMut(Found)) -> usize {
    let mut rest = 0;
    let mut from = 0;
    while let Some(at) = memmem::find(&bytes[from..], MARK).map(|at| from + at) {
        if at + STAMP_BYTES > bytes.len() {
            break;
        }
        match Stamp::parse(&bytes[at..]) {
            Some(stamp) => {
                let lead = &bytes[rest..at];
                found(Found {
                    stamp,
                    id: message_id(lead),
                    is_intact: is_padded(lead, size.saturating_sub(STAMP_BYTES)),
                });
                rest = at + STAMP_BYTES;
                from = rest;
            }
            None => from = at + 1,
        }
    }
    rest
}

/// Keeps the start of an incomplete message. After a brace or a line break no message is
/// incomplete.
fn hold(held: &mut Vec<u8>, rest: &[u8]) {
    if !matches!(rest.last(), None | Some(b'}' | b'\n')) {
        held.extend_from_slice(rest);
    }
}

/// True if `lead` ends with exactly `length` bytes of padding. (A template with a padding byte
/// right before the text is not supported.)
fn is_padded(lead: &[u8], length: usize) -> bool {
    let Some(start) = lead.len().checked_sub(length) else {
        return false;
    };
    lead[start..].iter().all(|byte| *byte == PADDING) && !lead[..start].ends_with(&[PADDING])
}

fn message_id(lead: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"id\":";
    let after = &lead[memmem::find(lead, KEY)? + KEY.len()..];
    let digits = after
        .iter()
        .skip_while(|byte| matches!(byte, b' ' | b'"'))
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |id: Option<u64>, digit| {
        id.unwrap_or(0)
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_wherever_the_bytes_were_cut() {
        let stamps: Vec<Stamp> = (0..5)
            .map(|n| Stamp {
                publisher: 3,
                sequence: n,
                due_nanos: u64::from(n) << 40,
                is_warm_up: n % 2 == 0,
            })
            .collect();
        let wire: Vec<u8> = stamps
            .iter()
            .zip(7..)
            .flat_map(|(stamp, id)| {
                let text = String::from_utf8(stamp.text(100)).expect("ascii");
                format!(
                    "data: {{\"id\":{id},\"channel\":\"c@@d\",\"text\":\"{text}\",\"tag\":1}}\n\n"
                )
                .into_bytes()
            })
            .collect();
        for size in 1..wire.len() {
            let mut scanner = Scanner::new(100);
            let mut found = Vec::new();
            for bytes in wire.chunks(size) {
                scanner.scan(bytes, |message| found.push(message));
            }
            let expected: Vec<_> = stamps
                .iter()
                .zip(7..)
                .map(|(stamp, id)| Found {
                    stamp: *stamp,
                    id: Some(id),
                    is_intact: true,
                })
                .collect();
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn damaged_padding_is_seen() {
        let text = Stamp {
            publisher: 1,
            sequence: 2,
            due_nanos: 3,
            is_warm_up: false,
        }
        .text(100);
        let other = [&text[..10], b"y", &text[11..]].concat();
        for (text, is_intact) in [
            (text.clone(), true),
            (other, false),
            (text[1..].to_vec(), false),
            ([b"x", text.as_slice()].concat(), false),
        ] {
            let mut scanner = Scanner::new(100);
            let mut found = Vec::new();
            scanner.scan(&[b"data: \"", text.as_slice()].concat(), |message| {
                found.push(message.is_intact)
            });
            assert_eq!(found, [is_intact]);
        }
    }

    #[test]
    fn texts_have_the_size_asked_for() {
        let stamp = Stamp {
            publisher: 0,
            sequence: 0,
            due_nanos: 0,
            is_warm_up: false,
        };
        assert_eq!(stamp.text(100).len(), 100);
        assert_eq!(stamp.text(STAMP_BYTES).len(), STAMP_BYTES);
    }
}
