//! Words and punctuation of an nginx.conf (push-stream.md, section 17: structure
//! and quoting).
//!
//! Directives are unknown here: the parser reports a misplaced `}` or `;`, and reads the content of
//! Lua blocks with [`Lexer::lua_block`].

use super::lua;

/// A token with its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// The line on which it begins; less than `line` for a quoted word of several lines.
    pub(super) first_line: usize,
    /// The line on which it ends.
    pub(super) line: usize,
    /// The number of blanks before it on its line; `None` if it is not the first token of the line.
    pub(super) indent: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name or argument, unquoted and unescaped.
    Word(Vec<u8>),
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`
    Close,
    /// The end of the file.
    End(Unfinished),
}

/// The token that the end of the file interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfinished {
    Nothing,
    Word,
    Quote,
}

/// Text behind a closing quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextAfterQuote {
    /// The line of the opening quote.
    pub(super) first_line: usize,
    pub(super) line: usize,
    pub(super) byte: u8,
}

/// Reads a file token by token.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    /// Start of the current line in `text`.
    line_start: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
            at: 0,
            line: 1,
            line_start: 0,
        }
    }

    /// Reads the next token; at the end of the file, `TokenKind::End` each time.
    pub(super) fn next(&mut self) -> Result<Token, TextAfterQuote> {
        self.skip_blanks();
        let first_line = self.line;
        let before = &self.text[self.line_start..self.at];
        let indent = before
            .iter()
            .all(|byte| is_blank(*byte))
            .then_some(before.len());
        let kind = match self.peek() {
            None => TokenKind::End(Unfinished::Nothing),
            Some(b';') => self.punctuation(TokenKind::Semicolon),
            Some(b'{') => self.punctuation(TokenKind::Open),
            Some(b'}') => self.punctuation(TokenKind::Close),
            Some(quote @ (b'"' | b'\'')) => {
                self.bump();
                self.quoted(quote)?
            }
            Some(_) => self.unquoted(),
        };
        Ok(Token {
            kind,
            first_line,
            line: self.line,
            indent,
        })
    }

    /// Reads the content of a Lua block, whose `{` was the last token, and skips its `}`; `None` if
    /// the block is not closed.
    pub(super) fn lua_block(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let content = &self.text[start..];
        let length = lua::block_length(content)?;
        while self.at <= start + length {
            self.bump();
        }
        Some(&content[..length])
    }

    /// The line of the last token.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn bump(&mut self) {
        let is_line_end = self.peek() == Some(b'\n');
        self.at += 1;
        if is_line_end {
            self.line += 1;
            self.line_start = self.at;
        }
    }

    fn punctuation(&mut self, kind: TokenKind) -> TokenKind {
        self.bump();
        kind
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.peek() {
            if byte == b'#' {
                while self.peek().is_some_and(|byte| byte != b'\n') {
                    self.bump();
                }
            } else if !is_blank(byte) {
                break;
            }
            if self.at < self.text.len() {
                self.bump();
            }
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<TokenKind, TextAfterQuote> {
        let start = self.at;
        let first_line = self.line;
        while let Some(byte) = self.peek() {
            if byte == quote {
                let word = unescape(&self.text[start..self.at]);
                self.bump();
                return match self.peek() {
                    // A `)` begins a new word: the end of an `if` condition.
                    None | Some(b';' | b'{' | b')') => Ok(TokenKind::Word(word)),
                    Some(byte) if is_blank(byte) => Ok(TokenKind::Word(word)),
                    Some(byte) => Err(TextAfterQuote {
                        first_line,
                        line: self.line,
                        byte,
                    }),
                };
            }
            self.bump_escaped(byte);
        }
        Ok(TokenKind::End(Unfinished::Quote))
    }

    fn unquoted(&mut self) -> TokenKind {
        let start = self.at;
        let mut previous = 0;
        while let Some(byte) = self.peek() {
            // `${` is the beginning of a variable, not of a block.
            if is_blank(byte) || byte == b';' || (byte == b'{' && previous != b'$') {
                return TokenKind::Word(unescape(&self.text[start..self.at]));
            }
            self.bump_escaped(byte);
            previous = byte;
        }
        TokenKind::End(Unfinished::Word)
    }

    /// Skips a byte and, after a backslash, the escaped byte.
    fn bump_escaped(&mut self, byte: u8) {
        self.bump();
        if byte == b'\\' && self.at < self.text.len() {
            self.bump();
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Replaces the escapes `\n \r \t \" \' \\`; any other backslash is kept.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut word = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        let escaped = match (byte, after.first()) {
            (b'\\', Some(b'n')) => Some(b'\n'),
            (b'\\', Some(b'r')) => Some(b'\r'),
            (b'\\', Some(b't')) => Some(b'\t'),
            (b'\\', Some(byte @ (b'"' | b'\'' | b'\\'))) => Some(*byte),
            _ => None,
        };
        if escaped.is_some() {
            rest = &after[1..];
        }
        word.push(escaped.unwrap_or(*byte));
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut words = Vec::new();
        loop {
            match lexer.next().expect("no text after a quote").kind {
                TokenKind::Word(word) => words.push(String::from_utf8(word).expect("text")),
                TokenKind::Semicolon => words.push(";".to_owned()),
                TokenKind::Open => words.push("{".to_owned()),
                TokenKind::Close => words.push("}".to_owned()),
                TokenKind::End(_) => return words,
            }
        }
    }

    #[test]
    fn words_are_split_unquoted_and_unescaped() {
        for (text, expected) in [
            ("a b;", &["a", "b", ";"][..]),
            ("a{b}", &["a", "{"]),
            ("a { b; }", &["a", "{", "b", ";", "}"]),
            ("# c { \n a;# d\n", &["a", ";"]),
            ("a#b;", &["a#b", ";"]),
            (
                r#"a 'b "c" \'d\'' "e 'f'";"#,
                &["a", "b \"c\" 'd'", "e 'f'", ";"],
            ),
            (
                r#""t\tn\nr\rq\"s\\d\d$x#h;{}";"#,
                &["t\tn\nr\rq\"s\\d\\d$x#h;{}", ";"],
            ),
            (r"a~text~\;b;", &["a~text~\\;b", ";"]),
            ("\"two\nlines\";", &["two\nlines", ";"]),
            ("${a}b{", &["${a}b", "{"]),
            (r#"if ($a = "on") {"#, &["if", "($a", "=", "on", ")", "{"]),
            ("\u{feff}a;", &["a", ";"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn text_after_a_quote_is_an_error_with_its_line() {
        let mut lexer = Lexer::new(b"\n\"abc\"def;");
        assert_eq!(
            lexer.next(),
            Err(TextAfterQuote {
                first_line: 2,
                line: 2,
                byte: b'd'
            })
        );
    }

    #[test]
    fn the_end_of_the_file_reports_an_open_word_or_quote() {
        let cases = [
            ("", Unfinished::Nothing),
            (" # c", Unfinished::Nothing),
            ("a", Unfinished::Word),
            ("\"a;\n}", Unfinished::Quote),
        ];
        for (text, unfinished) in cases {
            assert_eq!(
                Lexer::new(text.as_bytes()).next().expect("a token").kind,
                TokenKind::End(unfinished),
                "{text}"
            );
        }
    }
}
