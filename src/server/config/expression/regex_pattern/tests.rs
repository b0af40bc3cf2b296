//! Compatibility of regular expressions with nginx, and limits of searches.

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
