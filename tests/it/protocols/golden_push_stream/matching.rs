//! Placeholders of the recorded exchanges: substitution in requests, matching in responses.
//!
//! `{{HTTPDATE_n}}` is the same date for the same n, in cases that begin at the start of a second;
//! the others (`{{DATE}}`, `{{PID}}`, …) match by their form alone.

use std::collections::HashMap;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::support::show;

/// The footer of recorded error pages, and of ours.
const RECORDED_FOOTER: &str = "<hr><center>nginx/1.26.3</center>";
const OUR_FOOTER: &str = concat!(
    "<hr><center>pushctl v",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR"),
    "</center>"
);

/// Bytes that are shown before the first that differs.
const CONTEXT: usize = 100;

/// Values of the placeholders of a case.
pub(super) struct Bindings {
    values: HashMap<String, String>,
    /// Equal names must be equal dates.
    strict: bool,
}

enum Piece<'a> {
    Literal(&'a str),
    Placeholder { name: &'a str, modifier: &'a str },
}

impl Bindings {
    pub(super) fn new(strict: bool) -> Self {
        Self {
            values: HashMap::new(),
            strict,
        }
    }

    /// Binds `name` unless it is bound.
    pub(super) fn bind(&mut self, name: &str, value: &str) {
        self.values
            .entry(name.to_owned())
            .or_insert_with(|| value.to_owned());
    }

    /// Replaces the dates in a request; an unbound one becomes the current second.
    pub(super) fn fill(&mut self, text: &str) -> String {
        let mut filled = String::new();
        for piece in pieces(text) {
            match piece {
                Piece::Literal(literal) => filled.push_str(literal),
                Piece::Placeholder { name, modifier } if name.starts_with("HTTPDATE_") => {
                    let value = self.values.entry(name.to_owned()).or_insert_with(now);
                    match modifier {
                        "pct" => filled.push_str(&value.replace(' ', "%20")),
                        "plus" => filled.push_str(&value.replace(' ', "+")),
                        _ => filled.push_str(value),
                    }
                }
                Piece::Placeholder { name, .. } => filled.push_str(&format!("{{{{{name}}}}}")),
            }
        }
        filled
    }

    /// Compares received and recorded data: a text, or an object with `hex` or `length`.
    pub(super) fn check(&mut self, want: &Value, got: &[u8], what: &str) -> Result<(), String> {
        let fits = if let Some(hex) = want["hex"].as_str() {
            got == unhex(hex)
        } else if let Some(length) = want["length"].as_u64() {
            let head = want["head"].as_str().unwrap_or_default();
            let tail = want["tail"].as_str().unwrap_or_default();
            got.len() as u64 == length
                && got.starts_with(&latin1(head))
                && got.ends_with(&latin1(tail))
        } else {
            return self.check_text(want.as_str().unwrap_or_default(), got, what);
        };
        if fits {
            Ok(())
        } else {
            Err(format!("{what}:\n   want {want}\n   got  {}", show(got)))
        }
    }

    /// Compares text with placeholders. The server name in the footer of error pages is ignored, as
    /// in the Server header; the rest of a page is compared.
    pub(super) fn check_text(&mut self, want: &str, got: &[u8], what: &str) -> Result<(), String> {
        let want = &workers_in_order(&want.replace(RECORDED_FOOTER, OUR_FOOTER));
        let got = std::str::from_utf8(got)
            .map_or_else(|_| got.to_vec(), |got| workers_in_order(got).into_bytes());
        let got = got.as_slice();
        match self.matches(want, got) {
            Ok(bound) => {
                self.values.extend(bound);
                Ok(())
            }
            Err(at) => {
                let (from, context) = if at > CONTEXT {
                    (at - CONTEXT, "...")
                } else {
                    (0, "")
                };
                let want = show(want.as_bytes());
                let rest = show(&got[from..]);
                Err(format!(
                    "{what}: differs at byte {at}:\n   want {want}\n   got  {context}{rest}"
                ))
            }
        }
    }

    /// The dates that the text binds, or where it differs.
    fn matches(&self, want: &str, got: &[u8]) -> Result<HashMap<String, String>, usize> {
        let mut at = 0;
        let mut bound = HashMap::new();
        for piece in pieces(want) {
            let rest = &got[at..];
            at += match piece {
                Piece::Literal(literal) => {
                    literal_length(literal, rest).map_err(|same| at + same)?
                }
                Piece::Placeholder { name, .. } => {
                    let known = self
                        .values
                        .get(name)
                        .filter(|_| self.strict)
                        .or_else(|| bound.get(name));
                    if let Some(value) = known {
                        literal_length(value, rest).map_err(|same| at + same)?
                    } else {
                        let length = form_length(name, rest).ok_or(at)?;
                        if name.starts_with("HTTPDATE") {
                            bound.insert(
                                name.to_owned(),
                                String::from_utf8_lossy(&rest[..length]).into_owned(),
                            );
                        }
                        length
                    }
                }
            };
        }
        if at == got.len() { Ok(bound) } else { Err(at) }
    }
}

