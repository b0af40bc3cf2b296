//! Directive values with variables, such as `$arg_id` or `"test_$1"`.

use std::borrow::Cow;

use bytes::Bytes;

/// Where the variables of an expression come from: the request.
pub trait Variables {
    /// `$arg_NAME`: the raw value of the first query argument of that name (compared without case, undecoded).
    fn argument(&self, name: &[u8]) -> Option<&[u8]>;
    /// `$http_NAME`: the first header of that name (lower case, with `-` for `_`).
    fn header(&self, name: &str) -> Option<&[u8]>;
    /// `$1` to `$9`: a capture of the location's regular expression.
    fn capture(&self, number: usize) -> Option<&[u8]>;
    /// A named capture.
    fn named_capture(&self, name: &str) -> Option<&[u8]>;
    /// Any other variable that the server knows (`uri`, `request_uri`, `args`, `remote_addr`, `host`, ...).
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// A text with variables in it, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Bytes),
    Argument(Bytes),
    Header(String),
    Capture(usize),
    NamedCapture(String),
    Builtin(String),
}

impl Expression {
    /// Evaluates for one request; an absent variable is empty. Borrows when the expression is a single part.
    #[must_use]
    pub fn evaluate<'a>(&'a self, variables: &'a dyn Variables) -> Cow<'a, [u8]> {
        if let [part] = self.parts.as_slice() {
            return part.value(variables);
        }
        let mut text = Vec::new();
        for part in &self.parts {
            text.extend_from_slice(&part.value(variables));
        }
        Cow::Owned(text)
    }
}

impl Part {
    fn value<'a>(&'a self, variables: &'a dyn Variables) -> Cow<'a, [u8]> {
        let found = match self {
            Part::Literal(text) => Some(text.as_ref()),
            Part::Argument(name) => variables.argument(name),
            Part::Header(name) => variables.header(name),
            Part::Capture(number) => variables.capture(*number),
            Part::NamedCapture(name) => variables.named_capture(name),
            Part::Builtin(name) => return variables.builtin(name).unwrap_or_default(),
        };
        Cow::Borrowed(found.unwrap_or_default())
    }
}
