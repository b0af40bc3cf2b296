//! The file of `auth_basic_user_file`: parsing, kinds of password hashes, and limits on their cost.
//!
//! Passwords are verified by `access::password`.

use std::fs;
use std::io;
use std::path::Path;

/// Maximum length of the file in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Maximum cost of a bcrypt hash: verification takes about two seconds, doubled by each further
/// step.
const MAX_BCRYPT_COST: u32 = 15;
/// Maximum number of rounds of a SHA-crypt hash: verification takes about half a second.
const MAX_SHA_ROUNDS: u32 = 1_000_000;
/// Maximum number of reported problems per file.
const MAX_PROBLEMS: usize = 20;

/// Kind of a password hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// `$2y$`, `$2b$`, `$2a$`: bcrypt
    Bcrypt,
    /// `$5$` and `$6$`: SHA-256 and SHA-512 crypt
    ShaCrypt,
    /// `$apr1$`: Apache's variant of MD5 crypt
    Apr1,
    /// `$1$`: MD5 crypt
    Md5Crypt,
    /// `{SHA}`
    Sha,
    /// `{SSHA}`
    SaltedSha,
    /// `{PLAIN}`
    Plain,
}

/// A hash that is not supported, so that its user cannot log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedHash {
    /// The kind of the hash is not supported, although crypt(3) of the system may support it.
    #[error("the kind of the hash is not supported (use htpasswd -B)")]
    Kind,
    /// The cost of a bcrypt hash is greater than the maximum.
    #[error("a cost of {0} is too high (maximum {MAX_BCRYPT_COST})")]
    Cost(u32),
    /// The number of rounds of a SHA-crypt hash is greater than the maximum.
    #[error("{0} rounds are too many (maximum {MAX_SHA_ROUNDS})")]
    Rounds(u32),
}

impl HashKind {
    /// Determines the kind of a hash.
    ///
    /// # Errors
    /// The kind is not supported, or its verification is too expensive.
    pub fn of(hash: &str) -> Result<Self, UnsupportedHash> {
        const KINDS: [(&str, HashKind); 8] = [
            ("$2", HashKind::Bcrypt),
            ("$5$", HashKind::ShaCrypt),
            ("$6$", HashKind::ShaCrypt),
            ("$apr1$", HashKind::Apr1),
            ("$1$", HashKind::Md5Crypt),
            ("{SHA}", HashKind::Sha),
            ("{SSHA}", HashKind::SaltedSha),
            ("{PLAIN}", HashKind::Plain),
        ];
        let (_, kind) = KINDS
            .into_iter()
            .find(|(start, _)| hash.starts_with(start))
            .ok_or(UnsupportedHash::Kind)?;
        let mut fields = hash.split('$').skip(2);
        match kind {
            HashKind::Bcrypt => {
                let cost = fields
                    .next()
                    .and_then(|cost| cost.parse().ok())
                    .ok_or(UnsupportedHash::Kind)?;
                if cost > MAX_BCRYPT_COST {
                    Err(UnsupportedHash::Cost(cost))
                } else {
                    Ok(kind)
                }
            }
            HashKind::ShaCrypt => {
                let rounds = fields
                    .next()
                    .and_then(|field| field.strip_prefix("rounds="));
                let rounds = rounds.map_or(0, |rounds| rounds.parse().unwrap_or(u32::MAX));
                if rounds > MAX_SHA_ROUNDS {
                    Err(UnsupportedHash::Rounds(rounds))
                } else {
                    Ok(kind)
                }
            }
            _ => Ok(kind),
        }
    }
}

/// Reads the file.
///
/// # Errors
/// It does not exist, is too large, or is not a regular file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if !found.is_file() || found.len() > MAX_FILE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    fs::read(path)
}

/// Parses the file: line numbers, users and hashes, in the order of the file.
pub fn users(text: &[u8]) -> impl Iterator<Item = (usize, &[u8], &[u8])> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .filter_map(|(index, line)| {
            let line = line.split(|byte| *byte == b'\r').next().unwrap_or_default();
            if line.starts_with(b"#") {
                return None;
            }
            let mut fields = line.split(|byte| *byte == b':');
            let user = fields.next().filter(|user| !user.is_empty())?;
            Some((index + 1, user, fields.next()?))
        })
}

/// Lists the users of a file who cannot log in, with the line and the problem of the hash. Empty
/// for a file that cannot be read: nginx starts without the file, too.
#[must_use]
pub fn problems(path: &Path) -> Vec<String> {
    let Ok(text) = read(path) else {
        return Vec::new();
    };
    let problem = |(line, user, hash): (usize, &[u8], &[u8])| {
        let error = std::str::from_utf8(hash)
            .map_or(Err(UnsupportedHash::Kind), HashKind::of)
            .err()?;
        let user = String::from_utf8_lossy(user);
        Some(format!(
            "{}:{line}: user {user:?} cannot log in: {error}",
            path.display()
        ))
    };
    users(&text)
        .filter_map(problem)
        .take(MAX_PROBLEMS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_have_a_kind_and_a_bounded_cost() {
        for (hash, expected) in [
            ("$2y$10$x", Ok(HashKind::Bcrypt)),
            ("$2b$15$x", Ok(HashKind::Bcrypt)),
            ("$2b$16$x", Err(UnsupportedHash::Cost(16))),
            ("$2y$31$x", Err(UnsupportedHash::Cost(31))),
            ("$2y$", Err(UnsupportedHash::Kind)),
            ("$5$salt$x", Ok(HashKind::ShaCrypt)),
            ("$6$rounds=1000000$salt$x", Ok(HashKind::ShaCrypt)),
            (
                "$6$rounds=999999999$salt$x",
                Err(UnsupportedHash::Rounds(999_999_999)),
            ),
            (
                "$5$rounds=99999999999$salt$x",
                Err(UnsupportedHash::Rounds(u32::MAX)),
            ),
            ("$1$salt$x", Ok(HashKind::Md5Crypt)),
            ("$apr1$salt$x", Ok(HashKind::Apr1)),
            ("$y$j9T$x", Err(UnsupportedHash::Kind)),
            ("rl.3StKT.4T8M", Err(UnsupportedHash::Kind)),
            ("", Err(UnsupportedHash::Kind)),
        ] {
            assert_eq!(HashKind::of(hash), expected, "{hash}");
        }
    }

    #[test]
    fn lines_are_parsed_as_in_nginx() {
        let text = b"# a:b\nann:{PLAIN}x:ignored\r\n\nnone\n:{PLAIN}y\nben:z";
        let found: Vec<_> = users(text).collect();
        assert_eq!(
            found,
            [(2, &b"ann"[..], &b"{PLAIN}x"[..]), (6, b"ben", b"z")]
        );
    }
}
