//! Citations and links resolve: cited documents and sections exist, and so do the targets of links.
//!
//! Comments in `src/` cite `push-stream.md, section 7.1`, `nhpm-nchan.md, sections 2.1 to 2.8` or
//! `RFC 9112, section 7.1`. A section cited in any other form fails, because it cannot be checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The RFCs that comments may cite; any other number is treated as a typing error.
const RFCS: &[&str] = &[
    "850", "1123", "1951", "1952", "2606", "3164", "3339", "6454", "6455", "7617", "7692", "9110",
    "9112",
];

#[test]
fn citations_in_comments_resolve() {
    let references = References::read(&root());
    let mut problems = Vec::new();
    for path in files_below(&root().join("src"), "rs") {
        let name = relative(&path);
        for comment in comments(&fs::read_to_string(&path).expect("the file is readable UTF-8")) {
            for problem in references.problems(&comment.text) {
                problems.push(format!("{name}:{}: {problem}", comment.line));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn links_between_pages_resolve() {
    let mut problems = Vec::new();
    for path in pages() {
        let text = fs::read_to_string(&path).expect("the file is readable UTF-8");
        for link in links(&text) {
            if let Err(problem) = resolve(&path, &link.target) {
                let name = relative(&path);
                problems.push(format!("{name}:{}: ({}) {problem}", link.line, link.target));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn pages_are_finished() {
    // A word on its own or before a hyphen; CONTRIBUTING.md has a rule about it.
    let marker = Regex::new(r"\bTODO(?:-\w+)?\b").expect("a valid pattern");
    let mut problems = Vec::new();
    for path in pages() {
        let text = fs::read_to_string(&path).expect("the file is readable UTF-8");
        for (number, line) in (1..).zip(text.lines()) {
            if marker.is_match(line) && !line.contains("no TODO without an issue") {
                problems.push(format!("{}:{number}: {line}", relative(&path)));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn wrong_citations_are_reported() {
    let references = References::read(&root());
    for good in [
        "A place (push-stream.md, section 7.1).",
        "A place (push-stream.md, sections 1, 7.1 and 8 to 12): 200, 404.",
        "Hooks (nhpm-nchan.md, section 2.9), of nhpm-nchan.md, part 2.",
        "A frame (RFC 6455, section 5.5; RFC 7692, section 6.1), see docs/architecture.md.",
    ] {
        assert_eq!(references.problems(good), Vec::<String>::new(), "{good}");
    }
    for bad in [
        "A place (push-stream.md, section 7.99).",
        "A place (push-stream.md, sections 7 to 99).",
        "A place (nhpm-nchan.md, part 9).",
        "A place (push-stream.md section 7.1).",
        "A place (reference, section 7.1).",
        "As section 7.1 has it.",
        "A place (nowhere.md, section 1).",
        "See docs/nowhere.md.",
        "A frame (RFC 64555, section 5).",
    ] {
        assert_eq!(references.problems(bad).len(), 1, "{bad}");
    }
}

#[test]
fn strings_are_not_comments() {
    let source = r##"
let url = "http://example.com/"; // first
let raw = r#"// no " comment"#;
let quote = '"'; let life: &'static str = ""; // second
/// third,
/// on two lines
fn f() {} /* fourth */
"##;
    let found: Vec<_> = comments(source)
        .into_iter()
        .map(|comment| (comment.line, comment.text))
        .collect();
    let expected = [
        (2, "first"),
        (4, "second"),
        (5, "third, on two lines"),
        (7, "fourth"),
    ];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}

/// The documents that comments may cite.
struct References {
    /// The sections and parts of each page, by its path from the root.
    pages: BTreeMap<String, BTreeSet<String>>,
    citation: Regex,
    section: Regex,
    rfc: Regex,
    page: Regex,
}

impl References {
    fn read(root: &Path) -> Self {
        const DOCUMENT: &str = r"[\w./-]+\.md|RFC \d+|Lua 5\.1 reference manual|UAX #9|YAML 1\.2";
        const NUMBER: &str = r"\d+(?:\.\d+)*";
        const ONE: &str = r"(?P<kind>section|part) (?P<number>\d+(?:\.\d+)*)";
        const NEXT: &str = "(?:, | to | and )";
        let heading =
            Regex::new(&format!(r"(?m)^#+ (Part )?({NUMBER})[.:]? ")).expect("a valid pattern");
        let pages = pages().into_iter().map(|path| {
            let text = fs::read_to_string(&path).expect("the file is readable UTF-8");
            let numbers = heading.captures_iter(&text).map(|found| {
                let kind = found.get(1).map_or("section", |_| "part");
                format!("{kind} {}", &found[2])
            });
            let path = path.strip_prefix(root).expect("the path is below the root");
            (
                path.to_str().expect("the path is UTF-8").to_owned(),
                numbers.collect(),
            )
        });
        Self {
            pages: pages.collect(),
            citation: Regex::new(&format!(
                "(?P<document>{DOCUMENT}), (?:{ONE}|sections (?P<list>{NUMBER}(?:{NEXT}{NUMBER})+))"
            ))
            .expect("a valid pattern"),
            section: Regex::new(r"\b(?:[Ss]ections?|[Pp]art \d+)\b").expect("a valid pattern"),
            rfc: Regex::new(r"\bRFC ?(\d+)").expect("a valid pattern"),
            page: Regex::new(r"[\w./-]+\.md\b").expect("a valid pattern"),
        }
    }

    /// Reports every citation of a comment that does not resolve.
    fn problems(&self, comment: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let mut cited = Vec::new();
        for found in self.citation.captures_iter(comment) {
            cited.push(found.get(0).expect("the whole match").range());
            let document = &found["document"];
            let Some(sections) = self.sections(document) else {
                continue; // not a page, or a missing one, which is reported below
            };
            let kind = found.name("kind").map_or("section", |kind| kind.as_str());
            let numbers = found
                .name("number")
                .or(found.name("list"))
                .expect("one of the two matched");
            for number in numbers.as_str().split([' ', ',']) {
                let is_number = number.starts_with(|c: char| c.is_ascii_digit());
                if is_number && !sections.contains(&format!("{kind} {number}")) {
                    problems.push(format!("{document} has no {kind} {number}"));
                }
            }
        }
        for found in self.section.find_iter(comment) {
            if !cited.iter().any(|range| range.contains(&found.start())) {
                problems.push(format!(
                    "'{}' does not name its document",
                    &comment[found.start()..]
                ));
            }
        }
        for found in self.rfc.captures_iter(comment) {
            if !RFCS.contains(&&found[1]) {
                problems.push(format!("unknown RFC {}", &found[1]));
            }
        }
        for found in self.page.find_iter(comment) {
            if self.sections(found.as_str()).is_none() {
                problems.push(format!("no page {}", found.as_str()));
            }
        }
        problems
    }

    /// The sections of a page, given by its path or by a file name that only one page has.
    fn sections(&self, page: &str) -> Option<&BTreeSet<String>> {
        let suffix = format!("/{page}");
        let mut named = self
            .pages
            .iter()
            .filter(|(path, _)| path.ends_with(&suffix));
        match self.pages.get(page) {
            Some(sections) => Some(sections),
            None => named
                .next()
                .filter(|_| named.next().is_none())
                .map(|(_, sections)| sections),
        }
    }
}

/// A comment: consecutive line comments are one.
struct Comment {
    line: usize,
    text: String,
}

/// The comments of a Rust file, without their marks.
fn comments(source: &str) -> Vec<Comment> {
    let token = Regex::new(concat!(
        r###"(?s)(?P<line>//[^\n]*)|(?P<block>/\*.*?\*/)|r#".*?"#|r##".*?"##|r"[^"]*""###,
        r###"|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\[^u]|\\u\{[^}]*\})'"###,
    ))
    .expect("a valid pattern");
    let mut comments: Vec<Comment> = Vec::new();
    let mut end_of_last = 0;
    let mut last_is_alone = false;
    for found in token.captures_iter(source) {
        let Some(comment) = found.name("line").or(found.name("block")) else {
            continue;
        };
        let text = comment
            .as_str()
            .trim_start_matches(['/', '*', '!'])
            .trim_end_matches(['*', '/'])
            .trim();
        let between = &source[end_of_last..comment.start()];
        let is_alone = starts_its_line(source, comment.start());
        let is_next_line = between.trim().is_empty() && between.matches('\n').count() == 1;
        let continues = is_alone && last_is_alone && is_next_line;
        (end_of_last, last_is_alone) = (comment.end(), is_alone);
        match comments.last_mut() {
            Some(last) if continues => {
                last.text.push(' ');
                last.text.push_str(text);
            }
            _ => comments.push(Comment {
                line: source[..comment.start()].matches('\n').count() + 1,
                text: text.to_owned(),
            }),
        }
    }
    comments
}

fn starts_its_line(source: &str, position: usize) -> bool {
    source[..position]
        .rsplit('\n')
        .next()
        .is_none_or(|before| before.trim().is_empty())
}

/// A link of a page.
struct Link {
    line: usize,
    target: String,
}

/// The links of a page, outside of code.
fn links(text: &str) -> Vec<Link> {
    let inline = Regex::new(r"\]\(([^()\s]+)\)").expect("a valid pattern");
    let definition = Regex::new(r"^\[[^\]]+\]:\s*(\S+)").expect("a valid pattern");
    let code = Regex::new(r"`[^`]*`").expect("a valid pattern");
    let mut links = Vec::new();
    for (line, text) in outside_fences(text) {
        let text = code.replace_all(text, "``");
        let found = inline.captures_iter(&text);
        for found in found.chain(definition.captures_iter(&text)) {
            links.push(Link {
                line,
                target: found[1].to_owned(),
            });
        }
    }
    links
}

/// The numbered lines of a page that are not within a fenced block.
fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_fence = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_fence ^= is_fence;
        !in_fence && !is_fence
    })
}

/// Checks that the file and the heading of a link exist.
fn resolve(page: &Path, target: &str) -> Result<(), &'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => page.to_owned(),
        file => page.parent().expect("a file has a folder").join(file),
    };
    if !path.exists() {
        return Err("no such file");
    }
    if anchor.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
        return Ok(());
    }
    match anchors(&fs::read_to_string(&path).expect("the file is readable UTF-8")).contains(anchor)
    {
        true => Ok(()),
        false => Err("no such heading in the page"),
    }
}

/// The anchors of the headings of a page, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in outside_fences(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let slug: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let mut anchor = slug.clone();
        let mut repetition = 0;
        while !anchors.insert(anchor) {
            repetition += 1;
            anchor = format!("{slug}-{repetition}");
        }
    }
    anchors
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A path relative to the root, as reports print it.
fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .expect("the path is below the root")
        .display()
        .to_string()
}

/// The pages of the repository.
fn pages() -> Vec<PathBuf> {
    files_below(&root(), "md")
}

/// The files below a folder that have an extension, in order; build folders and hidden ones are
/// left out.
fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("the folder is readable").path();
            let name = path
                .file_name()
                .expect("an entry has a name")
                .to_str()
                .expect("the path is UTF-8");
            if path.is_dir() {
                let is_source =
                    !name.starts_with('.') && name != "target" && name != "node_modules";
                folders.extend(is_source.then_some(path));
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}
