//! `--cursor-file`: the position of a subscription, saved for the next run.
//!
//! One object of JSON on one line:
//!
//! ```json
//! {"version":1,"server":"http://127.0.0.1:9080","channels":["a","b"],"start":"1795248000:0",
//!  "seen":{"a":{"at":"1795248010:3","id":7}},"event_id":"e"}
//! ```
//!
//! `seen` has the channels with messages: time (unix seconds) and tag of the last message that was
//! handled, and its id; the other channels start at `start`. Without `start`, backlogs of the first
//! run are still outstanding.
//!
//! New content is written to `FILE.tmp`, synced to disk and renamed, so that the file is complete
//! at any time, also after a power failure. Outdated content is safe: it only repeats messages.
//! `FILE.lock` is locked during a run and not removed, because two runs could then lock two files.
//! Neither is opened through a link. `FILE` itself may be a link: its target is replaced, but only
//! if that is a cursor of the same server and channels.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::client::cursor::marks::{Mark, Marks};
use crate::cmd::exit::Usage;
use crate::cmd::output::files;
use crate::cmd::output::files::Durability;
use crate::message::Position;

const VERSION: u32 = 1;
/// Maximum size of a cursor file in bytes: about a hundred thousand channels.
const MAX_BYTES: u64 = 16 << 20;

/// A cursor file that is locked by this run.
#[derive(Debug)]
pub(super) struct CursorFile {
    path: PathBuf,
    temporary: PathBuf,
    durability: Durability,
    head: CursorFileHead,
    written: Mutex<String>,
    _lock: File,
}

/// Identity of a cursor: it fits one server and one set of channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CursorFileHead {
    version: u32,
    server: String,
    channels: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(flatten)]
    head: CursorFileHead,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(default)]
    seen: BTreeMap<String, Seen>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Seen {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
}

impl CursorFile {
    /// Locks and reads the file for this server and these channels; returns no marks if it does not
    /// exist.
    ///
    /// # Errors
    /// When another run uses it, it is for another server or other channels, or is not a cursor.
    pub(super) fn open(
        path: &Path,
        server: &str,
        channels: impl Iterator<Item = String>,
        durability: Durability,
    ) -> anyhow::Result<(Self, Option<Marks>)> {
        let path = target(path)?;
        let with_suffix = |ending: &str| {
            let mut name = path.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        // Rejects an unsuitable file before its lock is created.
        content(&path)?;
        let lock = lock(&path, &with_suffix(".lock"))?;
        let mut channels: Vec<String> = channels.collect();
        channels.sort();
        let head = CursorFileHead {
            version: VERSION,
            server: server.to_owned(),
            channels,
        };
        let text = content(&path)?;
        let marks = text
            .as_deref()
            .map(|text| read(text, &path, &head))
            .transpose()?;
        let temporary = with_suffix(".tmp");
        let written = Mutex::new(text.unwrap_or_default());
        Ok((
            Self {
                path,
                temporary,
                durability,
                head,
                written,
                _lock: lock,
            },
            marks,
        ))
    }

    /// Replaces the content, if it changed.
    ///
    /// # Errors
    /// An error of the file system.
    pub(super) fn save(&self, marks: &Marks) -> anyhow::Result<()> {
        let seen = |mark: &Mark| Seen {
            at: mark.position.map(format_position),
            id: mark.id,
        };
        let content = Content {
            head: self.head.clone(),
            start: marks.start.map(format_position),
            seen: marks
                .channels
                .iter()
                .map(|(channel, mark)| (channel.clone(), seen(mark)))
                .collect(),
            event_id: marks.event_id.clone(),
        };
        let text =
            serde_json::to_string(&content).expect("strings and numbers always make JSON") + "\n";
        let mut written = self.written.lock();
        if *written == text {
            return Ok(());
        }
        let replaced = files::replace(
            &self.path,
            &self.temporary,
            text.as_bytes(),
            self.durability,
        );
        replaced
            .with_context(|| format!("cannot write the cursor file '{}'", self.path.display()))?;
        *written = text;
        Ok(())
    }
}

/// The target of `path` if it is a link, else `path`.
fn target(path: &Path) -> Result<PathBuf, Usage> {
    match std::fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(_) if path.is_symlink() => {
            let path = path.display();
            Err(Usage(format!(
                "cannot use the cursor file '{path}': it is a broken link (remove it, or use \
                 another file)"
            )))
        }
        Err(_) => Ok(path.to_owned()),
    }
}

