//! `rewrite`: a regular expression on the path of a request, and the URI or address that replaces
//! it (nginx's `ngx_http_rewrite_module`). Applied by `rewrite_phase`.

use crate::server::config::expression::percent::escaped_byte;
use crate::server::config::expression::regex_pattern::RegexPattern;
use crate::server::config::expression::{Expression, Variables};

/// A `rewrite` directive.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// The regular expression that is searched in the path.
    pub pattern: RegexPattern,
    /// The replacement of the whole path, without a trailing `?`.
    pub replacement: Expression,
    /// The replacement has no trailing `?`: the arguments of the request are appended.
    pub keeps_arguments: bool,
    /// The next action after a match.
    pub flag: RewriteFlag,
}

/// The next action after a `rewrite` that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewriteFlag {
    /// The next directive of the rewrite phase.
    Continue,
    /// `last`: the location of the new URI is searched.
    Last,
    /// `break`: the location is kept.
    Break,
    /// `redirect`, `permanent`, or an absolute address: the client is redirected with this status.
    Redirect(u16),
}

/// A rewritten URI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// The decoded path.
    pub path: Vec<u8>,
    /// The query, without the `?`.
    pub arguments: Vec<u8>,
}

/// Returns the undecoded value of the first query argument of that name, compared without case.
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
    /// Returns the new URI of a request with these `arguments`.
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

    /// Returns the address of the redirection for a request with these `arguments`.
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

/// Decodes the escapes of printable characters up to the `?`: nginx's `ngx_unescape_uri` for
/// redirections.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%'
            && let Some(escaped) = escaped_byte(after)
        {
            rest = escaped.rest;
            match escaped.byte {
                // A decoded `?` also ends the path.
                b'?' => {
                    out.push(b'?');
                    out.extend_from_slice(rest);
                    break;
                }
                b'&'..0x7f => out.push(escaped.byte),
                _ => {
                    out.push(b'%');
                    out.extend_from_slice(&after[..2]);
                }
            }
            continue;
        }
        match (byte, after) {
            (b'?', _) => {
                out.push(b'?');
                out.extend_from_slice(after);
                break;
            }
            // Invalid digits are dropped together with their escape.
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
