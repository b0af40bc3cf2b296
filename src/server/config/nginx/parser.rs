//! The blocks and directives of an nginx.conf and the files that it includes, without their
//! meaning.
//!
//! Directives after a syntax error have no certain meaning, so its file is read up to there; files
//! that cannot be read are left out. `syntax_hints` finds the line that was meant.

use super::files::{Files, Place};
use super::lexer::{Kind, Lexer, TextAfterQuote, Token, Unfinished};
use super::syntax_hints::{self, Nesting, OpenBlock, Word};
use super::{lua, stock_files};

/// Most blocks within blocks; real files have five or six.
const MAX_DEPTH: usize = 64;

/// What to do about a missing file that is not one of nginx's.
const MISSING: &str =
    "it may hold access rules: copy it to the path from which nginx reads it, or remove the line";

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
    /// The text between the braces of a Lua block, which has no directives.
    pub(super) lua: Option<Vec<u8>>,
}

/// Why a text is no configuration, in nginx's words, and the place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) place: Place,
    pub(super) text: String,
    /// Where the mistake probably is, or what to do.
    pub(super) hint: Option<String>,
}

/// What was found wrong on the way through the files.
#[derive(Debug, Default)]
pub(super) struct SyntaxReport {
    pub(super) errors: Vec<SyntaxError>,
    /// Directives that nginx may accept and that probably lack a `;`, with the hint.
    pub(super) suspects: Vec<(Place, String)>,
    /// A part of the configuration was not read, so what it defines is missing.
    pub(super) is_partial: bool,
}

/// Parses a whole file, number `file` of `files`, and the files that it includes.
pub(super) fn parse(text: &[u8], file: u16, files: &mut Files, syntax: &mut SyntaxReport) -> Block {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        file,
        files,
        syntax,
        nesting: Nesting::default(),
    };
    parser.block().unwrap_or_else(|cut| cut)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    file: u16,
    files: &'a mut Files,
    syntax: &'a mut SyntaxReport,
    nesting: Nesting,
}

/// A block up to a syntax error, which is recorded: everything around it ends there as well.
type Cut = Block;

