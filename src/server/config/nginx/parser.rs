//! The blocks and directives of an nginx.conf, without their meaning.

use super::lexer::{Kind, Lexer, TextAfterQuote};

/// Most blocks within blocks; real files have five or six.
const MAX_DEPTH: usize = 64;

/// A directive: name, arguments and, if it has one, its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<Vec<u8>>,
    /// The line of its `;` or `{`, as nginx counts.
    pub(super) line: usize,
    pub(super) block: Option<Block>,
}

/// Directives between braces, or those of the whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) directives: Vec<Directive>,
    /// The line of its `}`.
    pub(super) end_line: usize,
}

/// Why a text is no configuration, in nginx's words, and the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) text: String,
}

/// Parses a whole file. Stops at the first mistake: what follows it has no certain meaning.
pub(super) fn parse(text: &[u8]) -> Result<Block, SyntaxError> {
    block(&mut Lexer::new(text), 0)
}

fn block(lexer: &mut Lexer<'_>, depth: usize) -> Result<Block, SyntaxError> {
    let mut directives = Vec::new();
    let mut words: Vec<Vec<u8>> = Vec::new();
    loop {
        let token = lexer.next().map_err(text_after_quote)?;
        let line = token.line;
        let refuse = |text: &str| SyntaxError { line, text: text.to_owned() };
        match token.kind {
            Kind::Word(word) => words.push(word),
            Kind::Semicolon if words.is_empty() => return Err(refuse("unexpected \";\"")),
            Kind::Semicolon => directives.push(directive(std::mem::take(&mut words), line, None)),
            Kind::Open if words.is_empty() => return Err(refuse("unexpected \"{\"")),
            Kind::Open if depth == MAX_DEPTH => return Err(refuse("too many blocks within blocks")),
            Kind::Open => {
                let words = std::mem::take(&mut words);
                let inner = block(lexer, depth + 1)?;
                directives.push(directive(words, line, Some(inner)));
            }
            Kind::Close if !words.is_empty() || depth == 0 => return Err(refuse("unexpected \"}\"")),
            Kind::Close => return Ok(Block { directives, end_line: line }),
            Kind::End { in_word } if in_word || !words.is_empty() => {
                return Err(refuse("unexpected end of file, expecting \";\" or \"}\""));
            }
            Kind::End { .. } if depth > 0 => return Err(refuse("unexpected end of file, expecting \"}\"")),
            Kind::End { .. } => return Ok(Block { directives, end_line: line }),
        }
    }
}

fn directive(mut words: Vec<Vec<u8>>, line: usize, block: Option<Block>) -> Directive {
    let name = String::from_utf8_lossy(&words.remove(0)).into_owned();
    Directive { name, arguments: words, line, block }
}

fn text_after_quote(error: TextAfterQuote) -> SyntaxError {
    SyntaxError { line: error.line, text: format!("unexpected \"{}\"", char::from(error.byte)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_nest_and_know_their_lines() {
        let file = parse(b"events {}\nhttp {\n a b\n c;\n server { d; }\n}\n").expect("valid");
        let [events, http] = file.directives.as_slice() else { panic!("two directives: {file:?}") };
        assert_eq!((events.name.as_str(), events.line), ("events", 1));
        let block = http.block.as_ref().expect("http has a block");
        assert_eq!((http.line, block.end_line), (2, 6));
        let lines: Vec<_> = block.directives.iter().map(|inner| (inner.name.as_str(), inner.line, inner.arguments.len())).collect();
        assert_eq!(lines, [("a", 4, 2), ("server", 5, 0)]);
    }

    #[test]
    fn wrong_punctuation_is_refused_in_the_words_of_nginx() {
        for (text, line, expected) in [
            ("a {\n b\n}", 3, "unexpected \"}\""),
            ("}", 1, "unexpected \"}\""),
            (";", 1, "unexpected \";\""),
            ("a {{", 1, "unexpected \"{\""),
            ("a {\n", 2, "unexpected end of file, expecting \"}\""),
            ("a {\n b \"c;\n}\n", 4, "unexpected end of file, expecting \";\" or \"}\""),
            ("a \"b\"c;", 1, "unexpected \"c\""),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(SyntaxError { line, text: expected.to_owned() }), "{text}");
        }
        assert!(parse("a {".repeat(MAX_DEPTH + 1).as_bytes()).expect_err("too deep").text.contains("too many"));
    }
}
