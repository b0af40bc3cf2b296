//! An nginx.conf in the notation of `from_toml`. What is not served stands in it as a comment, with its place.

use std::fmt::Write;

use toml::Value;

use super::conditions;
use super::directives::{self, Effect};
use super::files::Files;
use super::parser::{Block, Directive};

/// Directives whose order counts.
const RULES: [&str; 7] = ["allow", "deny", "set", "if", "return", "break", "rewrite"];

/// The text of a tree; the error names what TOML cannot hold.
pub(super) fn write(tree: &Block, files: &Files) -> Result<String, String> {
    let mut writer = Writer { out: String::new(), files };
    let empty = Block::default();
    let http = tree.directives.iter().find(|directive| directive.name == "http").and_then(|http| http.block.as_ref()).unwrap_or(&empty);
    let is_simple = |directive: &&Directive| !matches!(directive.name.as_str(), "http" | "events");
    let main: Vec<&Directive> = tree.directives.iter().filter(is_simple).collect();
    writer.simple(&main)?;
    writer.block(http, "")?;
    Ok(writer.out)
}

struct Writer<'a> {
    out: String,
    files: &'a Files,
}

impl Writer<'_> {
    /// Simple directives first: what follows the head of a table belongs to it.
    fn block(&mut self, block: &Block, path: &str) -> Result<(), String> {
        let all: Vec<&Directive> = block.directives.iter().collect();
        self.simple(&all)?;
        if !path.is_empty() && all.iter().any(|directive| blocks_files(directive)) {
            self.line(format_args!("files = false"));
        }
        self.rules(&all)?;
        for directive in all {
            let Some(inner) = &directive.block else { continue };
            let path = if path.is_empty() { directive.name.clone() } else { format!("{path}.{}", directive.name) };
            match directive.name.as_str() {
                "types" => {
                    self.line(format_args!("\n[{path}]"));
                    for line in &inner.directives {
                        let extensions = words(&line.arguments)?;
                        self.line(format_args!("{} = {extensions}", Value::from(line.name.as_str())));
                    }
                }
                "map" => self.map(directive, inner)?,
                "server" | "location" => {
                    self.line(format_args!("\n[[{path}]]"));
                    if directive.name == "location" {
                        let pattern = text(&directive.arguments.join(&b' '))?;
                        self.line(format_args!("match = {pattern}"));
                    }
                    self.block(inner, &path)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.out, "{line}");
    }

    /// The directives without a block, repeated ones together; what is not served as comments.
    fn simple(&mut self, all: &[&Directive]) -> Result<(), String> {
        let mut done: Vec<&str> = Vec::new();
        for directive in all {
            let name = directive.name.as_str();
            let rule = directives::rule(name).filter(|rule| !matches!(rule.effect, Effect::Ignored));
            let Some(rule) = rule else {
                let place = directive.place;
                let file = self.files.name(place.file).to_owned();
                let what = if directives::rule(name).is_some() { "has no effect" } else { "is not served" };
                self.line(format_args!("# {file}:{}: {name} {what}", place.line));
                continue;
            };
            if directive.block.is_some() || RULES.contains(&name) || done.contains(&name) {
                continue;
            }
            done.push(name);
            let repeated: Vec<&Directive> = all.iter().filter(|other| other.name == name).copied().collect();
            let value = match repeated.as_slice() {
                [one] if one.arguments.is_empty() => "true".to_owned(),
                [one] if one.arguments.len() == 1 => scalar(&one.arguments[0])?,
                [one] if matches!(rule.effect, Effect::Once(_)) => words(&one.arguments)?,
                many => {
                    let each: Result<Vec<String>, String> = many.iter().map(|one| words(&one.arguments)).collect();
                    format!("[{}]", each?.join(", "))
                }
            };
            self.line(format_args!("{} = {value}", key(name)));
        }
        Ok(())
    }

    /// The directives whose order counts.
    fn rules(&mut self, all: &[&Directive]) -> Result<(), String> {
        let rules: Vec<&&Directive> = all.iter().filter(|directive| is_rule(directive)).collect();
        if rules.is_empty() {
            return Ok(());
        }
        self.line(format_args!("rules = ["));
        for directive in rules {
            let rule = rule(directive)?;
            self.line(format_args!("  {rule},"));
        }
        self.line(format_args!("]"));
        Ok(())
    }

    fn map(&mut self, directive: &Directive, block: &Block) -> Result<(), String> {
        let [source, variable] = directive.arguments.as_slice() else { return Err("\"map\" has two arguments".to_owned()) };
        let (source, variable) = (text(source)?, text(variable)?);
        self.line(format_args!("\n[[map]]\nsource = {source}\nvariable = {variable}"));
        if block.directives.iter().any(|line| line.name == "hostnames" && line.arguments.is_empty()) {
            self.line(format_args!("hostnames = true"));
        }
        self.line(format_args!("values = ["));
        for line in block.directives.iter().filter(|line| !line.arguments.is_empty()) {
            let value = words(&line.arguments)?;
            let name = Value::from(line.name.as_str());
            self.line(format_args!("  [{name}, {}],", &value[1..value.len() - 1]));
        }
        self.line(format_args!("]"));
        Ok(())
    }
}

fn is_rule(directive: &Directive) -> bool {
    RULES.contains(&directive.name.as_str()) && directives::rule(&directive.name).is_some()
}

/// Because of it no files are served, which must not be lost with it.
fn blocks_files(directive: &Directive) -> bool {
    directives::rule(&directive.name).is_none() && super::web::blocks_files(&directive.name)
}

/// A rule as an array, or an `if` as a table in one line.
fn rule(directive: &Directive) -> Result<String, String> {
    let Some(block) = &directive.block else {
        let words = [vec![directive.name.clone().into_bytes()], directive.arguments.clone()].concat();
        return self::words(&words);
    };
    let condition = conditions::inside(&directive.arguments).ok_or("a condition has brackets")?;
    let mut parts = vec![format!("if = {}", words(&condition)?)];
    let (rules, others): (Vec<&Directive>, Vec<&Directive>) = block.directives.iter().partition(|inner| is_rule(inner));
    if others.iter().any(|inner| blocks_files(inner)) {
        parts.push("files = false".to_owned());
    }
    let mut done: Vec<&str> = Vec::new();
    for inner in others.iter().filter(|inner| directives::rule(&inner.name).is_some_and(|rule| !matches!(rule.effect, Effect::Ignored))) {
        if !done.contains(&inner.name.as_str()) {
            done.push(&inner.name);
            let each: Result<Vec<String>, String> =
                others.iter().filter(|other| other.name == inner.name).map(|other| words(&other.arguments)).collect();
            let each = each?;
            let value =
                if each.len() == 1 && inner.arguments.len() == 1 { scalar(&inner.arguments[0])? } else { format!("[{}]", each.join(", ")) };
            parts.push(format!("{} = {value}", key(&inner.name)));
        }
    }
    if !rules.is_empty() {
        let rules: Result<Vec<String>, String> = rules.iter().map(|inner| rule(inner)).collect();
        parts.push(format!("rules = [{}]", rules?.join(", ")));
    }
    Ok(format!("{{ {} }}", parts.join(", ")))
}

/// The shortest key that means the directive.
fn key(name: &str) -> &str {
    let short = name.strip_prefix("push_stream_").or_else(|| name.strip_prefix("pushctl_")).unwrap_or(name);
    if super::from_toml::directive_name(short).as_deref() == Some(name) { short } else { name }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| format!("\"{}\" is not UTF-8, which TOML cannot hold", String::from_utf8_lossy(bytes)))?;
    Ok(Value::from(text).to_string())
}

fn words(arguments: &[Vec<u8>]) -> Result<String, String> {
    let words: Result<Vec<String>, String> = arguments.iter().map(|word| text(word)).collect();
    Ok(format!("[{}]", words?.join(", ")))
}

/// A flag or number as such, anything else as a text.
fn scalar(bytes: &[u8]) -> Result<String, String> {
    let is_number = bytes.len() < 18 && !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) && (bytes.len() == 1 || bytes[0] != b'0');
    Ok(match bytes {
        b"on" => "true".to_owned(),
        b"off" => "false".to_owned(),
        number if is_number => String::from_utf8_lossy(number).into_owned(),
        other => text(other)?,
    })
}
