//! Structure of the source: which layer may use which (docs/architecture.md, "Layers"), no cycles
//! within a folder, module docs, and file sizes.
//!
//! It reads `src/` as text: `use` lines and paths that begin with `crate::`, `super::` or
//! `pushctl::`, braces included.

mod grants;
mod layers;
mod source;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use layers::{LAYERS, is_in, layer_of};
use source::{Source, sources};
use tree::Tree;

/// Most lines of a file.
const MOST_LINES: usize = 400;

#[test]
fn imports_point_one_way() {
    let tree = Tree::new(sources());
    let wrong: Vec<String> = tree
        .upward_imports()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        wrong.is_empty(),
        "these imports run against the layers:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_module_belongs_to_a_layer() {
    let tree = Tree::new(sources());
    let mut unlisted = Vec::new();
    for module in tree.modules() {
        // The folders of the server are layers of their own; only `server/mod.rs` is the face.
        let is_listed = match layer_of(module).module {
            "server" => module == "server",
            "" => module == "lib",
            _ => true,
        };
        if !is_listed {
            unlisted.push(module);
        }
    }
    assert!(unlisted.is_empty(), "add them to LAYERS: {unlisted:?}");
    let unused = LAYERS
        .iter()
        .filter(|layer| !layer.module.is_empty())
        .filter(|layer| !tree.modules().any(|module| is_in(module, layer.module)))
        .map(|layer| layer.module)
        .collect::<Vec<_>>();
    assert!(unused.is_empty(), "remove them from LAYERS: {unused:?}");
}

