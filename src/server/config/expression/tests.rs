//! Evaluation, wrappers and syntax errors.

use super::*;

struct Request;

impl Variables for Request {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        (name == b"id").then_some(b"a%20b".as_slice())
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        (name == "x-real-ip").then_some(b"::1".as_slice())
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        (number == 2).then_some(b"two".as_slice())
    }
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        (name == "ch").then_some(b"named".as_slice())
    }
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (name == "uri").then_some(Cow::Borrowed(b"/sub/a/b"))
    }
}

/// Adds `$1` to the variables of a request.
struct Wrapper(Request);

impl Variables for Wrapper {
    fn inner(&self) -> Option<&dyn Variables> {
        Some(&self.0)
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        (number == 1).then_some(b"one".as_slice())
    }
}

#[test]
fn a_wrapper_forwards_the_variables_that_it_does_not_add() {
    let names = VariableNames {
        captures: vec!["ch".to_owned()],
        ..VariableNames::default()
    };
    let text = b"$1/$2/$arg_id/$http_x_real_ip/$ch/$uri/$args";
    let expression = Expression::parse_with(text, &names).expect("an expression");
    assert_eq!(
        String::from_utf8_lossy(&expression.evaluate(&Wrapper(Request))),
        "one//a%20b/::1/named//sub/a/b/"
    );
}

fn evaluated(text: &str) -> Result<String, ExpressionError> {
    let expression = Expression::parse_with(
        text.as_bytes(),
        &VariableNames {
            captures: vec!["ch".to_owned()],
            ..VariableNames::default()
        },
    )?;
    Ok(String::from_utf8_lossy(&expression.evaluate(&Request)).into_owned())
}

#[test]
fn variables_are_replaced_and_absent_ones_are_empty() {
    for (text, expected) in [
        ("", ""),
        ("none", "none"),
        ("$arg_id", "a%20b"),
        ("$ARG_ID", "a%20b"),
        ("<${arg_id}x>", "<a%20bx>"),
        ("$arg_other", ""),
        ("$2/$1", "two/"),
        ("$21", "two1"),
        ("test_$2", "test_two"),
        ("$http_x_real_ip", "::1"),
        ("$ch-$uri", "named-/sub/a/b"),
        ("$args", ""),
    ] {
        assert_eq!(evaluated(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn syntax_errors_are_reported_in_the_words_of_nginx() {
    assert_eq!(
        evaluated("$foo").expect_err("no such variable").to_string(),
        "unknown \"foo\" variable"
    );
    assert_eq!(
        Expression::parse(b"$ch"),
        Err(ExpressionError::UnknownVariable("ch".to_owned()))
    );
    assert_eq!(evaluated("5 $"), Err(ExpressionError::InvalidName));
    assert_eq!(evaluated("$-a"), Err(ExpressionError::InvalidName));
    assert_eq!(
        evaluated("${arg_id"),
        Err(ExpressionError::MissingBracket("arg_id".to_owned()))
    );
}

#[test]
fn the_rest_of_the_path_follows_the_prefix() {
    assert_eq!(
        Expression::path_after(5).evaluate(&Request).as_ref(),
        b"a/b"
    );
    assert_eq!(Expression::path_after(50).evaluate(&Request).as_ref(), b"");
}
