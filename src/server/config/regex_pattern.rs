//! Regular expressions of a configuration: of locations, conditions, maps and server names.
//!
//! The engine is PCRE2, as in nginx: a rule that was written for nginx must mean the same here, to
//! the last byte. It is compiled in and runs without JIT, which is nginx's default, too.
//!
//! A search that exceeds a limit of the engine has no result. It must not count as "no match",
//! because that would skip a rule that rejects the request. Such a failure is recorded for the
//! thread, and the router answers 500 (see [`take_failure`]), as nginx does. Until it is taken,
//! nothing more is searched.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use pcre2::bytes::{Regex, RegexBuilder};
use smallvec::SmallVec;

/// Most steps of one search: about ten milliseconds. nginx has ten times as many.
const MAX_STEPS: u64 = 1_000_000;

/// Most KiB of memory that one search may take to go back.
const MAX_HEAP_KIB: u64 = 16 * 1024;

/// The engine keeps the memory of a search for the next one. With longer subjects, of which that
/// may be a lot, it does not.
const MAX_KEPT_SUBJECT_BYTES: usize = 1024;

/// A regular expression that is invalid, with the reason.
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
    text: Arc<str>,
    regex: Regex,
    ignores_case: bool,
    names: Arc<[(String, usize)]>,
}

/// A search that ended without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchFailure {
    /// The expression.
    pub pattern: Arc<str>,
    /// The reason that the engine gives.
    pub reason: String,
}

thread_local! {
    /// The first failure since the last call of [`take_failure`].
    static FAILURE: RefCell<Option<SearchFailure>> = const { RefCell::new(None) };
}

/// Takes the first failed search of this thread since the last call. The request that caused it
/// must be rejected.
pub fn take_failure() -> Option<SearchFailure> {
    FAILURE.with_borrow_mut(Option::take)
}

/// Whether a search of this thread has failed since the last call of [`take_failure`].
#[must_use]
pub fn has_failure() -> bool {
    FAILURE.with_borrow(Option::is_some)
}

/// Does `work` apart from the request that this thread routes: a failed search in it is its error,
/// and neither of them stops searches of the other.
///
/// # Errors
/// A search failed.
pub fn isolated<T>(work: impl FnOnce() -> T) -> Result<T, SearchFailure> {
    let outer = take_failure();
    let value = work();
    FAILURE.replace(outer).map_or(Ok(value), Err)
}

/// Positions of the groups in a subject.
type Groups = SmallVec<[Option<Range<usize>>; 4]>;

impl RegexPattern {
    /// Compiles `pattern`. Subjects are bytes; classes such as `\w` are ASCII, as in nginx, unless
    /// the pattern begins with `(*UTF)`.
    ///
    /// # Errors
    /// The expression is invalid, or means something else in other versions of PCRE2.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, BadRegex> {
        if let Some(braces) = ambiguous_quantifier(pattern) {
            let reason = format!(
                "\"{braces}\" repeats since PCRE2 10.43 and is text before: write {{0,N}} or \
                 \\{braces}"
            );
            return Err(BadRegex {
                pattern: pattern.to_owned(),
                reason,
            });
        }
        let limits = format!("(*LIMIT_MATCH={MAX_STEPS})(*LIMIT_HEAP={MAX_HEAP_KIB})");
        let built = RegexBuilder::new()
            .caseless(ignore_case)
            .build(&format!("{limits}{pattern}"));
        let regex = built.map_err(|error| BadRegex {
            pattern: pattern.to_owned(),
            reason: reason(&error, limits.len()),
        })?;
        let named = |(number, name): (usize, &Option<String>)| Some((name.clone()?, number));
        let names = regex
            .capture_names()
            .iter()
            .enumerate()
            .filter_map(named)
            .collect();
        Ok(Self {
            text: pattern.into(),
            regex,
            ignores_case: ignore_case,
            names,
        })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The expression ignores case: `~*`.
    #[must_use]
    pub fn ignores_case(&self) -> bool {
        self.ignores_case
    }

