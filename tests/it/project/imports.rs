//! Structure of the source: permitted imports of every module (docs/architecture.md, "Layers"),
//! module docs, and file sizes.
//!
//! It reads `src/` as text: `use` lines and paths that begin with `crate::`, `super::` or
//! `pushctl::`, braces included.

use std::path::Path;

/// A file of the source.
struct Source {
    /// Path from `src/`.
    path: String,
    /// `server::http::route`
    module: String,
    text: String,
}

/// `from` (and everything below it) may use `allowed` (and everything below) of the modules that
/// `of` names.
struct Rule {
    from: &'static str,
    of: &'static [&'static str],
    allowed: &'static [&'static str],
}

/// The parts of the program.
const PARTS: &[&str] = &["client", "cmd", "message", "protocol", "server"];
/// The parts of the server.
const SERVER: &[&str] = &[
    "server::broker",
    "server::config",
    "server::dialect",
    "server::fanout",
    "server::http",
    "server::publisher",
    "server::statistics",
    "server::subscriber",
];

const RULES: &[Rule] = &[
    Rule {
        from: "bin",
        of: PARTS,
        allowed: &["cmd"],
    },
    Rule {
        from: "message",
        of: PARTS,
        allowed: &[],
    },
    Rule {
        from: "protocol",
        of: PARTS,
        allowed: &["message"],
    },
    Rule {
        from: "client",
        of: PARTS,
        allowed: &["message", "protocol"],
    },
    Rule {
        from: "cmd::check",
        of: PARTS,
        allowed: &["cmd", "message", "protocol", "server"],
    },
    Rule {
        from: "cmd::serve",
        of: PARTS,
        allowed: &["cmd", "message", "protocol", "server"],
    },
    Rule {
        from: "cmd",
        of: PARTS,
        allowed: &["client", "message", "protocol"],
    },
    Rule {
        from: "server",
        of: PARTS,
        allowed: &["message", "protocol"],
    },
    Rule {
        from: "server::config",
        of: SERVER,
        allowed: &[],
    },
    Rule {
        from: "server::broker",
        of: SERVER,
        allowed: &["server::config"],
    },
    Rule {
        from: "server::fanout",
        of: SERVER,
        allowed: &["server::broker", "server::config"],
    },
    Rule {
        from: "server::dialect",
        of: SERVER,
        allowed: &["server::broker", "server::config", "server::fanout"],
    },
    Rule {
        from: "server::publisher",
        of: SERVER,
        allowed: BELOW_HTTP,
    },
    Rule {
        from: "server::statistics",
        of: SERVER,
        allowed: BELOW_HTTP,
    },
    Rule {
        from: "server::subscriber",
        of: SERVER,
        allowed: BELOW_HTTP,
    },
];

/// What the endpoints may use.
const BELOW_HTTP: &[&str] = &[
    "server::broker",
    "server::config",
    "server::dialect",
    "server::fanout",
];

