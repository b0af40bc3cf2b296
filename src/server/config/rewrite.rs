//! `rewrite`: a regular expression on the path of a request, and the URI or address that replaces
//! it (nginx's `ngx_http_rewrite_module`). When it is tried is the business of `condition`.

use super::expression::{Expression, Variables};
use super::regex_pattern::RegexPattern;

/// A `rewrite` directive.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// What is searched in the path.
    pub pattern: RegexPattern,
    /// What replaces the whole path, without the `?` at its end.
    pub replacement: Expression,
    /// The arguments of the request are appended: the replacement does not end with `?`.
    pub keeps_arguments: bool,
    /// What follows.
    pub then: RewriteFlag,
}

/// What follows a rewrite that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewriteFlag {
    /// The next directive of the rewrite phase.
    Continue,
    /// `last`: the location of the new URI is searched.
    Last,
    /// `break`: the location stays.
    Break,
    /// `redirect`, `permanent`, or an address: the client is sent there with this status.
    Redirect(u16),
}

/// The URI of a request, as rewriting leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// The decoded path.
    pub path: Vec<u8>,
    /// What follows the `?`.
    pub arguments: Vec<u8>,
}

/// The raw value of the first query argument of that name; names are compared without case.
#[must_use]
pub fn find_argument<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|byte| *byte == b'&').find_map(|argument| {
        let equals = memchr::memchr(b'=', argument)?;
        argument[..equals]
            .eq_ignore_ascii_case(name)
            .then(|| &argument[equals + 1..])
    })
}

impl Rewrite {
    /// The URI that a request with these `arguments` goes on with.
    #[must_use]
    pub fn uri(&self, variables: &dyn Variables, arguments: &[u8]) -> Uri {
        let (path, own) = self.replacement.evaluate_to_replacement(variables);
        let kept = if self.keeps_arguments { arguments } else { b"" };
        let arguments = match own {
            None => kept.to_vec(),
            Some(own) if kept.is_empty() => own,
            Some(own) => [&own, &b"&"[..], kept].concat(),
        };
        Uri { path, arguments }
    }

    /// The address that a client with these `arguments` is sent to.
    #[must_use]
    pub fn address(&self, variables: &dyn Variables, arguments: &[u8]) -> Vec<u8> {
        let (text, has_own) = self.replacement.evaluate_to_redirect(variables);
        let mut address = unescaped(&text);
        if self.keeps_arguments && !arguments.is_empty() {
            address.push(if has_own { b'&' } else { b'?' });
            address.extend_from_slice(arguments);
        }
        address
    }
}

/// An address with its printable escapes decoded, up to the `?`: `ngx_unescape_uri` for
/// redirections.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'?', _) => {
                out.push(b'?');
                out.extend_from_slice(after);
                break;
            }
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest = after;
                let value = u8::from_str_radix(&String::from_utf8_lossy(&[*high, *low]), 16)
                    .unwrap_or_default();
                match value {
                    // It may be written in two ways, and only one of them ends the path.
                    b'?' if !low.is_ascii_digit() => {
                        out.push(b'?');
                        out.extend_from_slice(after);
                        break;
                    }
                    b'&'..0x7f => out.push(value),
                    _ => out.extend_from_slice(&[b'%', *high, *low]),
                }
            }
            // Digits that are none are left out with what belongs to them.
            (b'%', [high, _, after @ ..]) if high.is_ascii_hexdigit() => rest = after,
            (b'%', [other, after @ ..]) if !other.is_ascii_hexdigit() => {
                out.push(*other);
                rest = after;
            }
            (b'%', _) => break,
            (byte, _) => out.push(*byte),
        }
    }
    out
}