    /// Names of the named groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    /// Whether the expression is found in `subject`. False if the search fails, which is recorded.
    #[must_use]
    pub fn is_match(&self, subject: &[u8]) -> bool {
        self.with_engine(subject, |regex| regex.is_match(subject))
            .unwrap_or(false)
    }

    /// Searches `subject`; captures if it matches. `None` if the search fails, which is recorded.
    #[must_use]
    pub fn captures(&self, subject: &[u8]) -> Option<Captures> {
        if self.regex.captures_len() == 1 {
            return self.is_match(subject).then(Captures::default);
        }
        let groups = self.with_engine(subject, |regex| {
            let mut locations = regex.capture_locations();
            let found = regex.captures_read(&mut locations, subject)?;
            let group = |number| locations.get(number).map(|(start, end)| start..end);
            Ok(found.map(|_| (0..locations.len()).map(group).collect::<Groups>()))
        })??;
        Some(Captures {
            subject: Bytes::copy_from_slice(subject),
            groups,
            names: Some(Arc::clone(&self.names)),
        })
    }

    /// Searches, unless a search of this request has failed before: it is rejected anyway, and must
    /// not cost the limit once for every expression of the configuration.
    fn with_engine<T>(
        &self,
        subject: &[u8],
        search: impl FnOnce(&Regex) -> Result<T, pcre2::Error>,
    ) -> Option<T> {
        if has_failure() {
            return None;
        }
        let result = if subject.len() > MAX_KEPT_SUBJECT_BYTES {
            search(&self.regex.clone())
        } else {
            search(&self.regex)
        };
        result.map_err(|error| self.record(&error)).ok()
    }

    fn record(&self, error: &pcre2::Error) {
        let failure = || SearchFailure {
            pattern: Arc::clone(&self.text),
            reason: reason(error, 0),
        };
        FAILURE.with_borrow_mut(|first| {
            first.get_or_insert_with(failure);
        });
    }
}

/// The first braces in `pattern` that are a quantifier since PCRE2 10.43, and were text before,
/// with which most versions of nginx are built: `{,3}`, or one with spaces.
fn ambiguous_quantifier(pattern: &str) -> Option<&str> {
    let mut is_in_class = false;
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '[', ']', '{']) {
        let here = &rest[at..];
        let length = match here.as_bytes() {
            [b'\\', b'Q', ..] => here.find("\\E").map_or(here.len(), |end| end + 2),
            [b'\\', ..] => 1 + here[1..].chars().next().map_or(0, char::len_utf8),
            [b'[', b':', ..] if is_in_class => 2,
            [b'[', ..] if !is_in_class => {
                is_in_class = true;
                // A bracket in the first place belongs to the class.
                1 + here[1..].starts_with('^') as usize
                    + here[1..].trim_start_matches('^').starts_with(']') as usize
            }
            [b']', ..] => {
                is_in_class = false;
                1
            }
            [b'{', ..] if !is_in_class => match here
                .find('}')
                .map(|end| &here[..=end])
                .filter(|braces| is_ambiguous(braces))
            {
                Some(braces) => return Some(braces),
                None => 1,
            },
            _ => 1,
        };
        rest = &here[length..];
    }
    None
}

/// Whether braces are a quantifier in new versions only.
fn is_ambiguous(braces: &str) -> bool {
    let inner = &braces[1..braces.len() - 1];
    let numbers: Vec<&str> = inner
        .split(',')
        .map(|number| number.trim_matches([' ', '\t']))
        .collect();
    let is_quantifier = numbers.len() <= 2
        && numbers
            .iter()
            .all(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        && numbers.iter().any(|number| !number.is_empty());
    is_quantifier && (inner.starts_with(',') || inner.contains([' ', '\t']))
}

/// The engine's text, with positions in the pattern as it was written.
fn reason(error: &pcre2::Error, offset: usize) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(": ")
        .map_or(text.as_str(), |(_, text)| text);
    match error.offset() {
        Some(position) => format!("{text} at offset {}", position.saturating_sub(offset)),
        None => text.to_owned(),
    }
}