/// Most lines of a file.
const MOST_LINES: usize = 400;

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (line, used) in source.uses() {
            if let Some(rule) = broken_rule(&source.module, &used) {
                wrong.push(format!(
                    "src/{}:{line}: {} must not use {used} (of {:?} it may use {:?})",
                    source.path, rule.from, rule.of, rule.allowed
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_has_a_module_doc_and_is_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") {
            wrong.push(format!(
                "src/{} does not begin with a module doc",
                source.path
            ));
        }
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!(
                "src/{} has {lines} lines, at most {MOST_LINES} are allowed",
                source.path
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_import_rules_detect_violations() {
    let source = |module: &str, text: &str| Source {
        path: String::new(),
        module: module.to_owned(),
        text: text.to_owned(),
    };
    let broken = |source: &Source| {
        source
            .uses()
            .iter()
            .filter(|(_, used)| broken_rule(&source.module, used).is_some())
            .count()
    };
    for (module, text) in [
        ("client::lp", "use crate::server::config::Config;"),
        ("cmd::sub", "use crate::{message::Message, server::Server};"),
        ("bin::pushctl", "use pushctl::server::Server;"),
        (
            "server::broker::log",
            "use crate::server::{\n    config::Config,\n    http::Status,\n};",
        ),
        ("server::broker::log", "use super::super::fanout::Shard;"),
        ("server::broker", "fn f() { super::dialect::g() }"),
        (
            "server::fanout::round",
            "pub fn f(x: crate::server::http::X) {}",
        ),
        (
            "server::dialect::push_stream",
            "use crate::server::{config, http::Request};",
        ),
    ] {
        assert_eq!(broken(&source(module, text)), 1, "{module}: {text}");
    }
    for (module, text) in [
        (
            "server::broker::log",
            "use super::{Channel, position::Position};\nuse crate::message::Position;",
        ),
        (
            "server::http::router",
            "use crate::server::{broker::Broker, subscriber, dialect::push_stream};",
        ),
        (
            "cmd::serve",
            "use crate::server::Server; // and crate::client::x is only mentioned",
        ),
        (
            "client::lp",
            "//! not [`crate::server`]\n/// nor crate::server::x\nuse crate::message::Message;",
        ),
    ] {
        assert_eq!(broken(&source(module, text)), 0, "{module}: {text}");
    }
}

/// The most special rule about a module decides for each kind of modules.
fn broken_rule(module: &str, used: &str) -> Option<&'static Rule> {
    for of in [PARTS, SERVER] {
        let Some(part) = of.iter().find(|part| is_in(used, part)) else {
            continue;
        };
        let rule = RULES
            .iter()
            .find(|rule| rule.of == of && is_in(module, rule.from));
        if let Some(rule) = rule.filter(|rule| {
            !is_in(module, part) && !rule.allowed.contains(part) && !is_in(rule.from, part)
        }) {
            return Some(rule);
        }
    }
    None
}

/// Whether `module` is `ancestor` or below it.
fn is_in(module: &str, ancestor: &str) -> bool {
    module
        .strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl Source {
    /// The modules of this crate that the file names, each with its line; comments apart.
    fn uses(&self) -> Vec<(usize, String)> {
        let code: String = self
            .text
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
            .collect();
        let mut found = Vec::new();
        let mut at = 0;
        while at < code.len() {
            let rest = &code[at..];
            let begins =
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let Some(prefix) = ["crate::", "super::", "pushctl::"]
                .into_iter()
                .find(|prefix| begins && rest.starts_with(prefix))
            else {
                at += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let line = code[..at].matches('\n').count() + 1;
            let mut base: Vec<String> = match prefix {
                "super::" => self.module.split("::").map(str::to_owned).collect(),
                _ => Vec::new(),
            };
            let mut tail = rest;
            while let Some(up) = tail.strip_prefix("super::") {
                base.pop();
                tail = up;
            }
            let tail = tail
                .strip_prefix("crate::")
                .or_else(|| tail.strip_prefix("pushctl::"))
                .unwrap_or(tail);
            expand(&base, tail, &mut |path| found.push((line, path.join("::"))));
            at += prefix.len();
        }
        found
    }
}

/// Calls `found` with every path of a use tree: `a::{b, c::d}` gives `a::b` and `a::c::d`. Returns
/// the bytes it took.
fn expand(base: &[String], tree: &str, found: &mut dyn FnMut(&[String])) -> usize {
    let mut path = base.to_vec();
    let mut at = 0;
    loop {
        let rest = &tree[at..];
        let name: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        at += name.len();
        if !name.is_empty() {
            path.push(name);
            if tree[at..].starts_with("::") {
                at += 2;
                continue;
            }
        } else if rest.starts_with('{') {
            at += 1;
            while !tree[at..].is_empty() && !tree[at..].starts_with('}') {
                if tree[at..].starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '{') {
                    at += expand(&path, &tree[at..], found);
                } else {
                    at += tree[at..].chars().next().map_or(1, char::len_utf8);
                }
            }
            return (at + 1).min(tree.len());
        }
        found(&path);
        return at;
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the source") {
            let path = entry.expect("an entry of the folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(read(&root, &path));
            }
        }
    }
    assert!(sources.len() > 5, "src/ was not found");
    sources
}

fn read(root: &Path, path: &Path) -> Source {
    let short = path
        .strip_prefix(root)
        .expect("it was found below")
        .to_str()
        .expect("names in UTF-8")
        .to_owned();
    let module = short
        .trim_end_matches(".rs")
        .trim_end_matches("/mod")
        .replace('/', "::");
    Source {
        path: short,
        module,
        text: std::fs::read_to_string(path).expect("a file of the source"),
    }
}
