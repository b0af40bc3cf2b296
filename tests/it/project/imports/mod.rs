//! Structure of the source: which layer may use which (docs/architecture.md, "Layers"), no cycles
//! within a folder, module docs, and file sizes.
//!
//! It reads `src/` as text: `use` lines and paths that begin with `crate::`, `super::` or
//! `pushctl::`, braces included.

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
