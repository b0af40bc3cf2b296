//! The condition of an `if`, and the names of captures that become variables of the whole file.

use super::parser::Directive;
use crate::server::config::model::location::rewrite_phase::condition::FileTest;
use crate::server::config::{Condition, Expression, RegexPattern, VariableNames};

/// Parses the arguments of `if`.
pub(in crate::server) fn parse(
    arguments: &[Vec<u8>],
    names: &VariableNames,
) -> Result<Condition, String> {
    let words = inside(arguments).ok_or_else(|| invalid(arguments.first()))?;
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let expression = |text| Expression::parse_with(text, names).map_err(|error| error.to_string());
    match words.as_slice() {
        [operator, path] if file_test(operator).is_some() => {
            let test = file_test(operator).ok_or_else(|| invalid(Some(*operator)))?;
            Ok(Condition::File {
                test,
                path: expression(path)?,
                negated: operator.starts_with(b"!"),
            })
        }
        [variable] if variable.starts_with(b"$") => Ok(Condition::True(expression(variable)?)),
        [variable, operator, right] if variable.starts_with(b"$") => {
            let left = expression(variable)?;
            let negated = operator.starts_with(b"!");
            match *operator {
                b"=" | b"!=" => Ok(Condition::Equal {
                    left,
                    right: expression(right)?,
                    negated,
                }),
                b"~" | b"!~" | b"~*" | b"!~*" => {
                    let text = std::str::from_utf8(right)
                        .map_err(|_| "a regular expression is not UTF-8".to_owned())?;
                    let pattern = RegexPattern::new(text, operator.ends_with(b"*"))
                        .map_err(|error| error.to_string())?;
                    Ok(Condition::Match {
                        subject: left,
                        pattern,
                        negated,
                    })
                }
                _ => Err(format!(
                    "unexpected \"{}\" in condition",
                    String::from_utf8_lossy(operator)
                )),
            }
        }
        _ => Err(invalid(words.first().copied())),
    }
}

fn file_test(operator: &[u8]) -> Option<FileTest> {
    match operator.strip_prefix(b"!").unwrap_or(operator) {
        b"-f" => Some(FileTest::File),
        b"-d" => Some(FileTest::Directory),
        b"-e" => Some(FileTest::Exists),
        b"-x" => Some(FileTest::Executable),
        _ => None,
    }
}

fn invalid(word: Option<impl AsRef<[u8]>>) -> String {
    let word = word.map(|word| String::from_utf8_lossy(word.as_ref()).into_owned());
    format!("invalid condition \"{}\"", word.unwrap_or_default())
}

/// The words between the parentheses, which may be attached to the first and the last word.
pub(in crate::server) fn inside(arguments: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let mut words = arguments.to_vec();
    let first = words.first_mut()?;
    *first = first.strip_prefix(b"(")?.to_vec();
    let last = words.last_mut()?;
    *last = last.strip_suffix(b")")?.to_vec();
    if words.len() > 1 && words.last().is_some_and(Vec::is_empty) {
        words.pop();
    }
    if words.first().is_some_and(Vec::is_empty) {
        words.remove(0);
    }
    Some(words)
}

/// Adds the names of captures in the regular expressions of a `location`, `if` or `rewrite`.
pub(in crate::server) fn capture_names(directive: &Directive, names: &mut Vec<String>) {
    if !matches!(directive.name.as_str(), "location" | "if" | "rewrite") {
        return;
    }
    for argument in &directive.arguments {
        names_in(&String::from_utf8_lossy(argument), names);
    }
}

/// Adds the names of captures in a regular expression.
pub(in crate::server) fn names_in(text: &str, names: &mut Vec<String>) {
    for (place, opening) in ["(?<", "(?P<", "(?'"]
        .into_iter()
        .flat_map(|opening| text.match_indices(opening))
    {
        let rest = &text[place + opening.len()..];
        let name = rest.split(['>', '\'']).next().unwrap_or_default();
        if !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            names.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Condition, String> {
        parse(
            &words
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .collect::<Vec<_>>(),
            &VariableNames::default(),
        )
    }

    #[test]
    fn parentheses_may_be_attached_to_the_words() {
        for words in [
            &["($arg_a", "=", "on", ")"][..],
            &["($arg_a", "=", "on)"],
            &["(", "$arg_a", "=", "on", ")"],
            &["(", "$arg_a", "!=", "on)"],
        ] {
            assert!(
                matches!(parsed(words), Ok(Condition::Equal { .. })),
                "{words:?}"
            );
        }
        assert!(matches!(parsed(&["($arg_a)"]), Ok(Condition::True(_))));
        assert!(matches!(
            parsed(&["($arg_a", "!~*", "^x$)"]),
            Ok(Condition::Match { negated: true, .. })
        ));
        assert!(matches!(
            parsed(&["(!-f", "$uri)"]),
            Ok(Condition::File {
                test: FileTest::File,
                negated: true,
                ..
            })
        ));
    }

    #[test]
    fn other_conditions_are_rejected() {
        for words in [
            &["$arg_a"][..],
            &["($arg_a"],
            &["()"],
            &["(a)"],
            &["($arg_a", "==", "x)"],
            &["($arg_a", "=)"],
            &["($nonsense)"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
