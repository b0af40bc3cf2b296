//! Standard output and standard error.
//!
//! Results are whole lines, written at once, so that the reader of a pipe gets each line without
//! delay. A client command writes through [`Stdout`]: a reader that stalls must not block the
//! handling of signals and time-outs.

pub mod escape;
pub mod figures;
pub mod files;
pub mod table;

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, oneshot};

/// Standard output, written by a thread.
pub struct Stdout {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    bytes: Vec<u8>,
    then: Option<Then>,
    done: oneshot::Sender<anyhow::Result<()>>,
}

/// Callback after the bytes were accepted, on the thread that wrote them.
pub type Then = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

impl Stdout {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start() -> anyhow::Result<Self> {
        // One job at a time: a writer waits until its job is done.
        let (jobs, mut queue) = mpsc::channel::<Job>(1);
        let write = move || {
            while let Some(job) = queue.blocking_recv() {
                // The caller may have been interrupted.
                let written = write(&job.bytes).context(WRITING);
                let _ = job
                    .done
                    .send(written.and_then(|()| job.then.map_or(Ok(()), |then| then())));
            }
        };
        std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(write)
            .context("cannot start a thread for standard output")?;
        Ok(Self { jobs })
    }

    /// Writes `line` and a line break, and returns when they are written.
    ///
    /// # Errors
    /// That of the file; a broken pipe becomes success in [`crate::cmd::exit`].
    pub async fn line(&self, line: &[u8]) -> anyhow::Result<()> {
        self.bytes([line, b"\n"].concat()).await
    }

    /// Writes `text` unchanged, and returns when it is written.
    ///
    /// # Errors
    /// That of the file.
    pub async fn text(&self, text: &[u8]) -> anyhow::Result<()> {
        self.bytes(text.to_vec()).await
    }

    /// Writes `bytes` unchanged and then calls `then`, also if the caller is dropped before;
    /// returns when both are done.
    ///
    /// # Errors
    /// That of the file, or of `then`.
    pub async fn write_then(&self, bytes: Vec<u8>, then: Then) -> anyhow::Result<()> {
        self.submit(bytes, Some(then)).await
    }

    /// Waits until the current line is written, for at most `limit`.
    pub async fn settle(&self, limit: Duration) {
        // The writer of the line gets its error; a stalled reader is why there is a limit.
        let _ = tokio::time::timeout(limit, self.bytes(Vec::new())).await;
    }

    /// Returns when the reader of a pipe or socket has closed it; never for other files.
    ///
    /// Polls, because the runtime's readiness needs a non-blocking descriptor, and this one is
    /// shared with other processes.
    pub async fn hung_up(&self) {
        loop {
            if is_hung_up() {
                return;
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    async fn bytes(&self, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.submit(bytes, None).await
    }

    async fn submit(&self, bytes: Vec<u8>, then: Option<Then>) -> anyhow::Result<()> {
        let (done, result) = oneshot::channel();
        let ended = || anyhow::anyhow!("cannot write standard output: its thread ended");
        self.jobs
            .send(Job { bytes, then, done })
            .await
            .map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}

/// True if standard output has no reader.
fn is_hung_up() -> bool {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
    // Both are reported unrequested: ERR for a pipe, HUP for a socket or a terminal.
    let polled = poll(&mut descriptors, Some(&Timespec::default()));
    polled.is_ok()
        && descriptors[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Interval at which the reader of standard output is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

const WRITING: &str = "cannot write standard output";

/// Writes `text` unchanged, and blocks; for commands without other tasks.
///
/// # Errors
/// That of the file.
pub fn text(text: &[u8]) -> anyhow::Result<()> {
    write(text).context(WRITING)
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Prints one line on stderr. The whole text is escaped, so that no part of it (a channel id, the
/// message of a server) can look like another line.
pub fn note(text: impl Display) {
    write_note(&escape::printable(&text.to_string()));
}

/// Prints a text of several lines on stderr. For texts that come from this machine only: errors of
/// a configuration, the usage of a command.
pub fn report_lines(text: impl Display) {
    let lines: Vec<String> = text.to_string().lines().map(escape::printable).collect();
    write_note(&lines.join("\n"));
}

fn write_note(text: &str) {
    // A closed stderr is not an error.
    let _ = writeln!(io::stderr(), "pushctl: {text}");
}

/// True if the terminal has no control sequences: no colours and no full-screen view.
#[must_use]
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Lines for standard output that quote a file: on a terminal, control characters are escaped.
#[must_use]
pub fn lines(text: &[u8]) -> Cow<'_, [u8]> {
    if !io::stdout().is_terminal() {
        return Cow::Borrowed(text);
    }
    let mut escaped = Vec::with_capacity(text.len());
    escape::message(text, &mut escaped);
    Cow::Owned(escaped)
}

/// JSON for standard output: on a terminal, control characters become the equivalent `\uXXXX`.
#[must_use]
pub fn json(text: &[u8]) -> Cow<'_, [u8]> {
    if !io::stdout().is_terminal() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        escape::json(&String::from_utf8_lossy(text))
            .into_owned()
            .into_bytes(),
    )
}
