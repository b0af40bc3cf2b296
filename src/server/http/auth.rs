//! `auth_basic`: credentials against a file of users (`htpasswd`), checked by `password`.
//!
//! A check is slow on purpose (bcrypt takes a tenth of a second and more), so it is done off the
//! shard threads, two at a time, and the result is remembered for [`REMEMBERED`]: a changed file
//! takes effect within that time. What is stored is a keyed hash of the credentials, never the
//! credentials. Each client address has one check at a time, so that many wrong passwords of one
//! client do not delay the logins of others.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::password;
use crate::server::config::{base64, users};
use crate::server::log_throttle::LogThrottle;

/// How long a result is remembered.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Most results that are remembered; when there are more, all are forgotten.
const MOST_REMEMBERED: usize = 4096;
/// Checks at a time; others wait.
const CHECKS_AT_A_TIME: usize = 2;

/// Clients choose which user is looked up, so that they must not fill the log.
static RARELY: LogThrottle = LogThrottle::new();

/// Who a client claims to be.
pub(super) struct Credentials {
    /// The file of users.
    pub(super) users: PathBuf,
    /// Name and password, with a colon between them.
    pair: Vec<u8>,
    /// Address of the client.
    client: String,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PasswordCheck {
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
    verdicts: Mutex<HashMap<Key, (PasswordCheck, Instant)>>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| Known {
    seeds: (RandomState::new(), RandomState::new()),
    verdicts: Mutex::new(HashMap::new()),
});
static CHECKS: Semaphore = Semaphore::const_new(CHECKS_AT_A_TIME);

/// The locks of the clients that have a check running or waiting.
static CLIENTS: LazyLock<Mutex<HashMap<String, Arc<ClientLock>>>> = LazyLock::new(Mutex::default);

type ClientLock = tokio::sync::Mutex<()>;

/// A place in the queue of a client.
struct Place {
    client: String,
    lock: Arc<ClientLock>,
}

impl Place {
    fn of(client: String) -> Self {
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Arc::clone(clients.entry(client.clone()).or_default());
        Self { client, lock }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the table and this place have it: places are made with the table locked.
        if Arc::strong_count(&self.lock) == 2 {
            clients.remove(&self.client);
        }
    }
}

impl Credentials {
    /// Reads an `Authorization` header; `None` if it holds no credentials that may be right.
    pub(super) fn of(header: Option<&[u8]>, users: PathBuf, client: &str) -> Option<Self> {
        let pair = pair(header?)?;
        let (user, password) = split(&pair)?;
        let is_possible = !user.is_empty() && password::is_possible(password);
        is_possible.then(|| Self {
            users,
            client: client.to_owned(),
            pair,
        })
    }

    fn key(&self) -> Key {
        let of = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            self.users.hash(&mut hasher);
            self.pair.hash(&mut hasher);
            hasher.finish()
        };
        (of(&KNOWN.seeds.0), of(&KNOWN.seeds.1))
    }

    /// What came of an earlier check of the same credentials.
    pub(super) fn known(&self) -> Option<PasswordCheck> {
        let key = self.key();
        let known = KNOWN
            .verdicts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known
            .get(&key)
            .filter(|(_, until)| *until > Instant::now())
            .map(|(verdict, _)| *verdict)
    }

    /// Checks them.
    pub(super) async fn check(self) -> PasswordCheck {
        let place = Place::of(self.client.clone());
        let _turn = place.lock.lock().await;
        let Ok(_permit) = CHECKS.acquire().await else {
            return PasswordCheck::Unreadable;
        };
        if let Some(known) = self.known() {
            return known;
        }
        let key = self.key();
        let verdict = tokio::task::spawn_blocking(move || self.verdict())
            .await
            .unwrap_or(PasswordCheck::Unreadable);
        let mut known = KNOWN
            .verdicts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(key, (verdict, Instant::now() + REMEMBERED));
        verdict
    }

    fn verdict(&self) -> PasswordCheck {
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
        let Some((user, password)) = split(&self.pair) else {
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
                RARELY.warn(|left_out| {
                    tracing::warn!(%error, %file, line, %user, left_out, "a user o\
                        f auth_basic_user_file cannot log in")
                });
                PasswordCheck::Wrong
            }
        }
    }
}

/// Name and password of an `Authorization: Basic` header, decoded as nginx does.
pub(in crate::server) fn pair(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = base64::decode(rest.trim_ascii())?;
    pair.contains(&b':').then_some(pair)
}

fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
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
                pair(header.as_bytes()).as_deref(),
                expected.map(str::as_bytes),
                "{header}"
            );
        }
    }

    #[tokio::test]
    async fn a_client_has_one_check_at_a_time() {
        let [first, second, other] = ["a", "a", "b"].map(|client| Place::of(client.to_owned()));
        let turn = first.lock.lock().await;
        assert!(second.lock.try_lock().is_err() && other.lock.try_lock().is_ok());
        drop(turn);
        drop((first, other));
        assert!(second.lock.try_lock().is_ok());
        drop(second);
        let clients = CLIENTS.lock().expect("no test panics with it");
        assert!(!clients.contains_key("a") && !clients.contains_key("b"));
    }
}
