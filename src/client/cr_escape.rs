//! Carriage returns on their way through a parser to which they are line ends: hidden before it,
//! restored after it.

/// Stands in front of a letter: it is no character, so that hardly any text has it; one that does
/// is kept all the same.
const ESCAPE: char = '\u{10fffe}';
const CR: char = 'r';
const ITSELF: char = 'e';

/// The text without carriage returns.
pub(super) fn hidden(text: &str) -> String {
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

/// The text that was hidden so.
pub(super) fn restored(text: &str) -> String {
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
            assert!(!hidden(text).contains('\r'));
            assert_eq!(restored(&hidden(text)), text);
        }
    }
}
