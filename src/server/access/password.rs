//! Passwords against their hashes: bcrypt, SHA-256 and SHA-512 crypt, MD5 crypt and apr1, `{SHA}`,
//! `{SSHA}` and `{PLAIN}`.
//!
//! It takes a while on purpose; `auth` calls it off the shard threads.

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha1::Sha1;

use crate::server::config::expression::base64;
use crate::server::config::model::users::{HashKind, UnsupportedHash};

/// Longest password in bytes: crypt(3) takes none that is longer, so that a hash of one cannot
/// exist.
const MAX_PASSWORD_BYTES: usize = 511;

/// Bytes of a digest.
const SHA1_BYTES: usize = 20;

/// Whether `password` may be the one of any hash.
pub(in crate::server) fn is_possible(password: &[u8]) -> bool {
    password.len() <= MAX_PASSWORD_BYTES
}

/// Whether a password belongs to a hash as it is in a file of users.
///
/// # Errors
/// The hash is not supported.
pub(in crate::server) fn matches(password: &[u8], hash: &str) -> Result<bool, UnsupportedHash> {
    let kind = HashKind::of(hash)?;
    if !is_possible(password) {
        return Ok(false);
    }
    Ok(match kind {
        HashKind::Bcrypt => bcrypt::verify(password, hash).unwrap_or(false),
        HashKind::ShaCrypt => ShaCrypt::default().verify_password(password, hash).is_ok(),
        HashKind::Apr1 => matches_md5("$apr1$", password, hash),
        HashKind::Md5Crypt => matches_md5("$1$", password, hash),
        HashKind::Sha => {
            let digest = hash
                .strip_prefix("{SHA}")
                .and_then(|text| STANDARD.decode(text).ok());
            digest.is_some_and(|digest| same(&Sha1::digest(password), &digest))
        }
        HashKind::SaltedSha => {
            let decoded = hash
                .strip_prefix("{SSHA}")
                .and_then(|text| base64::decode(text.as_bytes()));
            decoded.is_some_and(|decoded| match decoded.split_at_checked(SHA1_BYTES) {
                Some((digest, salt)) => same(&Sha1::digest([password, salt].concat()), digest),
                None => false,
            })
        }
        HashKind::Plain => hash
            .strip_prefix("{PLAIN}")
            .is_some_and(|text| same(text.as_bytes(), password)),
    })
}

fn matches_md5(magic: &str, password: &[u8], hash: &str) -> bool {
    let salt = hash
        .strip_prefix(magic)
        .and_then(|rest| rest.split('$').next())
        .unwrap_or_default();
    let salt = &salt.as_bytes()[..salt.len().min(8)];
    same(md5_crypt(magic, password, salt).as_bytes(), hash.as_bytes())
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

/// MD5 crypt, `$1$SALT$HASH`, or Apache's variant of it, `$apr1$SALT$HASH`.
fn md5_crypt(magic: &str, password: &[u8], salt: &[u8]) -> String {
    let inner = Md5::digest([password, salt, password].concat());
    let mut first = Md5::new();
    first.update([password, magic.as_bytes(), salt].concat());
    for start in (0..password.len()).step_by(16) {
        first.update(&inner[..(password.len() - start).min(16)]);
    }
    let mut bits = password.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 {
            &[0]
        } else {
            password.get(..1).unwrap_or_default()
        });
        bits >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        let (odd, even): (&[u8], &[u8]) = (
            if round & 1 == 1 { password } else { &digest },
            if round & 1 == 1 { &digest } else { password },
        );
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
    let mut text = format!("{magic}{}$", String::from_utf8_lossy(salt));
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        push_base64(
            u32::from(digest[a]) << 16 | u32::from(digest[b]) << 8 | u32::from(digest[c]),
            4,
            &mut text,
        );
    }
    push_base64(u32::from(digest[11]), 2, &mut text);
    text
}

/// The digits of crypt(3), the least significant first.
fn push_base64(mut value: u32, digits: usize, out: &mut String) {
    for _ in 0..digits {
        out.push(char::from(
            b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                [(value & 63) as usize],
        ));
        value >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_fit_their_hashes_only() {
        // By `openssl passwd -apr1 -salt xxxxxxxx`, `-1`, `-5`, `-6`, `htpasswd -B -C 4`, and
        // `openssl sha1`.
        for hash in [
            "$apr1$xxxxxxxx$xT1bO/2.YvWQFJk/73gdq/",
            "$1$saltsalt$ysiaJOefMBJXicKvul5ww/",
            "$5$saltsalt$/UG5QWJqLrfCPqnrHVfzUbs1oEJgkJiUsAc0Nno2JGD",
            "$6$saltsalt$7AyQrpr.W7Vr0wPZvFYEydgk61A/ENXA7NxNMtTRGP0oQoZPuB31tim2eYi/\
             OTzIA3vycConk3ajG9Sd8ekPt0",
            "$2b$04$abcdefghijklmnopqrstuuzwwq.in3OYL4.pkB6TmFlI5pl.3mvQ.",
            "{SHA}0goJVFx6/xSk9ZbduhkpbVj2wQE=",
            "{PLAIN}secret password",
        ] {
            assert_eq!(matches(b"secret password", hash), Ok(true), "{hash}");
            for wrong in ["secret passwore", "", "secret password "] {
                assert_eq!(matches(wrong.as_bytes(), hash), Ok(false), "{hash} {wrong}");
            }
        }
        for hash in [
            "",
            "secret password",
            "{SHA}",
            "{SSHA}",
            "$apr1$",
            "$5$",
            "$2y$",
            "$1$x$y",
            "$1$",
            "{SHA}!",
        ] {
            assert_ne!(matches(b"secret password", hash), Ok(true), "{hash}");
        }
    }

    #[test]
    fn a_password_that_is_too_long_is_wrong_for_every_hash() {
        let longest = "x".repeat(MAX_PASSWORD_BYTES);
        let hash = format!("{{PLAIN}}{longest}");
        assert_eq!(matches(longest.as_bytes(), &hash), Ok(true));
        assert_eq!(
            matches(format!("{longest}x").as_bytes(), &format!("{hash}x")),
            Ok(false)
        );
    }
}
