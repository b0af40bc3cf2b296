//! Standard output and standard error.
//!
//! Results are whole lines, written at once, so that a reader of a pipe sees each as soon as it is there. A command that
//! talks to a server writes through [`Stdout`]: a reader that stalls must not stop signals and time-outs from being seen.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, oneshot};

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
                let _ = job.done.send(written.and_then(|()| job.then.map_or(Ok(()), |then| then())));
            }
        };
        std::thread::Builder::new().name("stdout".to_owned()).spawn(write).context("cannot start a thread for standard output")?;
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

    /// Writes `bytes` as they are and then does `then`, also when the caller has gone meanwhile; returns when both are done.
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
    /// The runtime's own readiness would need a descriptor that does not block, and that is shared with other processes: so
    /// this looks now and then.
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
        self.jobs.send(Job { bytes, then, done }).await.map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}

/// True if what is written would reach nobody.
fn is_hung_up() -> bool {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
    // Both are told without being asked for; of a pipe the error, of a socket or a terminal the end.
    let polled = poll(&mut descriptors, Some(&Timespec::default()));
    polled.is_ok() && descriptors[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
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

/// Tells the user something on stderr. Nobody is left to hear it if that fails.
pub fn note(text: impl Display) {
    let lines: Vec<String> = text.to_string().lines().map(printable).collect();
    let _ = writeln!(io::stderr(), "pushctl: {}", lines.join("\n"));
}

/// `text` without what would move the cursor or turn the line around: channel ids and answers are bytes of strangers.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_unsafe = |letter: char| letter.is_control() || is_direction(letter);
    let show = |letter: char| if is_unsafe(letter) { letter.escape_default().collect::<Vec<_>>() } else { vec![letter] };
    text.chars().flat_map(show).collect()
}

/// Marks, overrides and isolates of the bidirectional algorithm (UAX #9, section 2), which reorder what stands around them.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
