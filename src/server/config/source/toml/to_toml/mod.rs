//! Converts an nginx.conf to the TOML that `from_toml` reads. Unsupported directives become
//! comments with their place.

mod values;

use std::fmt::Write;

use toml::{Table, Value};

use self::values::{is_rule, key, rule, text, utf8, value, words};
use crate::server::config::source::nginx::classes;
use crate::server::config::source::nginx::classes::Class;
use crate::server::config::source::nginx::directives;
use crate::server::config::source::nginx::files::Files;
use crate::server::config::source::nginx::parser::{Block, Directive};
use crate::server::config::source::nginx::rule::{Effect, Rule};

/// Directives whose order matters.
const RULES: [&str; 7] = ["allow", "deny", "set", "if", "return", "break", "rewrite"];

/// Writes a tree as TOML; the error names the text that TOML cannot represent.
pub(in crate::server) fn write(tree: &Block, files: &Files) -> Result<String, String> {
    let has_hooks = crate::server::config::source::nginx::rewriting::has_hooks(&tree.directives);
    let mut writer = TomlWriter {
        out: String::new(),
        files,
        has_hooks,
        main: Vec::new(),
    };
    let empty = Block::default();
    let http = tree
        .directives
        .iter()
        .find(|directive| directive.name == "http")
        .and_then(|http| http.block.as_ref())
        .unwrap_or(&empty);
    let redefined =
        crate::server::config::source::nginx::names::variables(&tree.directives).redefined;
    http.directives.iter().try_for_each(|directive| {
        is_defined_once(directive, &redefined).map_err(|error| writer.with_place(directive, error))
    })?;
    // The main block and `http` are one table, so that a directive in both is one key.
    let mut top: Vec<&Directive> = Vec::new();
    for directive in &tree.directives {
        match (directive.name.as_str(), &directive.block) {
            ("http", _) => {}
            ("events", Some(events)) => events
                .directives
                .iter()
                .for_each(|inner| writer.comment(inner, "")),
            _ => {
                writer.main.push(directive);
                top.push(directive);
            }
        }
    }
    top.extend(&http.directives);
    writer.block(&top, "")?;
    Ok(writer.out)
}

/// Rejects a variable that an unsupported directive such as `geo` defines and that has another
/// definition: without that directive, its value in TOML would be another one.
fn is_defined_once(directive: &Directive, redefined: &[String]) -> Result<(), String> {
    let mut found = None;
    crate::server::config::source::nginx::names::visit([directive], &mut |inner| {
        found = found.take().or_else(|| {
            crate::server::config::source::nginx::names::foreign_variable(inner)
                .filter(|name| redefined.contains(name))
        });
    });
    let Some(variable) = found else { return Ok(()) };
    let name = &directive.name;
    Err(format!(
        "TOML has no \"{name}\", and the variable \"${variable}\" has another definition: rename \
         one of them"
    ))
}

struct TomlWriter<'a> {
    out: String,
    files: &'a Files,
    /// The file has hooks, so `proxy_*` is supported.
    has_hooks: bool,
    /// The directives of the main block, which are no guards.
    main: Vec<&'a Directive>,
}

