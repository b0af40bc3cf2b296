//! Regular expressions of a configuration: of locations, conditions and server names.
//!
//! Most are matched in linear time by `regex`; those with look-around, back-references or other things of PCRE that it
//! does not have, by `fancy-regex`, which backtracks within a bound.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use fancy_regex::BytesMode;
use smallvec::SmallVec;

/// Most steps back of one search. Every step of the engine is short, so that this is some milliseconds; honest patterns
/// need no more than a few steps for each byte of a path.
const MAX_STEPS_BACK: usize = 100_000;

/// A regular expression that is not supported, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression \"{pattern}\": {reason}")]
pub struct BadRegex {
    /// The expression as it was written.
    pub pattern: String,
    /// What is wrong with it, in one line.
    pub reason: String,
}

/// A regular expression with the names of its groups.
#[derive(Clone, Debug)]
pub struct RegexPattern {
    engine: Engine,
    ignores_case: bool,
    names: Arc<[(String, usize)]>,
}

/// What searches.
#[derive(Clone, Debug)]
enum Engine {
    Linear(regex::bytes::Regex),
    Backtracking(fancy_regex::Regex),
}

/// Places of the groups in a subject.
type Groups = SmallVec<[Option<Range<usize>>; 4]>;

impl RegexPattern {
    /// Compiles `pattern` in the syntax of nginx (PCRE), as far as `regex` or `fancy-regex` know it. Classes such as `\w`
    /// are ASCII, as in nginx, unless the expression itself needs Unicode. Subjects need not be UTF-8.
    ///
    /// # Errors
    /// The expression is wrong or not supported.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, BadRegex> {
        let engine = Engine::compile(pattern, ignore_case).map_err(|reason| BadRegex { pattern: pattern.to_owned(), reason })?;
        let names = engine.names();
        Ok(Self { engine, ignores_case: ignore_case, names })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.engine {
            Engine::Linear(regex) => regex.as_str(),
            Engine::Backtracking(regex) => regex.as_str(),
        }
    }

    /// Case does not count: `~*`.
    #[must_use]
    pub fn ignores_case(&self) -> bool {
        self.ignores_case
    }

    /// Names of the named groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    /// Whether the expression is found in `subject`.
    #[must_use]
    pub fn is_match(&self, subject: &[u8]) -> bool {
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(subject),
            Engine::Backtracking(regex) => regex.is_match(subject).unwrap_or(false),
        }
    }

    /// Searches `subject`; captures if it matches. A search that takes too many steps back counts as no match.
    #[must_use]
    pub fn captures(&self, subject: &[u8]) -> Option<Captures> {
        if self.engine.groups() == 1 {
            return self.is_match(subject).then(Captures::default);
        }
        let groups = self.engine.search(subject)?;
        Some(Captures { subject: Bytes::copy_from_slice(subject), groups, names: Some(Arc::clone(&self.names)) })
    }
}

impl Engine {
    fn compile(pattern: &str, ignore_case: bool) -> Result<Self, String> {
        let linear = |unicode| regex::bytes::RegexBuilder::new(pattern).case_insensitive(ignore_case).unicode(unicode).build();
        let backtracking = |mode| {
            let mut builder = fancy_regex::RegexBuilder::new(pattern);
            builder.case_insensitive(ignore_case).backtrack_limit(MAX_STEPS_BACK).bytes_mode(mode).build()
        };
        let reason = match linear(false).or_else(|_| linear(true)) {
            Ok(regex) => return Ok(Engine::Linear(regex)),
            Err(error) => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        };
        match backtracking(BytesMode::Ascii).or_else(|_| backtracking(BytesMode::UnicodeBytes)) {
            Ok(regex) => Ok(Engine::Backtracking(regex)),
            // What `regex` does not support is not what is wrong with it.
            Err(error) if reason.ends_with("not supported") => Err(error.to_string().replace('\n', " ")),
            Err(_) => Err(reason),
        }
    }

    fn names(&self) -> Arc<[(String, usize)]> {
        fn numbered<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Arc<[(String, usize)]> {
            names.enumerate().filter_map(|(number, name)| Some((name?.to_owned(), number))).collect()
        }
        match self {
            Engine::Linear(regex) => numbered(regex.capture_names()),
            Engine::Backtracking(regex) => numbered(regex.capture_names()),
        }
    }

    /// Number of groups, the whole match included.
    fn groups(&self) -> usize {
        match self {
            Engine::Linear(regex) => regex.captures_len(),
            Engine::Backtracking(regex) => regex.captures_len(),
        }
    }

    fn search(&self, subject: &[u8]) -> Option<Groups> {
        match self {
            Engine::Linear(regex) => Some(regex.captures(subject)?.iter().map(|group| group.map(|group| group.range())).collect()),
            Engine::Backtracking(regex) => {
                let found = regex.captures(subject).ok()??;
                Some(found.iter().map(|group| group.map(|group| group.range())).collect())
            }
        }
    }
}

