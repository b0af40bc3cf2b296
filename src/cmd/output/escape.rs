//! Escapes for terminals: channel ids, texts and responses are untrusted bytes, and a terminal
//! interprets some of them as commands. Pure.
//!
//! What is escaped: control characters (C0, DEL, C1), what reorders or hides the text around it
//! (marks, overrides and isolates of the bidirectional algorithm, UAX #9, section 2; line and
//! paragraph separators; the byte order mark; interlinear annotations; tags), and bytes that are
//! not UTF-8.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` on one line.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars()
        .for_each(|letter| push(letter, is_unsafe(letter), &mut out));
    out
}

/// Appends the text of a message for a terminal. Its line breaks and tabs stay.
pub fn message(text: &[u8], out: &mut Vec<u8>) {
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let mut letters = chunk.valid().chars().peekable();
        while let Some(letter) = letters.next() {
            let stays =
                matches!(letter, '\n' | '\t') || (letter == '\r' && letters.peek() == Some(&'\n'));
            push(letter, !stays && is_unsafe(letter), &mut shown);
        }
        for byte in chunk.invalid() {
            write!(shown, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    out.extend_from_slice(shown.as_bytes());
}

/// `text`, which is JSON, with escapes that mean the same.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    let is_affected = |letter: char| is_unsafe(letter) && letter != '\n';
    if !text.chars().any(is_affected) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if !is_affected(letter) {
            out.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").expect("a string takes everything");
        }
    }
    Cow::Owned(out)
}

fn push(letter: char, is_escaped: bool, out: &mut String) {
    if is_escaped {
        out.extend(letter.escape_default());
    } else {
        out.push(letter);
    }
}

fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_or_reorders_text_is_escaped() {
        for letter in [
            '\0',
            '\u{1b}',
            '\r',
            '\u{7f}',
            '\u{9b}',
            '\u{202e}',
            '\u{2066}',
            '\u{2029}',
            '\u{feff}',
            '\u{e0041}',
            '\u{61c}',
        ] {
            let mut shown = Vec::new();
            message(format!("a{letter}b").as_bytes(), &mut shown);
            let expected = format!("a{}b", letter.escape_default());
            assert_eq!(String::from_utf8_lossy(&shown), expected);
            assert_eq!(printable(&format!("a{letter}b")), expected);
            let text = format!("{{\"a\":\"{letter}\"}}");
            let escaped = json(&text);
            assert!(!escaped.contains(letter), "{escaped}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&escaped).expect("JSON")["a"],
                letter.to_string()
            );
        }
    }

    #[test]
    fn text_stays_as_it_is() {
        let text = "zwölf 日本 👩\u{200d}👩 \t|\r\n";
        let mut shown = Vec::new();
        message(text.as_bytes(), &mut shown);
        assert_eq!(shown, text.as_bytes());
        shown.clear();
        message(b"\xff\x9b1m\xc3", &mut shown);
        assert_eq!(shown, br"\xff\x9b1m\xc3");
        assert_eq!(printable("a\nb"), "a\\nb");
        assert_eq!(json("{\"a\": 1}\n"), "{\"a\": 1}\n");
    }
}
