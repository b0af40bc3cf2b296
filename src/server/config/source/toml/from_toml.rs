//! Parses a configuration in TOML: the directives of an nginx.conf in another notation.
//!
//! Keys are the names of directives, without `push_stream_` or `pushctl_`. A table is a block:
//! `[[server]]`, `[[server.location]]` with its pattern in `match`,
//! `[server.location.limit_except]` with `methods`, `[types]`, `[[map]]`, `[[upstream]]` with its
//! `name` and its directives in `rules`. Keys at the top level belong to `http`, or to the main
//! block if they are allowed there only. A value is the argument, `true` and `false` are `on` and
//! `off`; an array repeats a directive, or holds its arguments if it cannot be repeated; arrays in
//! an array are the arguments of each repetition. Directives whose order matters are listed in
//! `rules`: `rules = [["allow", "10.0.0.0/8"], { if = ["$arg_x", "=", "1"], return = 403 }]`.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::server::config::source::nginx::directives;
use crate::server::config::source::nginx::files::SourcePlace;
use crate::server::config::source::nginx::parser::{Block, Directive, SyntaxError};
use crate::server::config::source::nginx::rule::{Effect, HTTP, MAIN};

/// Parses a TOML file into the tree of the equivalent nginx.conf, and returns its syntax errors.
/// The tree is `None` if the TOML is malformed.
pub(in crate::server) fn parse(text: &str) -> (Option<Block>, Vec<SyntaxError>) {
    let mut reader = TomlReader {
        text,
        mistakes: Vec::new(),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = reader.place(error.span().unwrap_or_default());
        reader.mistakes.push(SyntaxError {
            place,
            text: error.message().replace('\n', ", "),
            hint: None,
        });
    }
    let is_toml = reader.mistakes.is_empty();
    let all = reader.table(table.get_ref());
    if !is_toml {
        return (None, reader.mistakes);
    }
    let is_main = |directive: &Directive| {
        directives::rule(&directive.name).is_some_and(|rule| rule.contexts & (MAIN | HTTP) == MAIN)
    };
    let (mut main, http): (Vec<_>, Vec<_>) = all.into_iter().partition(is_main);
    let end = reader.place(text.len()..text.len());
    main.push(Directive {
        name: "http".to_owned(),
        arguments: Vec::new(),
        place: end,
        block: Some(Block::new(http, end)),
    });
    (Some(Block::new(main, end)), reader.mistakes)
}

/// The name of the directive that a key stands for.
pub(in crate::server) fn directive_name(key: &str) -> Option<String> {
    let candidates = [
        key.to_owned(),
        format!("push_stream_{key}"),
        format!("pushctl_{key}"),
    ];
    candidates
        .into_iter()
        .find(|name| directives::rule_with_hooks(name).is_some())
}

struct TomlReader<'a> {
    text: &'a str,
    mistakes: Vec<SyntaxError>,
}

/// The arguments of one occurrence of a directive.
type Arguments = Vec<Vec<u8>>;