#[test]
fn no_folder_has_a_cycle() {
    let cycles = Tree::new(sources()).cycles();
    assert!(
        cycles.is_empty(),
        "files of a folder may use each other in one direction only:\n{}",
        cycles.join("\n")
    );
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

/// Most files with methods of one type: more of them see each other's fields.
const MOST_IMPL_FILES: usize = 3;

#[test]
fn the_methods_of_a_type_are_in_few_files() {
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut definitions: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources() {
        for name in source.types_with_methods() {
            files.entry(name).or_default().insert(source.path.clone());
        }
        for name in source.defined_types() {
            *definitions.entry(name).or_default() += 1;
        }
    }
    let scattered: Vec<_> = files
        .iter()
        .filter(|(name, files)| {
            files.len() > MOST_IMPL_FILES * definitions.get(*name).copied().unwrap_or(1)
        })
        .collect();
    assert!(files.len() > 100, "the types were not found");
    assert!(scattered.is_empty(), "{scattered:#?}");
}

/// Where the server may have the text of HTTP/1 messages: where it speaks that version, to clients
/// and to back-ends, where bodies are framed, and in nginx's variables about the request.
const HTTP1_FILES: [&str; 4] = [
    "server/http/h1/",
    "server/http/upstream/",
    "server/exchange/response/framing.rs",
    "server/exchange/variables.rs",
];

#[test]
fn only_http1_modules_have_the_text_of_http1_messages() {
    let speaks = |path: &str| HTTP1_FILES.iter().any(|part| path.starts_with(part));
    let is_checked = |source: &Source| {
        let path = &source.path;
        path.starts_with("server/") && !speaks(path) && !path.contains("tests")
    };
    let found: Vec<String> = sources()
        .iter()
        .filter(|source| is_checked(source))
        .flat_map(|source| {
            let code = source.code();
            let lines: Vec<_> = code.lines().enumerate().collect();
            lines
                .iter()
                .filter(|(_, line)| has_http1_text(line))
                .map(|(number, line)| format!("src/{}:{}: {line}", source.path, number + 1))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(
        found.is_empty(),
        "responses are values, which http/h1 writes:\n{}",
        found.join("\n")
    );
}

/// Whether a line of code has a status line, a chunk or a header line.
fn has_http1_text(line: &str) -> bool {
    ["HTTP/1.", "Transfer-Encoding", r#""0\r\n"#, r"\r\n0\r\n"]
        .iter()
        .any(|text| line.contains(text))
        || header_of(line).is_some()
}

/// Finds the name of a header whose line ends in this line of code; names begin with a capital.
fn header_of(line: &str) -> Option<&str> {
    let (text, _) = line.split_once(r"\r\n")?;
    let text = text.split_once('"').map_or(text, |(_, inside)| inside);
    let (before, _) = text.split_once(": ")?;
    let is_name = |byte: char| byte.is_ascii_alphanumeric() || byte == '-';
    let name = &before[before.rfind(|byte| !is_name(byte)).map_or(0, |at| at + 1)..];
    name.starts_with(|first: char| first.is_ascii_uppercase())
        .then_some(name)
}

#[test]
fn http1_text_is_detected() {
    for line in [
        r#"out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");"#,
        r#"b"Transfer-Encoding: chunked","#,
        r#"out.extend_from_slice(b"0\r\n\r\n");"#,
        r#"let line = format!("Etag: W/{tag}\r\n");"#,
    ] {
        assert!(has_http1_text(line), "{line}");
    }
    for line in [
        r#"write!(out, "{indent}hostname: {host}\r\n")"#,
        r#"headers.push("Vary", "Origin");"#,
        r#"out.extend_from_slice(b"\r\n");"#,
        r#"const PIECE_END: &[u8] = b"\r\n";"#,
    ] {
        assert!(!has_http1_text(line), "{line}");
    }
}

#[test]
fn upward_imports_are_detected() {
    let upward = |module: &str, text: &str| {
        let known = [
            "client",
            "cmd",
            "server",
            "server::broker",
            "server::config",
        ]
        .into_iter()
        .chain([
            "server::fanout",
            "server::http",
            "server::nchan",
            "server::push_stream",
        ])
        .map(|module| source(module, ""));
        Tree::new(known.chain([source(module, text)]).collect())
            .upward_imports()
            .len()
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
        ("server::broker", "fn f() { super::nchan::g() }"),
        (
            "server::fanout::round",
            "pub fn f(x: crate::server::http::X) {}",
        ),
        (
            "server::push_stream::info",
            "use crate::server::{config, nchan::info};",
        ),
        ("server::config::model", "use crate::server::Server;"),
    ] {
        assert_eq!(upward(module, text), 1, "{module}: {text}");
    }
    for (module, text) in [
        (
            "server::broker::log",
            "use super::{Channel, position::Position};\nuse crate::message::Position;",
        ),
        (
            "server::http::route",
            "use crate::server::{broker::Broker, nchan, push_stream::info};",
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
        assert_eq!(upward(module, text), 0, "{module}: {text}");
    }
}

#[test]
fn cycles_are_detected() {
    let cycles = |files: &[(&str, &str)]| {
        let sources = files.iter().map(|(module, text)| source(module, text));
        Tree::new(sources.collect()).cycles().len()
    };
    let log = ("server::broker::log", "use super::channel::Channel;");
    let channel = (
        "server::broker::channel",
        "use crate::server::broker::log::Log;",
    );
    let face = (
        "server::broker",
        "pub use channel::Channel;\npub use self::log::Log;",
    );
    assert_eq!(cycles(&[face, log, ("server::broker::channel", "")]), 0);
    assert_eq!(cycles(&[face, log, channel]), 1);
    // Through the parent, which re-exports the name.
    let through_parent = ("server::broker::channel", "use super::{Log, Trash};");
    assert_eq!(cycles(&[face, log, through_parent]), 1);
    // Parent and child may use each other.
    let child = ("server::broker::log::cursor", "use super::Log;");
    let parent = (
        "server::broker::log",
        "use self::cursor::Cursor;\nuse super::trash::Trash;",
    );
    assert_eq!(cycles(&[face, parent, child]), 0);
    // A cycle over three files, one of them in a folder.
    let nested = (
        "server::broker::log::cursor",
        "use crate::server::broker::channel::Channel;",
    );
    let clock = ("server::broker::clock", "use super::log::Log;");
    let of_clock = ("server::broker::channel", "use super::clock::Clock;");
    assert_eq!(
        cycles(&[face, nested, clock, of_clock, ("server::broker::log", "")]),
        1
    );
}

fn source(module: &str, text: &str) -> Source {
    Source {
        path: format!("{}.rs", module.replace("::", "/")),
        module: module.to_owned(),
        text: text.to_owned(),
    }
}