/// Content of the file, if it exists. It must be a regular file: a device may be endless and cannot
/// be replaced.
fn content(path: &Path) -> anyhow::Result<Option<String>> {
    let context = || format!("cannot read the cursor file '{}'", path.display());
    let file = match files::open_regular(path, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            return Err(Usage(format!(
                "cannot use the cursor file '{}': {error} (use another one)",
                path.display()
            ))
            .into());
        }
        Err(error) => return Err(error).with_context(context),
    };
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut text)
        .with_context(context)?;
    if text.len() as u64 > MAX_BYTES {
        let reason = format!("it is larger than {} MiB", MAX_BYTES >> 20);
        return Err(Usage(format!(
            "cannot use the cursor file '{}': {reason} (use another one)",
            path.display()
        ))
        .into());
    }
    // Bytes that are not UTF-8 are reported as an invalid cursor.
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

fn lock(path: &Path, lock_path: &Path) -> anyhow::Result<File> {
    let opened = files::open_regular(
        lock_path,
        OpenOptions::new().create(true).truncate(false).write(true),
    );
    let lock = opened.map_err(|error| {
        // It is a link or not a regular file.
        let mend = if error.kind() == ErrorKind::InvalidInput {
            " (remove it)"
        } else {
            ""
        };
        anyhow::Error::new(error).context(format!(
            "cannot open the lock file '{}' of --cursor-file{mend}",
            lock_path.display()
        ))
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            anyhow::bail!(
                "the cursor file '{}' is in use by another run (stop that one, or use another \
                 file)",
                path.display()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock '{}'", lock_path.display()))
        }
    }
}

fn read(text: &str, path: &Path, head: &CursorFileHead) -> Result<Marks, Usage> {
    let path = path.display();
    let damaged = |reason: String| {
        Usage(format!(
            "cannot use the cursor file '{path}': {reason} (remove it to start over)"
        ))
    };
    let content: Content = serde_json::from_str(text).map_err(|error| {
        let mend = "use another file, or remove this one if it is a damaged cursor";
        Usage(format!(
            "cannot use the cursor file '{path}': it is not a cursor: {error} ({mend})"
        ))
    })?;
    if content.head.version != VERSION {
        return Err(damaged(format!(
            "its version is {}, this program supports {VERSION}",
            content.head.version
        )));
    }
    let mend = "use that one, another file, or remove this one to start over";
    if content.head.server != head.server {
        let of = &content.head.server;
        let here = &head.server;
        return Err(Usage(format!(
            "cannot use the cursor file '{path}': it is for the server {of}, not {here} ({mend})"
        )));
    }
    if content.head.channels != head.channels {
        let of = content.head.channels.join(" ");
        let here = head.channels.join(" ");
        return Err(Usage(format!(
            "cannot use the cursor file '{path}': it is for the channels '{of}', not '{here}' \
             ({mend})"
        )));
    }
    let position = |text: Option<String>| {
        text.map(|text| {
            parse_position(&text).ok_or_else(|| damaged(format!("'{text}' is not a TIME:TAG")))
        })
        .transpose()
    };
    let mut channels = BTreeMap::new();
    for (channel, seen) in content.seen {
        channels.insert(
            channel,
            Mark {
                position: position(seen.at)?,
                id: seen.id,
            },
        );
    }
    Ok(Marks {
        start: position(content.start)?,
        channels,
        event_id: content.event_id,
    })
}

/// A position in the format of `--since`.
pub(super) fn format_position(position: Position) -> String {
    format!("{}:{}", position.time, position.tag)
}

fn parse_position(text: &str) -> Option<Position> {
    let (time, tag) = text.split_once(':')?;
    Some(Position::new(time.parse().ok()?, tag.parse().ok()?))
}
