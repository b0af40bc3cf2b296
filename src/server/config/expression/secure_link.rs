//! `secure_link` and its siblings: the variables `$secure_link` and `$secure_link_expires` (nginx's
//! `ngx_http_secure_link_module`).
//!
//! The variables hold the result of the check; the configuration rejects requests by an `if` on
//! them.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use md5::{Digest, Md5};

use super::base64;
use super::{Expression, Variables};

/// Maximum length of a checksum in base64: 16 bytes with padding.
const MAX_CHECKSUM_BYTES: usize = 24;

/// `secure_link` settings of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecureLink {
    /// `secure_link` and `secure_link_md5`
    Checksum {
        /// The checksum and, after a comma, its expiry time.
        link: Expression,
        /// The text whose MD5 is the checksum.
        text: Expression,
    },
    /// `secure_link_secret`
    Secret(Bytes),
}

/// Result of a check: the values of both variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedLink {
    /// `$secure_link`: empty, `0` or `1`; the link with `secure_link_secret`.
    pub link: Vec<u8>,
    /// `$secure_link_expires`
    pub expires: Vec<u8>,
}

/// One of the two variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkVariable {
    /// `$secure_link`
    Link,
    /// `$secure_link_expires`
    Expires,
}

/// How the variables of a request are determined.
#[derive(Clone, Copy, Debug)]
pub enum LinkCheck<'a> {
    /// The location has no `secure_link`.
    None,
    /// By a check with these settings.
    Unchecked(&'a SecureLink),
    /// A check is running: `$secure_link` is still empty, `$secure_link_expires` has this value.
    Running(&'a [u8]),
}

impl LinkVariable {
    /// Returns the variable of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Link, Self::Expires]
            .into_iter()
            .find(|field| field.name() == name)
    }

    /// Returns the name of the variable.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Link => "secure_link",
            Self::Expires => "secure_link_expires",
        }
    }

    /// Returns the value for a request, which is checked at most once.
    #[must_use]
    pub fn value(self, variables: &dyn Variables) -> Vec<u8> {
        let checked = match (variables.link_check(), variables.memo()) {
            (LinkCheck::Running(expires), _) => CheckedLink {
                link: Vec::new(),
                expires: expires.to_vec(),
            },
            (LinkCheck::Unchecked(settings), Some(memo)) => memo.link(|| settings.check(variables)),
            (LinkCheck::Unchecked(settings), None) => settings.check(variables),
            // A location before an internal redirect may have checked the link.
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
                let link = match is_valid(checksum, text, &LinkVariables { variables, expires }) {
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

/// Whether `checksum`, in base64, is the MD5 of the evaluated text.
fn is_valid(checksum: &[u8], text: &Expression, variables: &dyn Variables) -> bool {
    let decoded = base64::decode_url(checksum).filter(|_| checksum.len() <= MAX_CHECKSUM_BYTES);
    decoded.is_some_and(|decoded| is_equal(&decoded, &Md5::digest(text.evaluate(variables))))
}

/// The variables of a request while its link is checked.
struct LinkVariables<'a> {
    variables: &'a dyn Variables,
    expires: &'a [u8],
}

impl Variables for LinkVariables<'_> {
    fn inner(&self) -> Option<&dyn Variables> {
        Some(self.variables)
    }

    fn link_check(&self) -> LinkCheck<'_> {
        LinkCheck::Running(self.expires)
    }
}

/// The link of `/prefix/CHECKSUM/link`, if the checksum is valid.
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
    is_equal(&checksum.to_ascii_lowercase(), digest.as_bytes()).then_some(link)
}

/// Parses a positive number of seconds.
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

/// Compares in constant time: the duration does not depend on where two texts differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && std::hint::black_box(
            one.iter()
                .zip(other)
                .fold(0, |all, (one, other)| all | (one ^ other)),
        ) == 0
}
