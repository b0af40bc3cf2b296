//! `auth_basic`: credentials against a file of users (`htpasswd`), checked by `password`.
//!
//! A check is slow by design (bcrypt takes a tenth of a second and more). It runs off the shard
//! threads, two at a time, and its result is cached for [`RESULT_TTL`]: a changed file takes effect
//! within that time. The cache is keyed by hashes of the credentials and never stores them. Each
//! client address has one check at a time, so that many wrong passwords of one client do not delay
//! the logins of others.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::password;
use crate::server::config::model::users;
use crate::server::exchange::basic_credentials::decode_pair;
use crate::server::observe::log_throttle::LogThrottle;

/// Results are cached for this long.
const RESULT_TTL: Duration = Duration::from_secs(10);
/// Most cached results; the cache is cleared when it is full.
const MAX_RESULTS: usize = 4096;
/// Most concurrent checks; further ones wait.
const MAX_CONCURRENT_CHECKS: usize = 2;

/// Throttled, because clients choose the user.
static LOGIN_WARNINGS: LogThrottle = LogThrottle::new();

/// Credentials of a client.
pub(in crate::server) struct Credentials<'a> {
    /// The file of users.
    users: &'a Path,
    /// Name and password, with a colon between them.
    pair: Vec<u8>,
    /// Address of the client.
    client: &'a str,
}

/// A check of credentials, which is slow.
pub(in crate::server) struct PendingCheck {
    users: PathBuf,
    pair: Vec<u8>,
    client: String,
}

/// Outcome of a password check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum PasswordCheck {
    Right,
    Wrong,
    /// The file of users does not exist.
    NoFile,
    /// The file of users cannot be read.
    Unreadable,
}

type CheckKey = (u64, u64);

struct CheckCache {
    seeds: (RandomState, RandomState),
    results: Mutex<HashMap<CheckKey, (PasswordCheck, Instant)>>,
}

static CHECK_CACHE: LazyLock<CheckCache> = LazyLock::new(|| CheckCache {
    seeds: (RandomState::new(), RandomState::new()),
    results: Mutex::new(HashMap::new()),
});
static CHECK_PERMITS: Semaphore = Semaphore::const_new(MAX_CONCURRENT_CHECKS);

/// Locks of clients with a running or waiting check.
static CLIENT_LOCKS: LazyLock<Mutex<HashMap<String, Arc<ClientLock>>>> =
    LazyLock::new(Mutex::default);

type ClientLock = tokio::sync::Mutex<()>;

/// A place in the queue of a client's checks.
struct ClientTurn {
    client: String,
    lock: Arc<ClientLock>,
}

impl ClientTurn {
    fn of(client: String) -> Self {
        let mut clients = CLIENT_LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Arc::clone(clients.entry(client.clone()).or_default());
        Self { client, lock }
    }
}

impl Drop for ClientTurn {
    fn drop(&mut self) {
        let mut clients = CLIENT_LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        // Held only by the table and this value: others are made with the table locked.
        if Arc::strong_count(&self.lock) == 2 {
            clients.remove(&self.client);
        }
    }
}

/// Hashes credentials for the cache.
fn key(users: &Path, pair: &[u8]) -> CheckKey {
    let of = |state: &RandomState| {
        let mut hasher = state.build_hasher();
        users.as_os_str().hash(&mut hasher);
        pair.hash(&mut hasher);
        hasher.finish()
    };
    (of(&CHECK_CACHE.seeds.0), of(&CHECK_CACHE.seeds.1))
}

/// Returns the cached outcome of a check, and until when it is valid.
fn find_cached(key: CheckKey) -> Option<(PasswordCheck, Instant)> {
    let cached = CHECK_CACHE
        .results
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    cached
        .get(&key)
        .filter(|(_, until)| *until > Instant::now())
        .copied()
}

