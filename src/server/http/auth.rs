//! `auth_basic`: passwords against a file of users (`htpasswd`): bcrypt, SHA-256 and SHA-512 crypt, apr1, `{SHA}`,
//! `{SSHA}` and `{PLAIN}`.
//!
//! Checking is slow on purpose (bcrypt takes a tenth of a second and more), so it is done beside the shards, two at a
//! time, and the result is remembered for [`REMEMBERED`]: a changed file takes effect within that time. What is kept is a
//! keyed hash of the credentials, never the credentials.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha1::Sha1;
use tokio::sync::Semaphore;

/// How long a result is remembered.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Most results that are remembered; when there are more, all are forgotten.
const MOST_REMEMBERED: usize = 4096;
/// Checks at a time; others wait.
const CHECKS_AT_A_TIME: usize = 2;
/// Largest file of users.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// What a client claims to be.
#[derive(Hash)]
pub(super) struct Credentials {
    /// The file of users.
    pub(super) users: PathBuf,
    /// Name and password, with a colon between them.
    pub(super) pair: Vec<u8>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// There is no such file of users.
    NoFile,
    /// The file of users cannot be read.
    Unreadable,
}

type Key = (u64, u64);

struct Known {
    seeds: (RandomState, RandomState),
    verdicts: Mutex<HashMap<Key, (Verdict, Instant)>>,
}

static KNOWN: LazyLock<Known> =
    LazyLock::new(|| Known { seeds: (RandomState::new(), RandomState::new()), verdicts: Mutex::new(HashMap::new()) });
static CHECKS: Semaphore = Semaphore::const_new(CHECKS_AT_A_TIME);

impl Credentials {
    /// Of an `Authorization` header; `None` if it has none.
    pub(super) fn of(header: Option<&[u8]>, users: PathBuf) -> Option<Self> {
        pair(header?).map(|pair| Self { users, pair })
    }

    fn key(&self) -> Key {
        let of = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            self.hash(&mut hasher);
            std::hash::Hasher::finish(&hasher)
        };
        (of(&KNOWN.seeds.0), of(&KNOWN.seeds.1))
    }

    /// What came of an earlier check of the same credentials.
    pub(super) fn known(&self) -> Option<Verdict> {
        let key = self.key();
        let known = KNOWN.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).filter(|(_, until)| *until > Instant::now()).map(|(verdict, _)| *verdict)
    }

    /// Checks them.
    pub(super) async fn check(self) -> Verdict {
        let Ok(_permit) = CHECKS.acquire().await else { return Verdict::Unreadable };
        if let Some(known) = self.known() {
            return known;
        }
        let key = self.key();
        let verdict = tokio::task::spawn_blocking(move || self.verdict()).await.unwrap_or(Verdict::Unreadable);
        let mut known = KNOWN.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(key, (verdict, Instant::now() + REMEMBERED));
        verdict
    }

    fn verdict(&self) -> Verdict {
        let failed = |error: &std::io::Error| {
            tracing::error!(%error, file = %self.users.display(), "cannot read the file of users (auth_basic_user_file)");
            if error.kind() == std::io::ErrorKind::NotFound { Verdict::NoFile } else { Verdict::Unreadable }
        };
        let text = match std::fs::metadata(&self.users).and_then(|found| {
            if found.is_file() && found.len() <= MAX_FILE_BYTES {
                std::fs::read(&self.users)
            } else {
                Err(std::io::ErrorKind::InvalidData.into())
            }
        }) {
            Ok(text) => text,
            Err(error) => return failed(&error),
        };
        let Some((user, password)) = split(&self.pair) else { return Verdict::Wrong };
        let line = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.starts_with(b"#")).find_map(|line| {
            let (name, rest) = split(line)?;
            (name == user).then(|| rest.split(|byte| *byte == b':').next().unwrap_or_default())
        });
        match line.and_then(|hash| std::str::from_utf8(hash).ok()) {
            Some(hash) if fits(password, hash) => Verdict::Right,
            _ => Verdict::Wrong,
        }
    }
}

/// Name and password of an `Authorization: Basic` header.
pub(in crate::server) fn pair(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = STANDARD.decode(rest.trim_ascii()).ok()?;
    pair.contains(&b':').then_some(pair)
}

fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', text)?;
    Some((&text[..colon], &text[colon + 1..]))
}

