//! The modules of the source with their imports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::layers::{SHARED, is_in, layer_of};
use super::source::Source;

/// An import: the module with the line, and the module that it uses.
pub(super) struct Import {
    place: String,
    from: String,
    used: String,
}

impl fmt::Display for Import {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} uses {}", self.place, self.from, self.used)
    }
}

/// All modules with their imports.
pub(super) struct Tree {
    sources: Vec<Source>,
    imports: Vec<Import>,
}

impl Tree {
    pub(super) fn new(sources: Vec<Source>) -> Self {
        let modules: BTreeSet<&str> = sources.iter().map(|source| &source.module[..]).collect();
        let mut reexports: BTreeMap<String, String> = BTreeMap::new();
        for source in &sources {
            for path in source.reexports() {
                let name = path.rsplit("::").next().unwrap_or_default();
                reexports.insert(format!("{}::{name}", source.module), path.clone());
            }
        }
        let module_of = |path: &str| {
            let mut path = path.to_owned();
            // A re-export leads to the module that defines the name; chains of them are short.
            for _ in 0..8 {
                let found = reexports
                    .iter()
                    .find(|(name, _)| is_in(&path, name))
                    .map(|(_, target)| target.clone());
                match found {
                    Some(target) if target != path => path = target,
                    _ => break,
                }
            }
            let mut module = &path[..];
            while !modules.contains(module) {
                module = module.rsplit_once("::").map_or("", |(parent, _)| parent);
                if module.is_empty() {
                    break;
                }
            }
            module.to_owned()
        };
        let mut imports = Vec::new();
        for source in &sources {
            for (line, path) in source.uses() {
                let used = module_of(&path);
                // A name of the crate itself, which is none of the modules.
                let used = if used.is_empty() { path } else { used };
                imports.push(Import {
                    place: format!("src/{}:{line}", source.path),
                    from: source.module.clone(),
                    used,
                });
            }
        }
        Self { sources, imports }
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|source| &source.module[..])
    }

    /// Imports of a module that the layer of the importing one may not use.
    pub(super) fn upward_imports(&self) -> Vec<&Import> {
        let is_upward = |import: &&Import| {
            let layer = layer_of(&import.from);
            let of_used = layer_of(&import.used).module;
            let is_allowed = layer.module == of_used
                || SHARED.contains(&of_used)
                || layer.may_use.iter().any(|allowed| is_in(of_used, allowed));
            !is_allowed
        };
        self.imports.iter().filter(is_upward).collect()
    }

    /// Cycles between the files and folders of each folder, with their imports.
    pub(super) fn cycles(&self) -> Vec<String> {
        // Per folder: which entry uses which, with one import as the reason.
        let mut edges: BTreeMap<&str, BTreeMap<(&str, &str), &Import>> = BTreeMap::new();
        for import in &self.imports {
            let folder = common_ancestor(&import.from, &import.used);
            let from = entry_of(&import.from, folder);
            let used = entry_of(&import.used, folder);
            // One of them is the parent.
            if from == folder || used == folder || from == used {
                continue;
            }
            edges
                .entry(folder)
                .or_default()
                .entry((from, used))
                .or_insert(import);
        }
        let mut cycles = Vec::new();
        for (folder, edges) in edges {
            let mut open: BTreeSet<(&str, &str)> = edges.keys().copied().collect();
            // What is in no cycle is removed: entries that nothing uses, or that use nothing.
            loop {
                let before = open.len();
                let using: BTreeSet<&str> = open.iter().map(|(from, _)| *from).collect();
                let used: BTreeSet<&str> = open.iter().map(|(_, used)| *used).collect();
                open.retain(|(from, to)| used.contains(from) && using.contains(to));
                if open.len() == before {
                    break;
                }
            }
            if !open.is_empty() {
                let reasons: Vec<String> = open
                    .iter()
                    .map(|edge| format!("    {}", edges[edge]))
                    .collect();
                cycles.push(format!("{folder}:\n{}", reasons.join("\n")));
            }
        }
        cycles
    }
}

/// The innermost module that contains both.
pub(super) fn common_ancestor<'a>(one: &'a str, other: &str) -> &'a str {
    let mut ancestor = one;
    while !is_in(other, ancestor) {
        ancestor = ancestor.rsplit_once("::").map_or("", |(parent, _)| parent);
    }
    ancestor
}

/// The file or folder in `folder` that contains `module`.
pub(super) fn entry_of<'a>(module: &'a str, folder: &str) -> &'a str {
    let rest = module
        .strip_prefix(folder)
        .unwrap_or(module)
        .trim_start_matches("::");
    let name = rest.split("::").next().unwrap_or_default();
    &module[..module.len() - rest.len() + name.len()]
}
