//! Standard output and standard error.
//!
//! Results are whole lines, written at once, so that a reader of a pipe sees each as soon as it is
//! there. A command that talks to a server writes through [`Stdout`]: a reader that stalls must not
//! stop signals and time-outs from being seen.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, oneshot};

use super::escape;

/// Standard output behind a thread that does the waiting.
pub struct Stdout {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    bytes: Vec<u8>,
    then: Option<Then>,
    done: oneshot::Sender<anyhow::Result<()>>,
}

/// What is done when bytes were accepted, on the thread that wrote them.
pub type Then = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

impl Stdout {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread for us.
    pub fn start() -> anyhow::Result<Self> {
        // One job at a time: whoever writes waits until it is done.
        let (jobs, mut queue) = mpsc::channel::<Job>(1);
        let write = move || {
            while let Some(job) = queue.blocking_recv() {
                // Whoever asked may have been interrupted meanwhile.
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
    /// That of the file; a broken pipe becomes success in [`super::exit`].
    pub async fn line(&self, line: &[u8]) -> anyhow::Result<()> {
        self.bytes([line, b"\n"].concat()).await
    }

    /// Writes `text` as it is, and returns when it is written.
    ///
    /// # Errors
    /// That of the file.
    pub async fn text(&self, text: &[u8]) -> anyhow::Result<()> {
        self.bytes(text.to_vec()).await
    }

    /// Writes `bytes` as they are and then does `then`, also when the caller has gone meanwhile;
    /// returns when both are done.
    ///
    /// # Errors
    /// That of the file, or of `then`.
    pub async fn write_then(&self, bytes: Vec<u8>, then: Then) -> anyhow::Result<()> {
        self.submit(bytes, Some(then)).await
    }

    /// Waits until a line under way is written, but no longer than `limit`.
    pub async fn settle(&self, limit: Duration) {
        // A failure was told to whoever wrote, and a stalled reader is what the limit is for.
        let _ = tokio::time::timeout(limit, self.bytes(Vec::new())).await;
    }

    /// Returns when the reader of a pipe or socket has gone; never where there is none.
    ///
    /// The runtime's own readiness would need a descriptor that does not block, and that is shared
    /// with other processes: so this looks now and then.
    pub async fn hung_up(&self) {
        loop {
            if is_hung_up() {
                return;
            }
            tokio::time::sleep(LOOK).await;
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

/// True if what is written would reach nobody.
fn is_hung_up() -> bool {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
    // Both are told without being asked for; of a pipe the error, of a socket or a terminal the
    // end.
    let polled = poll(&mut descriptors, Some(&Timespec::default()));
    polled.is_ok()
        && descriptors[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP)
}

/// How often the reader of standard output is looked for.
const LOOK: Duration = Duration::from_millis(500);

const WRITING: &str = "cannot write standard output";

/// Writes `text` as it is; for commands that wait for nothing else.
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

/// Prints one line on stderr. The text is escaped as a whole, so that nothing in it (a channel id,
/// the words of a server) can look like another line.
pub fn note(text: impl Display) {
    write_note(&escape::printable(&text.to_string()));
}

/// Prints a text of several lines on stderr. It is for texts that only this machine wrote: the
/// mistakes of a configuration, the usage of a command.
pub fn note_lines(text: impl Display) {
    let lines: Vec<String> = text.to_string().lines().map(escape::printable).collect();
    write_note(&lines.join("\n"));
}

fn write_note(text: &str) {
    // No one is left to read it if that fails.
    let _ = writeln!(io::stderr(), "pushctl: {text}");
}

/// True if the terminal knows no control sequences: no colours then, and no full-screen view.
#[must_use]
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Lines for standard output that have parts of a file in them: on a terminal, characters that
/// would command it are escaped.
#[must_use]
pub fn lines(text: &[u8]) -> Cow<'_, [u8]> {
    if !io::stdout().is_terminal() {
        return Cow::Borrowed(text);
    }
    let mut escaped = Vec::with_capacity(text.len());
    escape::message(text, &mut escaped);
    Cow::Owned(escaped)
}

/// JSON for standard output: on a terminal, characters that would command it become `\uXXXX`, which
/// means the same.
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