impl TomlWriter<'_> {
    fn rule(&self, name: &str) -> Option<&'static Rule> {
        if self.has_hooks {
            directives::rule_with_hooks(name)
        } else {
            directives::rule(name)
        }
    }

    fn class(&self, directive: &Directive) -> Option<Class> {
        self.rule(&directive.name)
            .is_none()
            .then(|| classes::class(directive))
    }

    /// Names of the guards of a block.
    fn guards<'t>(&self, all: &[&'t Directive]) -> Vec<&'t str> {
        let mut names: Vec<&str> = Vec::new();
        let is_in_main =
            |directive: &Directive| self.main.iter().any(|main| std::ptr::eq(*main, directive));
        for directive in all
            .iter()
            .filter(|directive| matches!(self.class(directive), Some(Class::Guard(_))))
        {
            if !is_in_main(directive) && !names.contains(&directive.name.as_str()) {
                names.push(&directive.name);
            }
        }
        names
    }

    /// Writes the directives of a block, simple ones first: a key after the header of an inner
    /// table would belong to that table.
    fn block(&mut self, all: &[&Directive], path: &str) -> Result<(), String> {
        self.simple(all)?;
        let may_have_files = !path.ends_with("limit_except");
        if may_have_files
            && all
                .iter()
                .any(|directive| self.class(directive) == Some(Class::Files))
        {
            self.line(format_args!("files = false"));
        }
        let guards = self.guards(all);
        if !guards.is_empty() {
            self.line(format_args!("not_enforced = {}", Value::from(guards)));
        }
        self.rules(all)?;
        self.types(all, path)?;
        for directive in all {
            self.inner(directive, path)
                .map_err(|error| self.with_place(directive, error))?;
        }
        Ok(())
    }

    /// Writes an inner block as a table.
    fn inner(&mut self, directive: &Directive, path: &str) -> Result<(), String> {
        let Some(block) = &directive.block else {
            return Ok(());
        };
        let path = if path.is_empty() {
            directive.name.clone()
        } else {
            format!("{path}.{}", directive.name)
        };
        let lines: Vec<&Directive> = block.directives.iter().collect();
        match directive.name.as_str() {
            "map" => self.map(directive, block),
            "upstream" if self.has_hooks => self.upstream(directive, block),
            "limit_except" => {
                let methods = words(&directive.arguments)?;
                self.line(format_args!("\n[{path}]\nmethods = {methods}"));
                self.block(&lines, &path)
            }
            "server" => {
                self.line(format_args!("\n[[{path}]]"));
                self.block(&lines, &path)
            }
            "location" => {
                let joined = directive.arguments.join(&b' ');
                if super::from_toml::pattern(&joined) != directive.arguments {
                    return Err(
                        "the pattern of this location means something else in TOML: put a space \
                         between modifier and path"
                            .to_owned(),
                    );
                }
                let pattern = text(&joined)?;
                self.line(format_args!("\n[[{path}]]\nmatch = {pattern}"));
                self.block(&lines, &path)
            }
            _ => Ok(()),
        }
    }

    /// Writes all `types` of a block as one table with a key for each type; the last type of an
    /// extension wins.
    fn types(&mut self, all: &[&Directive], path: &str) -> Result<(), String> {
        let blocks = || {
            all.iter()
                .filter(|directive| directive.name == "types")
                .filter_map(|directive| directive.block.as_ref())
        };
        if blocks().next().is_none() {
            return Ok(());
        }
        let end = if path.is_empty() { "" } else { "." };
        self.line(format_args!("\n[{path}{end}types]"));
        let mut types: Vec<(&Directive, Vec<Vec<u8>>)> = Vec::new();
        for line in blocks().flat_map(|block| &block.directives) {
            if !line.name.contains('/') {
                self.comment(line, "");
                continue;
            }
            let is_given = |extension: &Vec<u8>| {
                line.arguments
                    .iter()
                    .any(|other| other.eq_ignore_ascii_case(extension))
            };
            types
                .iter_mut()
                .for_each(|(_, extensions)| extensions.retain(|extension| !is_given(extension)));
            match types.iter_mut().find(|(known, _)| known.name == line.name) {
                Some((_, extensions)) => extensions.extend(line.arguments.iter().cloned()),
                None => types.push((line, line.arguments.clone())),
            }
        }
        for (line, extensions) in types
            .into_iter()
            .filter(|(_, extensions)| !extensions.is_empty())
        {
            let extensions: Result<Vec<Value>, String> = extensions
                .iter()
                .map(|extension| utf8(extension).map(Value::from))
                .collect();
            let extensions = extensions.map_err(|error| self.with_place(line, error))?;
            // A value may be formatted on several lines, a key may not.
            let entry = Table::from_iter([(line.name.clone(), Value::from(extensions))]);
            self.line(format_args!("{}", entry.to_string().trim_end()));
        }
        Ok(())
    }

    /// Adds the place to an error, unless it has one.
    fn with_place(&self, directive: &Directive, error: String) -> String {
        let file = self.files.name(directive.place.file);
        if error.starts_with(&format!("{file}:")) {
            error
        } else {
            format!("{file}:{}: {error}", directive.place.line)
        }
    }

    /// Writes a comment for a directive that is left out.
    fn comment(&mut self, directive: &Directive, indent: &str) {
        self.comment_unless(self.rule(&directive.name), directive, indent);
    }

    /// As [`TomlWriter::comment`], with the rule that applies in this block.
    fn comment_unless(&mut self, rule: Option<&Rule>, directive: &Directive, indent: &str) {
        let what = match rule {
            Some(rule) if matches!(rule.effect, Effect::Ignored) => "has no effect",
            Some(_) => return,
            None => "is not supported",
        };
        // Names may contain control characters.
        let file = self
            .files
            .name(directive.place.file)
            .escape_debug()
            .to_string();
        let name = directive.name.escape_debug();
        self.line(format_args!(
            "{indent}# {file}:{}: {name} {what}",
            directive.place.line
        ));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.out, "{line}");
    }

    /// Writes the directives without a block: repeated ones as one key, unsupported ones as
    /// comments.
    fn simple(&mut self, all: &[&Directive]) -> Result<(), String> {
        let mut done: Vec<&str> = Vec::new();
        for directive in all {
            let name = directive.name.as_str();
            let rule = self
                .rule(name)
                .filter(|rule| !matches!(rule.effect, Effect::Ignored));
            let Some(rule) = rule else {
                self.comment(directive, "");
                continue;
            };
            if directive.block.is_some() || RULES.contains(&name) || done.contains(&name) {
                continue;
            }
            done.push(name);
            let repeated: Vec<&Directive> = all
                .iter()
                .filter(|other| other.name == name)
                .copied()
                .collect();
            let value =
                value(rule, &repeated).map_err(|error| self.with_place(directive, error))?;
            self.line(format_args!("{} = {value}", key(name)));
        }
        Ok(())
    }

    /// Writes the directives whose order matters.
    fn rules(&mut self, all: &[&Directive]) -> Result<(), String> {
        let rules: Vec<&&Directive> = all.iter().filter(|directive| is_rule(directive)).collect();
        if rules.is_empty() {
            return Ok(());
        }
        self.line(format_args!("rules = ["));
        for directive in rules {
            let rule = rule(directive).map_err(|error| self.with_place(directive, error))?;
            crate::server::config::source::nginx::names::visit(
                directive.block.iter().flat_map(|block| &block.directives),
                &mut |inner| {
                    // `proxy_*` is not supported in an `if`.
                    self.comment_unless(directives::rule(&inner.name), inner, "  ");
                },
            );
            self.line(format_args!("  {rule},"));
        }
        self.line(format_args!("]"));
        Ok(())
    }

    fn upstream(&mut self, directive: &Directive, block: &Block) -> Result<(), String> {
        let name = text(
            directive
                .arguments
                .first()
                .map(Vec::as_slice)
                .unwrap_or_default(),
        )?;
        self.line(format_args!("\n[[upstream]]\nname = {name}\nrules = ["));
        for inner in &block.directives {
            let rule = words(
                &[
                    vec![inner.name.clone().into_bytes()],
                    inner.arguments.clone(),
                ]
                .concat(),
            )?;
            self.line(format_args!(
                "  {rule}, # {}:{}: {}",
                self.files.name(inner.place.file),
                inner.place.line,
                inner.name
            ));
        }
        self.line(format_args!("]"));
        Ok(())
    }

    fn map(&mut self, directive: &Directive, block: &Block) -> Result<(), String> {
        let [source, variable] = directive.arguments.as_slice() else {
            return Err("\"map\" takes two arguments".to_owned());
        };
        let source = text(source)?;
        let variable = text(variable)?;
        self.line(format_args!(
            "\n[[map]]\nsource = {source}\nvariable = {variable}"
        ));
        if block
            .directives
            .iter()
            .any(|line| line.name == "hostnames" && line.arguments.is_empty())
        {
            self.line(format_args!("hostnames = true"));
        }
        self.line(format_args!("values = ["));
        for line in block
            .directives
            .iter()
            .filter(|line| !line.arguments.is_empty())
        {
            let value = words(&line.arguments)?;
            let name = Value::from(line.name.as_str());
            self.line(format_args!("  [{name}, {}],", &value[1..value.len() - 1]));
        }
        self.line(format_args!("]"));
        Ok(())
    }
}
