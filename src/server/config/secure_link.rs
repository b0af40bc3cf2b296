//! `secure_link` and its siblings: the variables `$secure_link` and `$secure_link_expires` (nginx's
//! `ngx_http_secure_link_module`).
//!
//! They only hold what came of the check; what follows from it is written in the configuration, as
//! a rule in an `if`.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use md5::{Digest, Md5};

use super::base64;
use super::expression::{Expression, Memo, Variables};

/// Longest checksum in base64.
const MAX_CHECKSUM_BYTES: usize = 24;

/// The links of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecureLink {
    /// `secure_link` and `secure_link_md5`
    Checksum {
        /// Checksum and, behind a comma, the time when it expires.
        link: Expression,
        /// The text whose MD5 is the checksum.
        text: Expression,
    },
    /// `secure_link_secret`
    Secret(Bytes),
}

/// The values of both variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedLink {
    /// `$secure_link`: empty, `0` or `1`; the link with `secure_link_secret`.
    pub link: Vec<u8>,
    /// `$secure_link_expires`
    pub expires: Vec<u8>,
}

/// A variable of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkVariable {
    /// `$secure_link`
    Link,
    /// `$secure_link_expires`
    Expires,
}

/// How the variables of a request are found.
#[derive(Clone, Copy, Debug)]
pub enum LinkCheck<'a> {
    /// Its location has no such links.
    None,
    /// By a check.
    Unchecked(&'a SecureLink),
    /// The check is running: the link is not known yet, the time is this one.
    Running(&'a [u8]),
}

impl LinkVariable {
    /// The variable of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Link, Self::Expires]
            .into_iter()
            .find(|field| field.name() == name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Link => "secure_link",
            Self::Expires => "secure_link_expires",
        }
    }

    /// Its value for a request.
    #[must_use]
    pub fn value(self, variables: &dyn Variables) -> Vec<u8> {
        let checked = match (variables.link_check(), variables.memo()) {
            (LinkCheck::Running(expires), _) => CheckedLink {
                link: Vec::new(),
                expires: expires.to_vec(),
            },
            (LinkCheck::Unchecked(settings), Some(memo)) => memo.link(|| settings.check(variables)),
            (LinkCheck::Unchecked(settings), None) => settings.check(variables),
            // A location before this one may have checked it.
            (LinkCheck::None, Some(memo)) => memo.link(CheckedLink::default),
            (LinkCheck::None, None) => CheckedLink::default(),
        };
        match self {
            Self::Link => checked.link,
            Self::Expires => checked.expires,
        }
    }
}

impl SecureLink {
    /// Checks the link of a request.
    fn check(&self, variables: &dyn Variables) -> CheckedLink {
        match self {
            SecureLink::Checksum { link, text } => {
                let unchecked = LinkVariables {
                    variables,
                    expires: b"",
                };
                let link = link.evaluate(&unchecked);
                let (checksum, expires) = match memchr::memchr(b',', &link) {
                    Some(comma) => (&link[..comma], Some(&link[comma + 1..])),
                    None => (&link[..], None),
                };
                let time = expires.map(seconds);
                if time == Some(None) {
                    return CheckedLink::default();
                }
                let expires = expires.unwrap_or_default();
                let link = match is_right(checksum, text, &LinkVariables { variables, expires }) {
                    false => Vec::new(),
                    true if time.flatten().is_some_and(|time| time < now()) => b"0".to_vec(),
                    true => b"1".to_vec(),
                };
                CheckedLink {
                    link,
                    expires: expires.to_vec(),
                }
            }
            SecureLink::Secret(secret) => {
                let target = variables.builtin("request_uri").unwrap_or_default();
                CheckedLink {
                    link: signed_part(&target, secret).unwrap_or_default().to_vec(),
                    expires: Vec::new(),
                }
            }
        }
    }
}

/// Whether a checksum in base64 is that of a text.
fn is_right(checksum: &[u8], text: &Expression, variables: &dyn Variables) -> bool {
    let decoded = base64::decode_url(checksum).filter(|_| checksum.len() <= MAX_CHECKSUM_BYTES);
    decoded.is_some_and(|decoded| same(&decoded, &Md5::digest(text.evaluate(variables))))
}

/// The variables of a request while its link is checked.
struct LinkVariables<'a> {
    variables: &'a dyn Variables,
    expires: &'a [u8],
}

impl Variables for LinkVariables<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.variables.argument(name)
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.variables.header(name)
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.variables.capture(number)
    }
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.variables.named_capture(name)
    }
    fn assigned(&self, slot: usize) -> Option<&[u8]> {
        self.variables.assigned(slot)
    }
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.variables.builtin(name)
    }
    fn link_check(&self) -> LinkCheck<'_> {
        LinkCheck::Running(self.expires)
    }
    fn memo(&self) -> Option<&Memo> {
        self.variables.memo()
    }
}

/// The link of `/prefix/CHECKSUM/link`, if its checksum is right.
fn signed_part<'a>(target: &'a [u8], secret: &[u8]) -> Option<&'a [u8]> {
    let mut parts = target
        .strip_prefix(b"/")?
        .splitn(3, |byte| *byte == b'/')
        .skip(1);
    let checksum = parts.next()?;
    let link = parts.next().filter(|link| !link.is_empty())?;
    let digest: String = Md5::digest([link, secret].concat())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    same(&checksum.to_ascii_lowercase(), digest.as_bytes()).then_some(link)
}

/// A time above zero, in digits.
fn seconds(text: &[u8]) -> Option<i64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
        .filter(|seconds| *seconds > 0)
}

fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Compares in a time that does not show where two texts differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && std::hint::black_box(
            one.iter()
                .zip(other)
                .fold(0, |all, (one, other)| all | (one ^ other)),
        ) == 0
}