impl<'a> Credentials<'a> {
    /// Parses an `Authorization` header; `None` without credentials that could be right.
    pub(in crate::server) fn of(
        header: Option<&[u8]>,
        users: &'a Path,
        client: &'a str,
    ) -> Option<Self> {
        let pair = decode_pair(header?)?;
        let (user, password) = split_pair(&pair)?;
        let is_possible = !user.is_empty() && password::is_possible(password);
        is_possible.then_some(Self {
            users,
            pair,
            client,
        })
    }

    /// Returns the cached outcome of a check of the same credentials, and until when it is valid.
    ///
    /// # Errors
    /// There is none: the check must be run.
    pub(in crate::server) fn cached(self) -> Result<(PasswordCheck, Instant), PendingCheck> {
        find_cached(key(self.users, &self.pair)).ok_or_else(|| PendingCheck {
            users: self.users.to_owned(),
            pair: self.pair,
            client: self.client.to_owned(),
        })
    }
}

impl PendingCheck {
    /// Checks the credentials, after earlier checks of the same client.
    pub(in crate::server) async fn run(self) -> PasswordCheck {
        let turn = ClientTurn::of(self.client.clone());
        let _turn = turn.lock.lock().await;
        let Ok(_permit) = CHECK_PERMITS.acquire().await else {
            return PasswordCheck::Unreadable;
        };
        let key = key(&self.users, &self.pair);
        if let Some((cached, _)) = find_cached(key) {
            return cached;
        }
        let result = tokio::task::spawn_blocking(move || self.verify())
            .await
            .unwrap_or(PasswordCheck::Unreadable);
        let mut cached = CHECK_CACHE
            .results
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= MAX_RESULTS {
            cached.clear();
        }
        cached.insert(key, (result, Instant::now() + RESULT_TTL));
        result
    }

    /// Compares the password with its hash in the file of users.
    fn verify(&self) -> PasswordCheck {
        let text = match users::read(&self.users) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, file = %self.users.display(), "cannot read the file of \
                    users (auth_basic_user_file)");
                return if error.kind() == io::ErrorKind::NotFound {
                    PasswordCheck::NoFile
                } else {
                    PasswordCheck::Unreadable
                };
            }
        };
        let Some((user, password)) = split_pair(&self.pair) else {
            return PasswordCheck::Wrong;
        };
        let Some((line, _, hash)) = users::users(&text).find(|(_, name, _)| *name == user) else {
            return PasswordCheck::Wrong;
        };
        match password::matches(password, &String::from_utf8_lossy(hash)) {
            Ok(true) => PasswordCheck::Right,
            Ok(false) => PasswordCheck::Wrong,
            Err(error) => {
                let user = String::from_utf8_lossy(user);
                let file = self.users.display();
                LOGIN_WARNINGS.warn(|suppressed| {
                    tracing::warn!(%error, %file, line, %user, suppressed, "a user of \
                        auth_basic_user_file cannot log in");
                });
                PasswordCheck::Wrong
            }
        }
    }
}

/// Splits at the colon.
fn split_pair(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', text)?;
    Some((&text[..colon], &text[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_base64_with_a_colon() {
        for (header, expected) in [
            ("Basic YTpi", Some("a:b")),
            ("basic  YTpi", Some("a:b")),
            ("Basic dTpwdw", Some("u:pw")),
            ("Basic YWI=", None),
            ("Basic !", None),
            ("Bearer YTpi", None),
            ("Basic", None),
        ] {
            assert_eq!(
                decode_pair(header.as_bytes()).as_deref(),
                expected.map(str::as_bytes),
                "{header}"
            );
        }
    }

    #[tokio::test]
    async fn a_client_has_one_check_at_a_time() {
        let [first, second, other] =
            ["a", "a", "b"].map(|client| ClientTurn::of(client.to_owned()));
        let turn = first.lock.lock().await;
        assert!(second.lock.try_lock().is_err() && other.lock.try_lock().is_ok());
        drop(turn);
        drop((first, other));
        assert!(second.lock.try_lock().is_ok());
        drop(second);
        let clients = CLIENT_LOCKS.lock().expect("no test panics with it");
        assert!(!clients.contains_key("a") && !clients.contains_key("b"));
    }
}
