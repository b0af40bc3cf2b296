//! Escaping of carriage returns for a parser that treats them as line ends: escaped before it,
//! unescaped after it.

/// Prefix of an escape sequence: a noncharacter, which is rare in texts; one in a text is escaped
/// itself.
const ESCAPE: char = '\u{10fffe}';
const CR: char = 'r';
const ITSELF: char = 'e';

/// Returns the text without carriage returns.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\r' => out.extend([ESCAPE, CR]),
            ESCAPE => out.extend([ESCAPE, ITSELF]),
            other => out.push(other),
        }
    }
    out
}

/// Returns the original of an escaped text.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            ESCAPE if characters.next() == Some(CR) => '\r',
            other => other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        for text in [
            "",
            "a\r\nb\r",
            "\u{10fffe}r\u{10fffe}\u{10fffe}e\r",
            "\u{10fffe}",
        ] {
            assert!(!escape(text).contains('\r'));
            assert_eq!(unescape(&escape(text)), text);
        }
    }
}
