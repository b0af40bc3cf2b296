//! Parses an nginx.conf and the files that it includes into a tree of blocks and directives.
//!
//! A file is read up to its first syntax error, because the meaning of later directives is
//! uncertain; unreadable files are skipped. `syntax_hints` finds the line that probably caused a
//! syntax error. The meaning of directives is not checked here.

mod lexer;
mod lua;
mod stock_files;
mod syntax_hints;

use self::lexer::{Lexer, TextAfterQuote, Token, TokenKind, Unfinished};
use self::syntax_hints::{Nesting, OpenBlock, Word};
use super::files::{Files, SourcePlace};

/// Maximum depth of nested blocks; real files have five or six.
const MAX_DEPTH: usize = 64;

/// The hint for a missing file that nginx does not ship.
const MISSING: &str =
    "it may hold access rules: copy it to the path from which nginx reads it, or remove the line";

/// A directive: name, arguments and, if it has one, its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Directive {
    pub(in crate::server) name: String,
    pub(in crate::server) arguments: Vec<Vec<u8>>,
    /// The line of its `;` or `{`, which nginx reports.
    pub(in crate::server) place: SourcePlace,
    pub(in crate::server) block: Option<Block>,
}

/// Directives between braces, or those of the whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Block {
    pub(in crate::server) directives: Vec<Directive>,
    /// The line of its `}`.
    pub(in crate::server) end: SourcePlace,
    /// The text between the braces of a Lua block, which has no directives.
    pub(in crate::server) lua: Option<Vec<u8>>,
}

impl Directive {
    /// A directive without a block.
    pub(in crate::server) fn simple(
        name: String,
        arguments: Vec<Vec<u8>>,
        place: SourcePlace,
    ) -> Self {
        Self {
            name,
            arguments,
            place,
            block: None,
        }
    }
}

impl Block {
    pub(in crate::server) fn new(directives: Vec<Directive>, end: SourcePlace) -> Self {
        Self {
            directives,
            end,
            lua: None,
        }
    }
}

/// A syntax error in nginx's wording.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct SyntaxError {
    pub(in crate::server) place: SourcePlace,
    pub(in crate::server) text: String,
    /// The probable cause, or the way to resolve it.
    pub(in crate::server) hint: Option<String>,
}

/// The syntax errors of a file and of the files that it includes.
#[derive(Debug)]
pub(in crate::server) struct SyntaxReport {
    /// Returns whether a word is the name of a directive, for hints.
    is_directive: fn(&str) -> bool,
    pub(in crate::server) errors: Vec<SyntaxError>,
    /// Directives that nginx may accept and that probably lack a `;`, with the hint.
    pub(in crate::server) suspects: Vec<(SourcePlace, String)>,
    /// A part of the configuration was not read, so its definitions are missing.
    pub(in crate::server) is_partial: bool,
}

impl SyntaxReport {
    pub(in crate::server) fn new(is_directive: fn(&str) -> bool) -> Self {
        Self {
            is_directive,
            errors: Vec::new(),
            suspects: Vec::new(),
            is_partial: false,
        }
    }
}