impl Parser<'_> {
    fn block(&mut self) -> Result<Block, Cut> {
        let mut directives = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        loop {
            let token = match self.lexer.next() {
                Ok(token) => token,
                Err(error) => return Err(self.text_after_quote(error, directives)),
            };
            let place = self.place(token.line);
            match token.kind {
                Kind::Word(text) => words.push(Word {
                    text,
                    line: token.line,
                    indent: token.indent,
                }),
                Kind::Semicolon if words.is_empty() => {
                    return Err(self.cut(place, "unexpected \";\"", None, directives));
                }
                Kind::Semicolon => self.simple(std::mem::take(&mut words), place, &mut directives),
                Kind::Open if words.is_empty() => {
                    return Err(self.cut(place, "unexpected \"{\"", None, directives));
                }
                Kind::Open if self.nesting.open.len() == MAX_DEPTH => {
                    return Err(self.cut(place, "too many blocks within blocks", None, directives));
                }
                Kind::Open => {
                    if let Err(end) =
                        self.with_block(std::mem::take(&mut words), place, &mut directives)
                    {
                        return Err(Block {
                            directives,
                            end,
                            lua: None,
                        });
                    }
                }
                Kind::Close if words.is_empty() && !self.nesting.open.is_empty() => {
                    self.nesting.close(token.line, token.indent);
                    return Ok(Block {
                        directives,
                        end: place,
                        lua: None,
                    });
                }
                Kind::Close => {
                    let hint = self.nesting.unexpected_close(&words);
                    return Err(self.cut(place, "unexpected \"}\"", hint, directives));
                }
                Kind::End(unfinished) => return self.end(&token, unfinished, &words, directives),
            }
        }
    }

    /// The end of the file, which is right outside of words and blocks only.
    fn end(
        &mut self,
        token: &Token,
        unfinished: Unfinished,
        words: &[Word],
        directives: Vec<Directive>,
    ) -> Result<Block, Cut> {
        let place = self.place(token.line);
        let (text, hint) = match unfinished {
            Unfinished::Quote => {
                let hint = format!("the quote in line {} is not closed", token.first_line);
                (
                    "unexpected end of file, expecting \";\" or \"}\"",
                    Some(hint),
                )
            }
            Unfinished::Nothing if words.is_empty() && self.nesting.open.is_empty() => {
                return Ok(Block {
                    directives,
                    end: place,
                    lua: None,
                });
            }
            Unfinished::Nothing if words.is_empty() => (
                "unexpected end of file, expecting \"}\"",
                self.nesting.missing_close(),
            ),
            Unfinished::Nothing => (
                "unexpected end of file, expecting \";\" or \"}\"",
                syntax_hints::missing_semicolon_after(words),
            ),
            Unfinished::Word => ("unexpected end of file, expecting \";\" or \"}\"", None),
        };
        Err(self.cut(place, text, hint, directives))
    }

    fn place(&self, line: usize) -> Place {
        Place {
            file: self.file,
            line,
        }
    }

    fn error(&mut self, place: Place, text: &str, hint: Option<String>) {
        self.syntax.errors.push(SyntaxError {
            place,
            text: text.to_owned(),
            hint,
        });
    }

    /// Records a syntax error; the block ends there.
    fn cut(
        &mut self,
        place: Place,
        text: &str,
        hint: Option<String>,
        directives: Vec<Directive>,
    ) -> Cut {
        self.syntax.is_partial = true;
        self.error(place, text, hint);
        Block {
            directives,
            end: place,
            lua: None,
        }
    }

    fn text_after_quote(&mut self, error: TextAfterQuote, directives: Vec<Directive>) -> Cut {
        let text = format!("unexpected \"{}\"", char::from(error.byte));
        let hint = (error.first_line < error.line).then(|| {
            format!(
                "the quote in line {} is probably not closed",
                error.first_line
            )
        });
        self.cut(self.place(error.line), &text, hint, directives)
    }

    /// A directive that ends with `;`.
    fn simple(&mut self, words: Vec<Word>, place: Place, directives: &mut Vec<Directive>) {
        self.nesting.terminated(&words);
        if let Some(hint) = syntax_hints::missing_semicolon_within(&words) {
            self.syntax.suspects.push((place, hint));
        }
        match directive(words, place, None) {
            include if include.name == "include" => self.include(&include, directives),
            directive => directives.push(directive),
        }
    }

    /// A directive with a block; the error is the place of a syntax error in it.
    fn with_block(
        &mut self,
        mut words: Vec<Word>,
        place: Place,
        directives: &mut Vec<Directive>,
    ) -> Result<(), Place> {
        if let Some(at) = syntax_hints::block_after_missing_semicolon(&words) {
            let rest = words.split_off(at);
            let hint = syntax_hints::missing_semicolon_after(&words);
            let text = format!(
                "directive \"{}\" is not terminated by \";\"",
                words[0].shown()
            );
            self.error(place, &text, hint);
            directives.push(directive(std::mem::replace(&mut words, rest), place, None));
        }
        let name = words[0].shown();
        if lua::has_lua_block(&name) {
            let Some(code) = self.lexer.lua_block() else {
                let cut = self.cut(
                    place,
                    &format!("the block of \"{name}\" has no closing \"}}\""),
                    None,
                    Vec::new(),
                );
                return Err(cut.end);
            };
            let block = Block {
                directives: Vec::new(),
                end: self.place(self.lexer.line()),
                lua: Some(code.to_vec()),
            };
            directives.push(directive(words, place, Some(block)));
            return Ok(());
        }
        self.nesting.open.push(OpenBlock {
            name,
            line: words[0].line,
            indent: words[0].indent,
        });
        let result = self.block();
        let end = result.as_ref().err().map(|cut| cut.end);
        let (Ok(inner) | Err(inner)) = result;
        directives.push(directive(words, place, Some(inner)));
        end.map_or(Ok(()), Err)
    }

    /// Puts the directives of the files that an `include` names in its place; those that cannot be
    /// read are left out.
    fn include(&mut self, include: &Directive, directives: &mut Vec<Directive>) {
        let [pattern] = include.arguments.as_slice() else {
            self.error(
                include.place,
                "invalid number of arguments in \"include\" directive",
                None,
            );
            return;
        };
        let paths = self.files.matching(pattern).unwrap_or_else(|text| {
            self.left_out(include.place, &text, None);
            Vec::new()
        });
        for path in paths {
            match self.files.enter(&path) {
                Ok(Some((file, text))) => {
                    directives.extend(parse(&text, file, self.files, self.syntax).directives);
                    self.files.leave();
                }
                Ok(None) => {}
                Err(text) => self.left_out(include.place, &text, stock_files::hint(&path)),
            }
        }
    }

    /// Reports a file that is not read. Those that belong to nginx itself define nothing that is
    /// used elsewhere.
    fn left_out(&mut self, place: Place, text: &str, hint: Option<&str>) {
        self.syntax.is_partial |= hint.is_none();
        let missing = text
            .ends_with("No such file or directory)")
            .then_some(MISSING);
        self.error(place, text, hint.or(missing).map(str::to_owned));
    }
}

