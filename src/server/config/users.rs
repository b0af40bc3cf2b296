//! The file of `auth_basic_user_file`: its lines, the kinds of password hashes, and what their
//! check may cost.
//!
//! Passwords are compared by `http::password`.

use std::fs;
use std::io;
use std::path::Path;

/// Largest file of users in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Largest cost of a bcrypt hash: a check takes about two seconds, and twice as long with each
/// further step.
const MAX_BCRYPT_COST: u32 = 15;
/// Most rounds of a SHA-crypt hash: a check takes about half a second.
const MAX_SHA_ROUNDS: u32 = 1_000_000;
/// Most problems of one file that are reported.
const MAX_PROBLEMS: usize = 20;

/// How a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// `$2y$` and its siblings
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

/// Why no password is checked against a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedHash {
    /// crypt(3) may know it, this program does not.
    #[error("the kind of the hash is not supported (use htpasswd -B)")]
    Kind,
    /// A check would keep a processor busy for too long.
    #[error("a cost of {0} is too high (maximum {MAX_BCRYPT_COST})")]
    Cost(u32),
    /// The same of SHA-crypt.
    #[error("{0} rounds are too many (maximum {MAX_SHA_ROUNDS})")]
    Rounds(u32),
}

impl HashKind {
    /// The kind of a hash.
    ///
    /// # Errors
    /// It is not supported, or its check costs too much.
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

/// Reads a file of users.
///
/// # Errors
/// It is missing, too large, or not a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if !found.is_file() || found.len() > MAX_FILE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    fs::read(path)
}

/// The users of a file with their hashes and lines, in its order.
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

/// What is wrong with the hashes of a file, each with the line and the user that cannot log in. A
/// file that cannot be read has no problems here: nginx starts without it, too.
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
    fn lines_are_read_as_nginx_reads_them() {
        let text = b"# a:b\nann:{PLAIN}x:ignored\r\n\nnone\n:{PLAIN}y\nben:z";
        let found: Vec<_> = users(text).collect();
        assert_eq!(
            found,
            [(2, &b"ann"[..], &b"{PLAIN}x"[..]), (6, b"ben", b"z")]
        );
    }
}