impl TomlReader<'_> {
    fn place(&self, span: Range<usize>) -> SourcePlace {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        SourcePlace {
            file: 0,
            line: memchr::memchr_iter(b'\n', before).count() + 1,
        }
    }

    fn mistake(&mut self, span: Range<usize>, text: impl Into<String>) {
        let place = self.place(span);
        self.mistakes.push(SyntaxError {
            place,
            text: text.into(),
            hint: None,
        });
    }

    /// The directives of a table, in the order of the file.
    fn table(&mut self, table: &DeTable<'_>) -> Vec<Directive> {
        self.table_without(table, "")
    }

    /// The directives of a table, without a key that has been read.
    fn table_without(&mut self, table: &DeTable<'_>, known: &str) -> Vec<Directive> {
        let mut entries: Vec<_> = table
            .iter()
            .filter(|(key, _)| key.get_ref() != known)
            .collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .flat_map(|(key, value)| self.entry(key.get_ref(), key.span(), value))
            .collect()
    }

    fn entry(
        &mut self,
        key: &str,
        span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Vec<Directive> {
        match (key, value.get_ref()) {
            // Read together with their table.
            ("match" | "if", _) => Vec::new(),
            ("rules", DeValue::Array(rules)) => {
                rules.iter().flat_map(|rule| self.rule(rule)).collect()
            }
            (
                "server" | "location" | "map" | "upstream" | "types" | "limit_except",
                DeValue::Table(table),
            ) => {
                vec![self.block(key, span, table)]
            }
            ("server" | "location" | "map" | "upstream", DeValue::Array(tables)) => tables
                .iter()
                .flat_map(|element| self.element(key, element))
                .collect(),
            _ => self.simple(key, span, value),
        }
    }

    fn element(&mut self, key: &str, element: &Spanned<DeValue<'_>>) -> Option<Directive> {
        if let DeValue::Table(table) = element.get_ref() {
            return Some(self.block(key, element.span(), table));
        }
        self.mistake(
            element.span(),
            format!("\"{key}\" must be a table: [[{key}]]"),
        );
        None
    }

    fn block(&mut self, name: &str, span: Range<usize>, table: &DeTable<'_>) -> Directive {
        let (arguments, directives) = match name {
            "types" => (Vec::new(), self.types(table)),
            "map" => (
                ["source", "variable"]
                    .map(|key| self.required_text(name, key, table, &span))
                    .to_vec(),
                self.map(table),
            ),
            "upstream" => (
                vec![self.required_text(name, "name", table, &span)],
                self.upstream(table),
            ),
            "location" => (
                pattern(&self.required_text(name, "match", table, &span)),
                self.table(table),
            ),
            "limit_except" => {
                let methods = table
                    .get("methods")
                    .map(|methods| self.arguments(methods))
                    .unwrap_or_default();
                if methods.is_empty() {
                    self.mistake(span.clone(), "\"limit_except\" needs the key \"methods\"");
                }
                (methods, self.table_without(table, "methods"))
            }
            _ => (Vec::new(), self.table(table)),
        };
        let place = self.place(span);
        Directive {
            name: name.to_owned(),
            arguments,
            place,
            block: Some(Block::new(directives, place)),
        }
    }

    /// The value of a required key, which must be a string.
    fn required_text(
        &mut self,
        block: &str,
        key: &str,
        table: &DeTable<'_>,
        span: &Range<usize>,
    ) -> Vec<u8> {
        match table.get(key).map(Spanned::get_ref) {
            Some(DeValue::String(text)) => return text.as_bytes().to_vec(),
            Some(_) => self.mistake(
                span.clone(),
                format!("\"{key}\" of \"{block}\" must be a string"),
            ),
            None => self.mistake(span.clone(), format!("\"{block}\" needs the key \"{key}\"")),
        }
        Vec::new()
    }

    fn simple(
        &mut self,
        key: &str,
        span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Vec<Directive> {
        let Some(name) = directive_name(key) else {
            self.mistake(
                span,
                format!(
                    "unknown key \"{key}\" (keys are directives that pushctl supports, without \
                         \"push_stream_\" or \"pushctl_\")"
                ),
            );
            return Vec::new();
        };
        let place = self.place(span);
        let rule = directives::rule_with_hooks(&name);
        let (most, least) = rule.map_or((1, 0), |rule| {
            (*rule.arguments.end(), *rule.arguments.start())
        });
        let once = rule.is_some_and(|rule| matches!(rule.effect, Effect::Once(_)));
        let all: Vec<Arguments> = match value.get_ref() {
            // A directive without arguments is present or absent.
            DeValue::Boolean(present) if least == 0 => present.then(Vec::new).into_iter().collect(),
            DeValue::Array(values) if values.iter().any(|value| value.get_ref().is_array()) => {
                values.iter().map(|value| self.arguments(value)).collect()
            }
            DeValue::Array(_) if (once && most > 1) || least > 1 => vec![self.arguments(value)],
            DeValue::Array(values) => values.iter().map(|value| self.arguments(value)).collect(),
            _ => vec![self.arguments(value)],
        };
        all.into_iter()
            .map(|arguments| Directive::simple(name.clone(), arguments, place))
            .collect()
    }

    /// A string, number or flag, or an array of them.
    fn arguments(&mut self, value: &Spanned<DeValue<'_>>) -> Arguments {
        match value.get_ref() {
            DeValue::Array(values) => values
                .iter()
                .flat_map(|value| self.argument(value))
                .collect(),
            _ => self.argument(value).into_iter().collect(),
        }
    }

    fn argument(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Vec<u8>> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().replace('_', ""),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(flag) => (if *flag { "on" } else { "off" }).to_owned(),
            _ => {
                self.mistake(value.span(), "expected a string, a number, true or false");
                return None;
            }
        };
        Some(text.into_bytes())
    }

    /// An array whose first element is a name and whose others are arguments.
    fn words(&mut self, array: &Spanned<DeValue<'_>>) -> Directive {
        let mut words = self.arguments(array).into_iter();
        let name = String::from_utf8_lossy(&words.next().unwrap_or_default()).into_owned();
        Directive::simple(name, words.collect(), self.place(array.span()))
    }

    /// A directive with its arguments, or an `if`.
    fn rule(&mut self, rule: &Spanned<DeValue<'_>>) -> Option<Directive> {
        match rule.get_ref() {
            DeValue::Table(table) => {
                let place = self.place(rule.span());
                let Some(words) = table.get("if").map(|words| self.arguments(words)) else {
                    self.mistake(rule.span(), "a table in \"rules\" needs the key \"if\"");
                    return None;
                };
                let arguments = [vec![b"(".to_vec()], words, vec![b")".to_vec()]].concat();
                let block = Some(Block::new(self.table(table), place));
                Some(Directive {
                    name: "if".to_owned(),
                    arguments,
                    place,
                    block,
                })
            }
            DeValue::Array(_) => {
                let directive = self.words(rule);
                let Some(name) = directive_name(&directive.name) else {
                    self.mistake(
                        rule.span(),
                        format!("unknown directive \"{}\" in \"rules\"", directive.name),
                    );
                    return None;
                };
                Some(Directive { name, ..directive })
            }
            _ => {
                self.mistake(
                    rule.span(),
                    "\"rules\" holds arrays, and tables with \"if\"",
                );
                None
            }
        }
    }

    /// The lines of a `types` block, in the order of the file.
    fn types(&mut self, table: &DeTable<'_>) -> Vec<Directive> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .map(|(key, value)| Directive {
                name: key.get_ref().to_string(),
                arguments: self.arguments(value),
                place: self.place(value.span()),
                block: None,
            })
            .collect()
    }

    /// The `rules` of an upstream: each is a directive with its arguments.
    fn upstream(&mut self, table: &DeTable<'_>) -> Vec<Directive> {
        let mut directives = Vec::new();
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("name", _) => {}
                ("rules", DeValue::Array(rules)) => {
                    for rule in rules {
                        directives.push(self.words(rule));
                    }
                }
                (key, _) => self.mistake(
                    value.span(),
                    format!("unknown key \"{key}\" of \"upstream\" (expected name or rules)"),
                ),
            }
        }
        directives
    }

    fn map(&mut self, table: &DeTable<'_>) -> Vec<Directive> {
        let mut lines = Vec::new();
        for (key, value) in table {
            let place = self.place(key.span());
            let line = |name: &str, arguments| Directive::simple(name.to_owned(), arguments, place);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("source" | "variable", _) | ("hostnames", DeValue::Boolean(false)) => {}
                ("hostnames", DeValue::Boolean(true)) => lines.push(line("hostnames", Vec::new())),
                ("default", _) => lines.push(line("default", self.arguments(value))),
                ("values", DeValue::Array(pairs)) => {
                    for pair in pairs {
                        lines.push(self.words(pair));
                    }
                }
                (key, _) => {
                    let text = format!(
                        "unknown key \"{key}\" of \"map\" (expected source, variable, default, \
                         hostnames or values)"
                    );
                    self.mistake(value.span(), text);
                }
            }
        }
        lines
    }
}

/// The arguments of `location`: modifier and text, or one text.
pub(in crate::server) fn pattern(text: &[u8]) -> Arguments {
    match memchr::memchr(b' ', text) {
        Some(at) if matches!(&text[..at], b"=" | b"^~" | b"~" | b"~*") => {
            vec![text[..at].to_vec(), text[at + 1..].to_vec()]
        }
        _ => vec![text.to_vec()],
    }
}
