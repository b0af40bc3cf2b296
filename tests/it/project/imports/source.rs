//! The files of the source, and the paths that they name.

use std::path::Path;

/// A file of the source.
pub(super) struct Source {
    /// Path from `src/`.
    pub(super) path: String,
    /// `server::http::route`
    pub(super) module: String,
    pub(super) text: String,
}

impl Source {
    /// The text without comments and without its unit tests, which may look at it from above.
    pub(super) fn code(&self) -> String {
        let text = &self.text;
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        text[..end]
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
            .collect()
    }

    /// The types to which the file adds methods; implementations of traits apart.
    pub(super) fn types_with_methods(&self) -> Vec<String> {
        let code = self.code();
        let blocks = code.lines().filter_map(|line| line.strip_prefix("impl"));
        blocks
            .filter(|line| !line.contains(" for "))
            .filter_map(|line| {
                // Generic parameters: `impl<'a> Name<'a> {`.
                let name = match line.strip_prefix('<') {
                    Some(rest) => rest.split_once("> ")?.1,
                    None => line.trim_start(),
                };
                Some(identifier(name)).filter(|name| !name.is_empty())
            })
            .collect()
    }

    /// The types that the file defines.
    pub(super) fn defined_types(&self) -> Vec<String> {
        self.code()
            .lines()
            .flat_map(|line| {
                ["struct ", "enum "].into_iter().filter_map(move |keyword| {
                    let (before, name) = line.split_once(keyword)?;
                    let is_definition = before.is_empty() || before.starts_with("pub");
                    is_definition.then(|| identifier(name))
                })
            })
            .collect()
    }

    /// The modules of this crate that the file names, each with its line; comments apart.
    pub(super) fn uses(&self) -> Vec<(usize, String)> {
        let code = self.code();
        let mut found = Vec::new();
        let mut at = 0;
        while at < code.len() {
            let rest = &code[at..];
            let before = &code[..at];
            let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                // The scope of a visibility.
                && !before.ends_with("pub(in ");
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

impl Source {
    /// The names that `pub use` statements re-export from this crate, each as the path of its
    /// definition.
    pub(super) fn reexports(&self) -> Vec<String> {
        let code = self.code();
        let mut paths = Vec::new();
        for statement in code.split(';') {
            let Some((visibility, tree)) = statement.split_once(" use ") else {
                continue;
            };
            let visibility = visibility
                .trim_end()
                .rsplit('\n')
                .next()
                .unwrap_or_default();
            if !visibility.trim_start().starts_with("pub") {
                continue;
            }
            let mut base: Vec<String> = self.module.split("::").map(str::to_owned).collect();
            let mut tree = tree.trim_start();
            if let Some(rest) = tree.strip_prefix("crate::") {
                base.clear();
                tree = rest;
            }
            tree = tree.strip_prefix("self::").unwrap_or(tree);
            while let Some(rest) = tree.strip_prefix("super::") {
                base.pop();
                tree = rest;
            }
            expand(&base, tree, &mut |path| paths.push(path.join("::")));
        }
        paths
    }
}

/// The identifier at the start of `text`.
fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Calls `found` with every path of a use tree: `a::{b, c::d}` gives `a::b` and `a::c::d`. Returns
/// the bytes it took.
pub(super) fn expand(base: &[String], tree: &str, found: &mut dyn FnMut(&[String])) -> usize {
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

pub(super) fn sources() -> Vec<Source> {
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

pub(super) fn read(root: &Path, path: &Path) -> Source {
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