/// Captures of a regular-expression location: one copy of the subject and the places of the groups in it. Nothing is
/// allocated when there are no groups.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    subject: Bytes,
    groups: Groups,
    names: Option<Arc<[(String, usize)]>>,
}

impl Captures {
    /// `$1` and so on; 0 is the whole match.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        self.groups.get(number)?.as_ref().and_then(|range| self.subject.get(range.clone()))
    }

    /// Nothing was captured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// A named capture; names are compared without case, as all variables are.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<&[u8]> {
        let (_, number) = self.names.as_ref()?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        self.get(*number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pattern: &str, ignore_case: bool, subject: &[u8]) -> Option<Captures> {
        RegexPattern::new(pattern, ignore_case).expect("a valid pattern").captures(subject)
    }

    #[test]
    fn captures_have_numbers_and_names() {
        let captures = captured("^/(a)|/(?<ch>.+)/x", false, b"/b\xff/x").expect("a match");
        assert_eq!((captures.get(0), captures.get(1)), (Some(&b"/b\xff/x"[..]), None));
        assert_eq!((captures.get(2), captures.name("CH")), (Some(&b"b\xff"[..]), Some(&b"b\xff"[..])));
        assert_eq!((captures.get(3), captures.name("other")), (None, None));
    }

    #[test]
    fn classes_are_ascii_and_case_counts_unless_told() {
        for (pattern, ignore_case, subject, matches) in [
            (r"^\w$", false, "\u{e9}", false),
            ("^é[а-я]$", false, "éж", true),
            ("^/ab$", false, "/AB", false),
            ("^/ab$", true, "/AB", true),
            (r"\.html$", false, "/x.html", true),
        ] {
            assert_eq!(captured(pattern, ignore_case, subject.as_bytes()).is_some(), matches, "{pattern} {subject}");
        }
    }

    #[test]
    fn what_is_not_supported_is_told_in_one_line() {
        for pattern in ["^/a(", "(?!x", r"(?<=a)(", r"(.)\1("] {
            let error = RegexPattern::new(pattern, false).expect_err(pattern).to_string();
            assert!(error.starts_with(&format!("invalid regular expression \"{pattern}\": ")) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn look_around_and_back_references_are_matched_on_any_bytes() {
        for (pattern, subject, group) in [
            ("^/(?!admin)(.*)$", &b"/a/b"[..], Some(&b"a/b"[..])),
            ("^/(?!admin)(.*)$", b"/admin/b", None),
            (r"^/(\w+)/\1$", b"/ab/ab", Some(b"ab")),
            (r"^/(\w+)/\1$", b"/ab/abc", None),
            (r"(?<!/private)/(\w+)$", b"/public/x", Some(b"x")),
            (r"(?<!/private)/(\w+)$", b"/private/x", None),
            ("^/(?!x)(.+)$", b"/\xff\xfe", Some(b"\xff\xfe")),
            ("^/(?=é)(?<first>[а-я]|é)", "/é".as_bytes(), Some("é".as_bytes())),
            (r"^/(?!x)(\w)", "/é".as_bytes(), None),
        ] {
            let captures = captured(pattern, false, subject);
            assert_eq!(captures.as_ref().and_then(|captures| captures.get(1)), group, "{pattern} {subject:?}");
        }
        let named = captured("^/(?!x)(?<ch>.+)$", true, b"/ab").expect("a match");
        assert_eq!((named.name("ch"), named.get(0)), (Some(&b"ab"[..]), Some(&b"/ab"[..])));
        assert!(captured("^/(?!ADMIN)", true, b"/admin").is_none());
    }

    #[test]
    fn a_search_that_goes_back_too_often_is_no_match() {
        // Without a bound these 40 bytes would take more than 2^25 steps.
        let subject = [&b"/"[..], &[b'a'; 40], b"!"].concat();
        let pattern = RegexPattern::new("^/(?:(a|aa)(?=a|!))+$", false).expect("a valid pattern");
        assert!(pattern.captures(&subject).is_none());
        assert!(matches!(&pattern.engine, Engine::Backtracking(regex) if regex.is_match(&subject[..]).is_err()), "it ran to an end");
        assert!(
            pattern.captures(b"/aa").is_none() && RegexPattern::new("^/(?=(a+))a", false).is_ok_and(|pattern| pattern.is_match(b"/aa"))
        );
    }

    #[test]
    fn no_bytes_upset_the_backtracking_engine() {
        let mut seed = 1_u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        };
        for pattern in [r"(?<!é)(.)\1", r"(?<=[а-я])(.+)(?!x)", r"(?i)(\w+)/\1", r"(?<=.)\b(.)", r"(?<!\W)(?=.)([^/]*)"] {
            let pattern = RegexPattern::new(pattern, false).expect("a valid pattern");
            for length in 0..200 {
                let subject: Vec<u8> = (0..length % 20).map(|_| next()).collect();
                if let Some(captures) = pattern.captures(&subject) {
                    assert!(captures.get(0).is_some());
                }
            }
        }
    }
}