/// Captures of a search: one copy of the subject and the positions of the groups in it. Nothing is
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
        self.groups
            .get(number)?
            .as_ref()
            .and_then(|range| self.subject.get(range.clone()))
    }

    /// Some of it has a name.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.names.as_ref().is_some_and(|names| !names.is_empty())
    }

    /// A named capture, empty if its group took no part in the match; names are compared without
    /// case, as all variables are.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<&[u8]> {
        let (_, number) = self
            .names
            .as_ref()?
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(self.get(*number).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pattern: &str, ignore_case: bool, subject: &[u8]) -> Option<Captures> {
        RegexPattern::new(pattern, ignore_case)
            .expect("a valid pattern")
            .captures(subject)
    }

    #[test]
    fn captures_have_numbers_and_names() {
        let captures = captured("^/(a)|/(?<ch>.+)/x", false, b"/b\xff/x").expect("a match");
        assert_eq!(
            (captures.get(0), captures.get(1)),
            (Some(&b"/b\xff/x"[..]), None)
        );
        assert_eq!(
            (captures.get(2), captures.name("CH")),
            (Some(&b"b\xff"[..]), Some(&b"b\xff"[..]))
        );
        assert_eq!((captures.get(3), captures.name("other")), (None, None));
    }

    #[test]
    fn patterns_mean_what_they_mean_in_nginx() {
        // Each was tried with nginx 1.22.1.
        for (pattern, ignore_case, subject, matches) in [
            (r"^\w$", false, &b"\xe9"[..], false),
            (r"^\W$", false, b"\xe9", true),
            ("^é[а-я]$", false, "éж".as_bytes(), false),
            ("^/ab$", false, b"/AB", false),
            ("^/ab$", true, b"/AB", true),
            ("^/é$", true, "/É".as_bytes(), false),
            ("^/a$", false, b"/a\n", true),
            ("^/a$", false, b"/a\n\n", false),
            (r"^/a\Z", false, b"/a\n", true),
            (r"^/a\z", false, b"/a\n", false),
            ("(?m)^/a$", false, b"/x\n/a\nb", true),
            ("^/a.b", false, b"/a\nb", false),
            ("^/a[^x]b", false, b"/a\nb", true),
            ("^/a.b", false, b"/a\xe9b", true),
            ("^/a.b", false, "/aéb".as_bytes(), false),
            ("(?x)^/a b", false, b"/ab", true),
            (r"^/a\sb", false, b"/a\x0bb", true),
            ("^/[[:word:]]$", false, b"/\xe9", false),
            (r"^/\h$", false, b"/\xa0", true),
            ("^/(?>a+)a", false, b"/aaa", false),
            ("^/a++a", false, b"/aaa", false),
            (r"^/(\((?:[^()]|(?1))*\))$", false, b"/(a(b)c)", true),
            ("^[a&&b]$", false, b"&", true),
            ("^/a{,b}$", false, b"/a{,b}", true),
        ] {
            let subject_shown = subject.escape_ascii();
            assert_eq!(
                captured(pattern, ignore_case, subject).is_some(),
                matches,
                "{pattern} {subject_shown}"
            );
        }
    }

    #[test]
    fn an_invalid_pattern_is_reported_in_one_line_with_its_position() {
        for (pattern, end) in [
            ("^/a(", "missing closing parenthesis at offset 4"),
            ("(?!x", "missing closing parenthesis at offset 4"),
            (
                "a{2,1}",
                "numbers out of order in {} quantifier at offset 6",
            ),
            ("[[:foo:]]", "unknown POSIX class name at offset 3"),
        ] {
            let error = RegexPattern::new(pattern, false)
                .expect_err(pattern)
                .to_string();
            assert!(
                error.starts_with(&format!("invalid regular expression \"{pattern}\": "))
                    && !error.contains('\n'),
                "{error}"
            );
            assert!(
                error.contains(end.split(" at ").next().unwrap_or_default())
                    && error.contains(" at offset "),
                "{error}"
            );
        }
    }

    #[test]
    fn a_search_beyond_the_limits_is_a_failure_and_not_a_mismatch() {
        let subject = [&b"/"[..], &[b'a'; 40], b"!"].concat();
        for pattern in ["^/(?:(a|aa)(?=a|!))+$", "^/(a+)+$", "^/(?:a+)+$"] {
            let pattern = RegexPattern::new(pattern, false).expect("a valid pattern");
            assert!(pattern.captures(&subject).is_none() && has_failure());
            let failure = take_failure().expect("the failure");
            assert_eq!(
                (&*failure.pattern, failure.reason.as_str()),
                (pattern.text(), "match limit exceeded")
            );
            assert!(
                pattern.captures(b"/x").is_none() && take_failure().is_none(),
                "a mismatch is no failure"
            );
        }
        let utf = RegexPattern::new("(*UTF)^/é$", false).expect("a valid pattern");
        assert!(utf.is_match("/é".as_bytes()) && !has_failure());
        assert!(
            !utf.is_match(b"/\xe9") && take_failure().is_some(),
            "the subject is not UTF-8"
        );
    }

    #[test]
    fn nothing_is_searched_after_a_failure_until_it_is_taken() {
        let [costly, plain] = ["^/(a+)+$", "^/a"]
            .map(|pattern| RegexPattern::new(pattern, false).expect("a valid pattern"));
        let subject = [&b"/"[..], &[b'a'; 40], b"!"].concat();
        assert!(plain.is_match(&subject) && !costly.is_match(&subject) && has_failure());
        assert!(!plain.is_match(&subject) && plain.captures(&subject).is_none());
        assert_eq!(
            take_failure().map(|failure| failure.pattern),
            Some("^/(a+)+$".into()),
            "the first one"
        );
        assert!(plain.is_match(&subject));
        assert!(
            !costly.is_match(&subject)
                && isolated(|| plain.is_match(&subject)) == Ok(true)
                && has_failure()
        );
        assert!(
            take_failure().is_some()
                && isolated(|| costly.is_match(&subject)).is_err()
                && !has_failure()
        );
    }

    #[test]
    fn what_depends_on_the_version_of_the_engine_is_rejected() {
        for pattern in [
            "^/a{,3}$",
            "a{ 1,3}",
            "a{1, 3 }",
            "a{ 2 }",
            "a{1,\t}",
            r"[\]x]{,1}",
            "[]{,3}]a{,3}",
            r"\Q{,3}\E{,3}",
            "[[:alpha:]]{,2}",
        ] {
            let error = RegexPattern::new(pattern, false)
                .expect_err(pattern)
                .to_string();
            assert!(error.contains(" repeats since PCRE2 10.43"), "{error}");
        }
        for pattern in [
            "a{0,3}",
            r"a\{,3}",
            "[{,3}]",
            "[^]{,3}]",
            r"\Q{,3}\E",
            r"\Q{,3}",
            "a{,}",
            "a{}",
            "a{ }",
            "a{,b}",
            "a{1,2,3}",
            "{",
            r"\x{41}",
            r"é\é{1}",
        ] {
            assert!(RegexPattern::new(pattern, false).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn long_subjects_are_searched_to_the_end() {
        let subject = [&b"/"[..], &b"ab".repeat(15_000)].concat();
        assert!(captured("^/(?:a|b)*$", false, &subject).is_some() && take_failure().is_none());
    }

    #[test]
    fn no_bytes_upset_the_engine() {
        let mut seed = 1_u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        };
        for pattern in [
            r"(?<!é)(.)\1",
            r"(?<=[а-я])(.+)(?!x)",
            r"(?i)(\w+)/\1",
            r"(?<=.)\b(.)",
            r"(?<!\W)(?=.)([^/]*)",
        ] {
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
