//! Texts with counters, for testing: `{number}`, `{number:6}`, `{number%10}`, `{time}`, `{ms}`,
//! `{random}`, `{random:100}`.
//!
//! Everything else in braces stays as it is, so that JSON can be a template. `{n}` is `{number}`,
//! too, but is not in the help, where clap would make a line break of it.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cmd::exit::Usage;

/// Maximum number of digits or letters of a placeholder.
const MAX_WIDTH: usize = 1 << 20;

/// A parsed text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadTemplate(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    /// The number, or its remainder if there is a divisor, with at least `digits` digits.
    Number {
        digits: usize,
        divisor: Option<u64>,
    },
    Time,
    Milliseconds,
    Random(usize),
}

impl PayloadTemplate {
    /// Parses a text.
    ///
    /// # Errors
    /// [`Usage`] if the width or the divisor of a placeholder is invalid.
    pub fn new(text: &[u8]) -> Result<Self, Usage> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some((&byte, behind)) = rest.split_first() {
            let closing = (byte == b'{')
                .then(|| memchr::memchr(b'}', behind))
                .flatten();
            let found = match closing {
                Some(end) => placeholder(&behind[..end])?.map(|piece| (piece, end)),
                None => None,
            };
            if let Some((piece, end)) = found {
                pieces.push(Piece::Bytes(std::mem::take(&mut plain)));
                pieces.push(piece);
                rest = &behind[end + 1..];
            } else {
                plain.push(byte);
                rest = behind;
            }
        }
        pieces.push(Piece::Bytes(plain));
        Ok(Self(pieces))
    }

    /// The text of message `number`.
    pub fn expand(&self, number: u64, random: &mut Random) -> Vec<u8> {
        let mut text = Vec::new();
        let now = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
        };
        for piece in &self.0 {
            let mut word = String::new();
            match piece {
                Piece::Bytes(bytes) => text.extend_from_slice(bytes),
                Piece::Number { digits, divisor } => {
                    let number = divisor.map_or(number, |divisor| number % divisor);
                    write!(word, "{number:0digits$}").expect("a string takes everything");
                }
                Piece::Time => {
                    word = humantime::format_rfc3339_millis(
                        UNIX_EPOCH + Duration::from_millis(milliseconds(now())),
                    )
                    .to_string()
                }
                Piece::Milliseconds => word = milliseconds(now()).to_string(),
                Piece::Random(width) => word.extend((0..*width).map(|_| random.letter())),
            }
            text.extend_from_slice(word.as_bytes());
        }
        text
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Parses the text between two braces; `None` if it is not a placeholder.
fn placeholder(inner: &[u8]) -> Result<Option<Piece>, Usage> {
    let Ok(inner) = std::str::from_utf8(inner) else {
        return Ok(None);
    };
    let (name, argument) = match inner.find([':', '%']) {
        Some(at) => inner.split_at(at),
        None => (inner, ""),
    };
    let wrong = |mend: &str| Usage(format!("cannot use '{{{inner}}}' of --template: {mend}"));
    let width = |text: &str| {
        let width = text
            .parse()
            .ok()
            .filter(|width| (1..=MAX_WIDTH).contains(width));
        width.ok_or_else(|| {
            wrong(&format!(
                "behind the colon is a width from 1 to {MAX_WIDTH}"
            ))
        })
    };
    let piece = match (
        name,
        argument.get(..1),
        argument.get(1..).unwrap_or_default(),
    ) {
        ("number" | "n", None, _) => Piece::Number {
            digits: 1,
            divisor: None,
        },
        ("number" | "n", Some(":"), digits) => Piece::Number {
            digits: width(digits)?,
            divisor: None,
        },
        ("number" | "n", Some(_), divisor) => {
            let divisor = divisor.parse().ok().filter(|divisor| *divisor > 0);
            let divisor =
                divisor.ok_or_else(|| wrong("behind the percent sign is a number above 0"))?;
            Piece::Number {
                digits: 1,
                divisor: Some(divisor),
            }
        }
        ("time", None, _) => Piece::Time,
        ("ms", None, _) => Piece::Milliseconds,
        ("random", None, _) => Piece::Random(16),
        ("random", Some(":"), letters) => Piece::Random(width(letters)?),
        ("time" | "ms" | "random", Some(_), _) => {
            return Err(wrong(&format!("write '{{{name}}}'")));
        }
        _ => return Ok(None),
    };
    Ok(Some(piece))
}

/// Letters and digits that differ from run to run; nothing for secrets.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Starts somewhere else each time.
    #[must_use]
    pub fn new() -> Self {
        use std::hash::{BuildHasher as _, Hasher as _};
        // The standard library seeds its hash tables from the system's source of randomness.
        Self(
            std::collections::hash_map::RandomState::new()
                .build_hasher()
                .finish(),
        )
    }

    fn letter(&mut self) -> char {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let index = (mixed >> 33) % 36;
        char::from_digit(u32::try_from(index).expect("it is below 36"), 36).expect("it is below 36")
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str, number: u64) -> String {
        String::from_utf8(
            PayloadTemplate::new(text.as_bytes())
                .expect(text)
                .expand(number, &mut Random(1)),
        )
        .expect("text")
    }

    #[test]
    fn counters_are_put_in_and_everything_else_stays() {
        for (text, expected) in [
            ("a {n} b {n:4} {n%5}", "a 17 b 0017 2"),
            (r#"{"n":{n},"x":{}}"#, r#"{"n":17,"x":{}}"#),
            ("{number} {number:3} {number%10}", "17 017 7"),
            ("{m} {x:1} {num} {n", "{m} {x:1} {num} {n"),
            ("{{n}}", "{17}"),
            ("", ""),
        ] {
            assert_eq!(expanded(text, 17), expected, "{text}");
        }
        assert_eq!(
            PayloadTemplate::new(b"\xff{n}")
                .expect("good")
                .expand(1, &mut Random(1)),
            b"\xff1"
        );
        for text in [
            "x{n%0}",
            "{n:}",
            "{number:x}",
            "{number%}",
            "{random:0}",
            "{time:3}",
            "{ms%2}",
        ] {
            assert!(PayloadTemplate::new(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_random_letters_have_their_form() {
        let text = expanded("{time}|{ms}|{random}|{random:3}", 1);
        let parts: Vec<_> = text.split('|').collect();
        assert!(
            humantime::parse_rfc3339(parts[0]).is_ok() && parts[1].parse::<u64>().is_ok(),
            "{text}"
        );
        assert_eq!((parts[2].len(), parts[3].len()), (16, 3), "{text}");
        assert_ne!(
            expanded("{random}{random}", 1)[..16],
            expanded("{random}{random}", 1)[16..]
        );
    }
}
