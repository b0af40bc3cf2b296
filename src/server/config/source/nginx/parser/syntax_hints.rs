//! Finds the line where a `;` or a brace is probably missing: the syntax error is often many lines
//! below it.
//!
//! The results are hints only: a file that nginx accepts stays valid.

use super::lua;

/// A word of a directive, with its line.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: Vec<u8>,
    pub(super) line: usize,
    /// The blanks before it if it is the first word of its line.
    pub(super) indent: Option<usize>,
}

impl Word {
    /// The word as text.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// Whether the word is the first of its line and `is_name` holds for it.
    fn begins(&self, is_name: impl Fn(&str) -> bool) -> bool {
        self.indent.is_some() && std::str::from_utf8(&self.text).is_ok_and(is_name)
    }
}

/// A block whose `}` was not found yet.
#[derive(Debug)]
pub(super) struct OpenBlock {
    pub(super) name: String,
    pub(super) line: usize,
    /// The blanks before its name if that is the first word of its line.
    pub(super) indent: Option<usize>,
}

/// The open blocks, and the first suspicious lines.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    /// The outermost first.
    pub(super) open: Vec<OpenBlock>,
    /// The first block that ended at the indentation of another one.
    unclosed: Option<String>,
    /// The first `}` that is indented deeper than its block.
    superfluous: Option<String>,
    /// The first directive with a block that ended with `;`.
    braceless: Option<String>,
}

/// Directives with a block.
const BLOCKS: [&str; 14] = [
    "charset_map",
    "events",
    "geo",
    "http",
    "if",
    "limit_except",
    "location",
    "mail",
    "map",
    "server",
    "split_clients",
    "stream",
    "types",
    "upstream",
];
/// Prefixes of directives of nginx that pushctl does not support.
const FAMILIES: [&str; 10] = [
    "auth_",
    "fastcgi_",
    "grpc_",
    "limit_",
    "proxy_",
    "push_",
    "scgi_",
    "ssl_",
    "sub_filter",
    "uwsgi_",
];
/// Further directives of nginx that may follow a missing `;`.
const OTHERS: [&str; 4] = ["expires", "resolver", "rewrite", "rewrite_log"];

impl Nesting {
    /// Ends the innermost block at the `}` of this line.
    pub(super) fn close(&mut self, line: usize, indent: Option<usize>) {
        let Some(OpenBlock {
            name,
            line: begin,
            indent: opened,
        }) = self.open.pop()
        else {
            return;
        };
        let (Some(opened), Some(closed)) = (opened, indent) else {
            return;
        };
        if closed < opened && self.open.iter().any(|outer| outer.indent == Some(closed)) {
            let hint = || format!("the block of \"{name}\" in line {begin} is probably not closed");
            self.unclosed.get_or_insert_with(hint);
        } else if closed > opened {
            self.superfluous.get_or_insert_with(|| {
                format!("the \"}}\" in line {line} is probably one too many")
            });
        }
    }

    /// Checks a directive that ends with `;` for the name of a block.
    pub(super) fn terminated(&mut self, words: &[Word]) {
        // `server` is also a directive of upstream blocks.
        let is_braceless = |(at, word): &(usize, &Word)| {
            let is_alone = words.get(at + 1).is_some_and(|next| next.indent.is_some());
            word.begins(|name| BLOCKS.contains(&name) && (name != "server" || is_alone))
        };
        if let Some((_, word)) = words.iter().enumerate().find(is_braceless) {
            let hint = || format!("\"{}\" in line {} has no \"{{\"", word.shown(), word.line);
            self.braceless.get_or_insert_with(hint);
        }
    }

    /// The hint for a `}` that ends no block, or a directive of these words without a `;`.
    pub(super) fn unexpected_close(
        &self,
        words: &[Word],
        is_directive: fn(&str) -> bool,
    ) -> Option<String> {
        if !words.is_empty() {
            return missing_semicolon_after(words, is_directive);
        }
        self.braceless.clone().or_else(|| self.superfluous.clone())
    }

    /// The hint for a file that ends within a block.
    pub(super) fn missing_close(&self) -> Option<String> {
        let innermost = || {
            self.open.last().map(|open| {
                format!(
                    "the block of \"{}\" in line {} is not closed",
                    open.name, open.line
                )
            })
        };
        self.unclosed.clone().or_else(innermost)
    }
}

fn is_known(name: &str, is_directive: fn(&str) -> bool) -> bool {
    let is_of_family = FAMILIES.iter().any(|family| name.starts_with(family));
    is_block(name) || is_of_family || OTHERS.contains(&name) || is_directive(name)
}

fn is_block(name: &str) -> bool {
    BLOCKS.contains(&name) || lua::has_lua_block(name)
}

/// The hint for a directive of several lines, of which one begins like another directive.
pub(super) fn missing_semicolon_within(
    words: &[Word],
    is_directive: fn(&str) -> bool,
) -> Option<String> {
    let at = words
        .iter()
        .skip(1)
        .position(|word| word.begins(|name| is_known(name, is_directive)))?;
    Some(format!(
        "a \";\" is probably missing at the end of line {}",
        words[at].line
    ))
}

/// The hint for a directive that does not end with a `;`.
pub(super) fn missing_semicolon_after(
    words: &[Word],
    is_directive: fn(&str) -> bool,
) -> Option<String> {
    let last = words.last()?;
    let after_last = || {
        format!(
            "a \";\" is missing after \"{}\" in line {}",
            last.shown().escape_debug(),
            last.line
        )
    };
    Some(missing_semicolon_within(words, is_directive).unwrap_or_else(after_last))
}

/// Index of the word that begins the directive with the block, if the words before it are another
/// directive without `;`.
pub(super) fn block_after_missing_semicolon(words: &[Word]) -> Option<usize> {
    let is_simple = words.first().is_some_and(|first| !is_block(&first.shown()));
    let at = words
        .iter()
        .skip(1)
        .position(|word| word.begins(is_block))
        .filter(|_| is_simple)?;
    Some(at + 1)
}