/// Whether a password belongs to a hash as it stands in a file of users.
fn fits(password: &[u8], hash: &str) -> bool {
    let decoded = |text: &str| STANDARD.decode(text).ok();
    if hash.starts_with("$2") {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    if hash.starts_with("$5$") || hash.starts_with("$6$") {
        return ShaCrypt::default().verify_password(password, hash).is_ok();
    }
    if let Some(rest) = hash.strip_prefix("$apr1$") {
        let salt: String = rest.chars().take_while(|character| *character != '$').take(8).collect();
        return same(apr1(password, salt.as_bytes()).as_bytes(), hash.as_bytes());
    }
    if let Some(text) = hash.strip_prefix("{SHA}") {
        return decoded(text).is_some_and(|digest| same(&Sha1::digest(password), &digest));
    }
    if let Some(text) = hash.strip_prefix("{SSHA}") {
        let Some(decoded) = decoded(text).filter(|decoded| decoded.len() > 20) else { return false };
        let (digest, salt) = decoded.split_at(20);
        return same(&Sha1::digest([password, salt].concat()), digest);
    }
    if let Some(text) = hash.strip_prefix("{PLAIN}") {
        return same(text.as_bytes(), password);
    }
    tracing::warn!("a hash of auth_basic_user_file is of a kind that pushctl does not know: its user cannot log in (use htpasswd -B)");
    false
}

/// Compares in a time that does not show where two texts differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && std::hint::black_box(one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other))) == 0
}

/// Apache's variant of MD5 crypt: `$apr1$SALT$HASH`.
fn apr1(password: &[u8], salt: &[u8]) -> String {
    let inner = Md5::digest([password, salt, password].concat());
    let mut first = Md5::new();
    first.update([password, b"$apr1$", salt].concat());
    for start in (0..password.len()).step_by(16) {
        first.update(&inner[..(password.len() - start).min(16)]);
    }
    let mut bits = password.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 { &[0] } else { password.get(..1).unwrap_or_default() });
        bits >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        let (odd, even): (&[u8], &[u8]) =
            (if round & 1 == 1 { password } else { &digest }, if round & 1 == 1 { &digest } else { password });
        next.update(odd);
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(even);
        digest = next.finalize();
    }
    let mut text = format!("$apr1${}$", String::from_utf8_lossy(salt));
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        push_base64(u32::from(digest[a]) << 16 | u32::from(digest[b]) << 8 | u32::from(digest[c]), 4, &mut text);
    }
    push_base64(u32::from(digest[11]), 2, &mut text);
    text
}

/// The digits of crypt(3), the least significant first.
fn push_base64(mut value: u32, digits: usize, out: &mut String) {
    for _ in 0..digits {
        out.push(char::from(b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[(value & 63) as usize]));
        value >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_fit_their_hashes_only() {
        // By `openssl passwd -apr1 -salt xxxxxxxx`, `-5`, `-6`, `htpasswd -B -C 4`, and `openssl sha1`.
        for hash in [
            "$apr1$xxxxxxxx$xT1bO/2.YvWQFJk/73gdq/",
            "$5$saltsalt$/UG5QWJqLrfCPqnrHVfzUbs1oEJgkJiUsAc0Nno2JGD",
            "$6$saltsalt$7AyQrpr.W7Vr0wPZvFYEydgk61A/ENXA7NxNMtTRGP0oQoZPuB31tim2eYi/OTzIA3vycConk3ajG9Sd8ekPt0",
            "$2b$04$abcdefghijklmnopqrstuuzwwq.in3OYL4.pkB6TmFlI5pl.3mvQ.",
            "{SHA}0goJVFx6/xSk9ZbduhkpbVj2wQE=",
            "{PLAIN}secret password",
        ] {
            assert!(fits(b"secret password", hash), "{hash}");
            assert!(!fits(b"secret passwore", hash) && !fits(b"", hash) && !fits(b"secret password ", hash), "{hash}");
        }
        for hash in ["", "secret password", "{SHA}", "{SSHA}", "$apr1$", "$5$", "$2y$", "$1$x$y", "{SHA}!"] {
            assert!(!fits(b"secret password", hash), "{hash}");
        }
    }

    #[test]
    fn credentials_are_base64_with_a_colon() {
        for (header, expected) in [
            ("Basic YTpi", Some("a:b")),
            ("basic  YTpi", Some("a:b")),
            ("Basic YWI=", None),
            ("Basic !", None),
            ("Bearer YTpi", None),
            ("Basic", None),
        ] {
            assert_eq!(pair(header.as_bytes()).as_deref(), expected.map(str::as_bytes), "{header}");
        }
    }
}
