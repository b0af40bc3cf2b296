//! The blocks and directives of an nginx.conf and the files that it includes, without their meaning.

use super::files::{Files, Place};
use super::lexer::{Kind, Lexer};

/// Most blocks within blocks; real files have five or six.
const MAX_DEPTH: usize = 64;

/// A directive: name, arguments and, if it has one, its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<Vec<u8>>,
    /// The place of its `;` or `{`, as nginx counts.
    pub(super) place: Place,
    pub(super) block: Option<Block>,
}

/// Directives between braces, or those of the whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) directives: Vec<Directive>,
    /// The place of its `}`.
    pub(super) end: Place,
}

/// Why a text is no configuration, in nginx's words, and the place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) place: Place,
    pub(super) text: String,
}

/// Parses a whole file, number `file` of `files`, and what it includes. Stops at the first mistake: what follows it has no
/// certain meaning.
pub(super) fn parse(text: &[u8], file: u16, files: &mut Files) -> Result<Block, SyntaxError> {
    Parser { lexer: Lexer::new(text), file, files }.block(0)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    file: u16,
    files: &'a mut Files,
}

impl Parser<'_> {
    fn block(&mut self, depth: usize) -> Result<Block, SyntaxError> {
        let mut directives = Vec::new();
        let mut words: Vec<Vec<u8>> = Vec::new();
        loop {
            let token = self.lexer.next().map_err(|error| SyntaxError {
                place: Place { file: self.file, line: error.line },
                text: format!("unexpected \"{}\"", char::from(error.byte)),
            })?;
            let place = Place { file: self.file, line: token.line };
            let refuse = |text: &str| SyntaxError { place, text: text.to_owned() };
            match token.kind {
                Kind::Word(word) => words.push(word),
                Kind::Semicolon if words.is_empty() => return Err(refuse("unexpected \";\"")),
                Kind::Semicolon => match directive(std::mem::take(&mut words), place, None) {
                    include if include.name == "include" => directives.extend(self.include(&include)?),
                    directive => directives.push(directive),
                },
                Kind::Open if words.is_empty() => return Err(refuse("unexpected \"{\"")),
                Kind::Open if depth == MAX_DEPTH => return Err(refuse("too many blocks within blocks")),
                Kind::Open => {
                    let words = std::mem::take(&mut words);
                    let inner = self.block(depth + 1)?;
                    directives.push(directive(words, place, Some(inner)));
                }
                Kind::Close if !words.is_empty() || depth == 0 => return Err(refuse("unexpected \"}\"")),
                Kind::Close => return Ok(Block { directives, end: place }),
                Kind::End { in_word } if in_word || !words.is_empty() => {
                    return Err(refuse("unexpected end of file, expecting \";\" or \"}\""));
                }
                Kind::End { .. } if depth > 0 => return Err(refuse("unexpected end of file, expecting \"}\"")),
                Kind::End { .. } => return Ok(Block { directives, end: place }),
            }
        }
    }

    /// The directives of the files that an `include` names, in its place.
    fn include(&mut self, include: &Directive) -> Result<Vec<Directive>, SyntaxError> {
        let refuse = |text: String| SyntaxError { place: include.place, text };
        let [pattern] = include.arguments.as_slice() else {
            return Err(refuse("invalid number of arguments in \"include\" directive".to_owned()));
        };
        let mut directives = Vec::new();
        for path in self.files.matching(pattern).map_err(refuse)? {
            let (file, text) = self.files.enter(&path).map_err(refuse)?;
            directives.extend(parse(&text, file, self.files)?.directives);
            self.files.leave();
        }
        Ok(directives)
    }
}

fn directive(mut words: Vec<Vec<u8>>, place: Place, block: Option<Block>) -> Directive {
    let name = String::from_utf8_lossy(&words.remove(0)).into_owned();
    Directive { name, arguments: words, place, block }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Result<Block, SyntaxError> {
        parse(text, 0, &mut Files::new("conf"))
    }

    #[test]
    fn blocks_nest_and_know_their_lines() {
        let file = parsed(b"events {}\nhttp {\n a b\n c;\n server { d; }\n}\n").expect("valid");
        let [events, http] = file.directives.as_slice() else { panic!("two directives: {file:?}") };
        assert_eq!((events.name.as_str(), events.place.line), ("events", 1));
        let block = http.block.as_ref().expect("http has a block");
        assert_eq!((http.place.line, block.end.line), (2, 6));
        let lines: Vec<_> = block.directives.iter().map(|inner| (inner.name.as_str(), inner.place.line, inner.arguments.len())).collect();
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
            assert_eq!(parsed(text.as_bytes()), Err(SyntaxError { place: Place { file: 0, line }, text: expected.to_owned() }), "{text}");
        }
        assert!(parsed("a {".repeat(MAX_DEPTH + 1).as_bytes()).expect_err("too deep").text.contains("too many"));
    }
}