/// Statistics, in any notation, with the subscribers of the workers sorted: connections are
/// distributed to workers at random.
fn workers_in_order(text: &str) -> String {
    let Some(start) = text.find("by_worker") else {
        return text.to_owned();
    };
    let subscribers = Regex::new(r"(subscribers\D{1,4})(\d+)").expect("the expression is right");
    let (before, workers) = text.split_at(start);
    let mut counts: Vec<&str> = subscribers
        .captures_iter(workers)
        .filter_map(|found| found.get(2))
        .map(|count| count.as_str())
        .collect();
    counts.sort_unstable();
    let mut sorted = counts.into_iter();
    let workers = subscribers.replace_all(workers, |found: &Captures<'_>| {
        format!("{}{}", &found[1], sorted.next().unwrap_or_default())
    });
    format!("{before}{workers}")
}

/// The length of `literal` if `rest` begins with it, else the length of the common prefix.
fn literal_length(literal: &str, rest: &[u8]) -> Result<usize, usize> {
    let same = literal
        .bytes()
        .zip(rest)
        .take_while(|(want, got)| want == *got)
        .count();
    if same == literal.len() {
        Ok(same)
    } else {
        Err(same)
    }
}

/// How many bytes at the start of `rest` have the form of the placeholder.
fn form_length(name: &str, rest: &[u8]) -> Option<usize> {
    let run = |fits: fn(&u8) -> bool| {
        Some(rest.iter().take_while(|byte| fits(byte)).count()).filter(|count| *count > 0)
    };
    match name {
        "UPTIME" | "PID" | "CONTENT_LENGTH" => run(u8::is_ascii_digit),
        "HOSTNAME" => run(|byte| !b"\"<\r\n,".contains(byte)),
        "ISO_TIME" => shaped("dddd-dd-ddTdd:dd:dd", rest),
        "DATE" => shaped("Aaa, dd Aaa dddd dd:dd:dd GMT", rest),
        _ if name.starts_with("HTTPDATE") => shaped("Aaa, dd Aaa dddd dd:dd:dd GMT", rest),
        _ => None,
    }
}

/// Matches a pattern in which `d` is a digit, `A` and `a` are letters, and the rest is literal.
fn shaped(shape: &str, rest: &[u8]) -> Option<usize> {
    let got = rest.get(..shape.len())?;
    let fits = shape.bytes().zip(got).all(|(shape, got)| match shape {
        b'd' => got.is_ascii_digit(),
        b'A' => got.is_ascii_uppercase(),
        b'a' => got.is_ascii_lowercase(),
        other => other == *got,
    });
    fits.then_some(shape.len())
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let inner = &rest[start + 2..];
        let length = inner
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(byte))
            .count();
        if length > 0 && inner[length..].starts_with("}}") {
            pieces.push(Piece::Literal(&rest[..start]));
            let (name, modifier) = inner[..length]
                .split_once(':')
                .unwrap_or((&inner[..length], ""));
            pieces.push(Piece::Placeholder { name, modifier });
            rest = &inner[length + 2..];
        } else {
            pieces.push(Piece::Literal(&rest[..=start]));
            rest = &rest[start + 1..];
        }
    }
    pieces.push(Piece::Literal(rest));
    pieces
}

fn now() -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now())
}

/// The bytes of a text with one byte per character.
pub(super) fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(c).expect("recorded bytes are written as characters up to U+00FF"))
        .collect()
}

/// The bytes of hexadecimal digits.
pub(super) fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(&String::from_utf8_lossy(pair), 16)
                .expect("recorded hexadecimal digits")
        })
        .collect()
}

#[test]
fn placeholders_match_by_form_and_by_binding() {
    let mut bindings = Bindings::new(true);
    let first = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(
        bindings.check_text(
            "<{{HTTPDATE_1}}|{{PID}}>",
            format!("<{first}|12>").as_bytes(),
            "a"
        ),
        Ok(())
    );
    assert_eq!(
        bindings.fill("t={{HTTPDATE_1:pct}}&x={{x}}"),
        format!("t={}&x={{{{x}}}}", first.replace(' ', "%20"))
    );
    assert_eq!(
        bindings.check_text("{{HTTPDATE_1}}", first.as_bytes(), "b"),
        Ok(())
    );
    for (want, got) in [
        ("{{HTTPDATE_1}}", "Sun, 06 Nov 1994 08:49:38 GMT"),
        ("{{DATE}}", "Sun, 6 Nov 1994 08:49:37 GMT"),
        (
            "{{HTTPDATE_2}}{{HTTPDATE_2}}",
            "Sun, 06 Nov 1994 08:49:38 GMTSun, 06 Nov 1994 08:49:39 GMT",
        ),
        ("{{PID}}", "x"),
        ("a{b", "a{"),
        ("a", "ab"),
    ] {
        assert!(
            bindings.check_text(want, got.as_bytes(), "c").is_err(),
            "{want} {got}"
        );
    }
}