fn directive(words: Vec<Word>, place: Place, block: Option<Block>) -> Directive {
    let mut texts = words.into_iter().map(|word| word.text);
    let name = String::from_utf8_lossy(&texts.next().unwrap_or_default()).into_owned();
    Directive {
        name,
        arguments: texts.collect(),
        place,
        block,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> (Block, SyntaxReport) {
        let mut syntax = SyntaxReport::default();
        let block = parse(text, 0, &mut Files::new("conf"), &mut syntax);
        (block, syntax)
    }

    #[test]
    fn blocks_nest_and_know_their_lines() {
        let (file, syntax) = parsed(b"events {}\nhttp {\n a b\n c;\n server { d; }\n}\n");
        assert!(syntax.errors.is_empty(), "{syntax:?}");
        let [events, http] = file.directives.as_slice() else {
            panic!("two directives: {file:?}")
        };
        assert_eq!((events.name.as_str(), events.place.line), ("events", 1));
        let block = http.block.as_ref().expect("http has a block");
        assert_eq!((http.place.line, block.end.line), (2, 6));
        let lines: Vec<_> = block
            .directives
            .iter()
            .map(|inner| (inner.name.as_str(), inner.place.line, inner.arguments.len()))
            .collect();
        assert_eq!(lines, [("a", 4, 2), ("server", 5, 0)]);
    }

    #[test]
    fn wrong_punctuation_is_rejected_in_the_words_of_nginx_with_a_hint() {
        for (text, line, expected) in [
            (
                "a {\n b\n}",
                3,
                "unexpected \"}\" (a \";\" is missing after \"b\" in line 2)",
            ),
            ("}", 1, "unexpected \"}\""),
            (";", 1, "unexpected \";\""),
            ("a {{", 1, "unexpected \"{\""),
            (
                "a {\n",
                2,
                "unexpected end of file, expecting \"}\" (the block of \"a\" in line 1 is not \
                 closed)",
            ),
            (
                "a {\n b \"c;\n}\n",
                4,
                "unexpected end of file, expecting \";\" or \"}\" (the quote in line 2 is not \
                 closed)",
            ),
            ("a \"b\"c;", 1, "unexpected \"c\""),
            (
                "a \"b;\nc \"d;",
                2,
                "unexpected \"d\" (the quote in line 1 is probably not closed)",
            ),
            (
                "http {\nserver\nlisten 80;\n}\n}",
                5,
                "unexpected \"}\" (\"server\" in line 2 has no \"{\")",
            ),
            (
                "a {\n b {\n  c;\n }\n }\n}",
                6,
                "unexpected \"}\" (the \"}\" in line 5 is probably one too many)",
            ),
            (
                "a {\n b {\n  c {\n  d;\n }\n}\n",
                7,
                "unexpected end of file, expecting \"}\" (the block of \"c\" in line 3 is probably \
                 not closed)",
            ),
            (
                "http {\n\ninit_by_lua_block {\n x = '}'\n",
                3,
                "the block of \"init_by_lua_block\" has no closing \"}\"",
            ),
        ] {
            let [
                SyntaxError {
                    place,
                    text: found,
                    hint,
                },
            ] = parsed(text.as_bytes())
                .1
                .errors
                .try_into()
                .expect("one error");
            let found = hint.map_or_else(|| found.clone(), |hint| format!("{found} ({hint})"));
            assert_eq!(
                (found.as_str(), place),
                (expected, Place { file: 0, line }),
                "{text}"
            );
        }
        let (_, syntax) = parsed("a {".repeat(MAX_DEPTH + 1).as_bytes());
        assert!(syntax.errors[0].text.contains("too many"));
    }

    #[test]
    fn directives_before_a_syntax_error_are_read() {
        let (file, syntax) = parsed(b"a;\nb {\nc;\nd }\ne;");
        assert_eq!(syntax.errors.len(), 1);
        let [a, b] = file.directives.as_slice() else {
            panic!("two directives: {file:?}")
        };
        assert_eq!(
            (
                a.name.as_str(),
                b.block.as_ref().map(|block| block.directives.len())
            ),
            ("a", Some(1))
        );
    }

    #[test]
    fn a_block_behind_a_missing_semicolon_is_read() {
        let (file, syntax) = parsed(b"http {\ngzip on\n\nserver {\nlisten 80;\n}\n}\n");
        let text = "directive \"gzip\" is not terminated by \";\"".to_owned();
        let hint = Some("a \";\" is missing after \"on\" in line 2".to_owned());
        assert_eq!(
            syntax.errors,
            [SyntaxError {
                place: Place { file: 0, line: 4 },
                text,
                hint
            }]
        );
        let http = file.directives[0].block.as_ref().expect("a block");
        let names: Vec<_> = http
            .directives
            .iter()
            .map(|inner| (inner.name.as_str(), inner.block.is_some()))
            .collect();
        assert_eq!(names, [("gzip", false), ("server", true)]);
    }

    #[test]
    fn lua_blocks_keep_their_text_and_are_not_read() {
        let code = " local t = { '}' } -- }\n;";
        let (file, syntax) =
            parsed(format!("server {{ set_by_lua_block $x {{{code}}}\na; }}").as_bytes());
        assert!(syntax.errors.is_empty(), "{syntax:?}");
        let [lua, a] = file.directives[0]
            .block
            .as_ref()
            .expect("a block")
            .directives
            .as_slice()
        else {
            panic!("{file:?}")
        };
        assert_eq!(
            (lua.arguments.as_slice(), a.place.line),
            ([b"$x".to_vec()].as_slice(), 3)
        );
        assert_eq!(
            lua.block.as_ref().and_then(|block| block.lua.as_deref()),
            Some(code.as_bytes())
        );
    }
}