/// Parses a whole file, number `file` of `files`, and the files that it includes.
pub(in crate::server) fn parse(
    text: &[u8],
    file: u16,
    files: &mut Files,
    syntax: &mut SyntaxReport,
) -> Block {
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

/// A block up to a recorded syntax error, at which the enclosing blocks end as well.
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
                TokenKind::Word(text) => words.push(Word {
                    text,
                    line: token.line,
                    indent: token.indent,
                }),
                TokenKind::Semicolon if words.is_empty() => {
                    return Err(self.cut(place, "unexpected \";\"", None, directives));
                }
                TokenKind::Semicolon => {
                    self.simple(std::mem::take(&mut words), place, &mut directives)
                }
                TokenKind::Open if words.is_empty() => {
                    return Err(self.cut(place, "unexpected \"{\"", None, directives));
                }
                TokenKind::Open if self.nesting.open.len() == MAX_DEPTH => {
                    return Err(self.cut(place, "too many nested blocks", None, directives));
                }
                TokenKind::Open => {
                    if let Err(end) =
                        self.with_block(std::mem::take(&mut words), place, &mut directives)
                    {
                        return Err(Block::new(directives, end));
                    }
                }
                TokenKind::Close if words.is_empty() && !self.nesting.open.is_empty() => {
                    self.nesting.close(token.line, token.indent);
                    return Ok(Block::new(directives, place));
                }
                TokenKind::Close => {
                    let hint = self
                        .nesting
                        .unexpected_close(&words, self.syntax.is_directive);
                    return Err(self.cut(place, "unexpected \"}\"", hint, directives));
                }
                TokenKind::End(unfinished) => {
                    return self.end(&token, unfinished, &words, directives);
                }
            }
        }
    }

    /// Handles the end of the file, which is valid outside of words and blocks only.
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
                return Ok(Block::new(directives, place));
            }
            Unfinished::Nothing if words.is_empty() => (
                "unexpected end of file, expecting \"}\"",
                self.nesting.missing_close(),
            ),
            Unfinished::Nothing => (
                "unexpected end of file, expecting \";\" or \"}\"",
                syntax_hints::missing_semicolon_after(words, self.syntax.is_directive),
            ),
            Unfinished::Word => ("unexpected end of file, expecting \";\" or \"}\"", None),
        };
        Err(self.cut(place, text, hint, directives))
    }

    fn place(&self, line: usize) -> SourcePlace {
        SourcePlace {
            file: self.file,
            line,
        }
    }

    fn error(&mut self, place: SourcePlace, text: &str, hint: Option<String>) {
        self.syntax.errors.push(SyntaxError {
            place,
            text: text.to_owned(),
            hint,
        });
    }

    /// Records a syntax error; the block ends there.
    fn cut(
        &mut self,
        place: SourcePlace,
        text: &str,
        hint: Option<String>,
        directives: Vec<Directive>,
    ) -> Cut {
        self.syntax.is_partial = true;
        self.error(place, text, hint);
        Block::new(directives, place)
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

    /// Adds a directive that ends with `;`.
    fn simple(&mut self, words: Vec<Word>, place: SourcePlace, directives: &mut Vec<Directive>) {
        self.nesting.terminated(&words);
        if let Some(hint) = syntax_hints::missing_semicolon_within(&words, self.syntax.is_directive)
        {
            self.syntax.suspects.push((place, hint));
        }
        match directive(words, place, None) {
            include if include.name == "include" => self.include(&include, directives),
            directive => directives.push(directive),
        }
    }

    /// Adds a directive with a block; the error is the place of a syntax error in the block.
    fn with_block(
        &mut self,
        mut words: Vec<Word>,
        place: SourcePlace,
        directives: &mut Vec<Directive>,
    ) -> Result<(), SourcePlace> {
        if let Some(at) = syntax_hints::block_after_missing_semicolon(&words) {
            let rest = words.split_off(at);
            let hint = syntax_hints::missing_semicolon_after(&words, self.syntax.is_directive);
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

    /// Replaces an `include` by the directives of the files that it names; unreadable files are
    /// skipped.
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
            self.report_unread(include.place, &text, None);
            Vec::new()
        });
        for path in paths {
            match self.files.enter(&path) {
                Ok(Some((file, text))) => {
                    directives.extend(parse(&text, file, self.files, self.syntax).directives);
                    self.files.leave();
                }
                Ok(None) => {}
                Err(text) => self.report_unread(include.place, &text, stock_files::hint(&path)),
            }
        }
    }

    /// Reports a file that is not read. The files that nginx ships define nothing that other files
    /// use.
    fn report_unread(&mut self, place: SourcePlace, text: &str, hint: Option<&str>) {
        self.syntax.is_partial |= hint.is_none();
        let missing = text
            .ends_with("No such file or directory)")
            .then_some(MISSING);
        self.error(place, text, hint.or(missing).map(str::to_owned));
    }
}

fn directive(words: Vec<Word>, place: SourcePlace, block: Option<Block>) -> Directive {
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
mod tests;
