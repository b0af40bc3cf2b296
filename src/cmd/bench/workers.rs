//! Several processes: each runs this program again with the same arguments and a part of the
//! subscribers.
//!
//! The part is in an environment variable. A worker writes lines of JSON to its standard output:
//! how far it is, the first failure, and at the end its books. It closes them when it reads what
//! was published, and ends when its input ends.

use std::cell::{Cell, RefCell};
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::books::{Results, Tally};
use super::run::detected;
use super::share::{Part, Subscribers};
use super::{Args, limits};
use crate::client::raw_http::Target;
use crate::cmd::exit::{self, Code, ExitInfo};
use crate::cmd::output;

/// Holds the part of a worker, as JSON.
const PART_VARIABLE: &str = "PUSHCTL_BENCH_PART";
/// How often a worker tells how far it is.
const TICK: Duration = Duration::from_millis(50);
/// Time for a worker to close its books.
const CLOSING: Duration = Duration::from_secs(60);

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    Tally(Tally),
    Failure { code: u8, text: String },
    Books(Box<Results>),
}

/// A worker as its parent sees it.
pub(super) struct Worker {
    // Killed when it is dropped.
    _child: Child,
    input: RefCell<Option<ChildStdin>>,
    heard: Rc<Heard>,
    listening: AbortHandle,
}

/// What was heard from a worker.
#[derive(Default)]
struct Heard {
    tally: RefCell<Tally>,
    failure: RefCell<Option<ExitInfo>>,
    books: RefCell<Option<Results>>,
    is_over: Cell<bool>,
    ended: Notify,
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    /// When this program cannot be started again.
    pub(super) fn start(part: &Part) -> anyhow::Result<Self> {
        let program =
            std::env::current_exe().context("cannot find this program to start it again")?;
        let mut command = Command::new(program);
        command.args(std::env::args_os().skip(1)).env(
            PART_VARIABLE,
            serde_json::to_string(part).context("cannot describe a part")?,
        );
        // A group of its own: on Ctrl-C the parent tidies up, and ends the workers itself.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .context("cannot start a process of the load generator")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("a worker has no output")?;
        let heard = Rc::new(Heard::default());
        let listening =
            spawn_local(listen(BufReader::new(output).lines(), Rc::clone(&heard))).abort_handle();
        Ok(Self {
            _child: child,
            input: RefCell::new(input),
            heard,
            listening,
        })
    }

    pub(super) fn tally(&self) -> Tally {
        self.heard.tally.borrow().clone()
    }

    pub(super) fn take_failure(&self) -> Option<ExitInfo> {
        self.heard.failure.borrow_mut().take()
    }

    /// Has the books closed, given how many messages each channel had.
    ///
    /// # Errors
    /// When the worker ended before.
    pub(super) async fn books(&self, published: &[u64]) -> anyhow::Result<Results> {
        let lost = || anyhow::anyhow!("a process of the load generator ended too early");
        let mut input = self.input.borrow_mut().take().ok_or_else(lost)?;
        let line =
            serde_json::to_string(published).context("cannot describe what was published")? + "\n";
        input.write_all(line.as_bytes()).await.map_err(|_| lost())?;
        let closed = async {
            while !self.heard.is_over.get() {
                self.heard.ended.notified().await;
            }
        };
        timeout(CLOSING, closed).await.map_err(|_| lost())?;
        self.heard.books.borrow_mut().take().ok_or_else(lost)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(mut lines: Lines<BufReader<ChildStdout>>, heard: Rc<Heard>) {
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Word::Tally(tally)) => *heard.tally.borrow_mut() = tally,
            Ok(Word::Failure { code, text }) => {
                *heard.failure.borrow_mut() = Some(ExitInfo { code, text })
            }
            Ok(Word::Books(books)) => *heard.books.borrow_mut() = Some(*books),
            Err(_) => break,
        }
    }
    if heard.books.borrow().is_none() {
        let text = "a process of the load generator ended too early".to_owned();
        heard.failure.borrow_mut().get_or_insert(ExitInfo {
            code: Code::Failure as u8,
            text,
        });
    }
    heard.is_over.set(true);
    heard.ended.notify_one();
}

/// The part of this process, if it is a worker.
///
/// # Errors
/// When the variable has something else in it.
pub(super) fn own_part() -> anyhow::Result<Option<Part>> {
    let Ok(text) = std::env::var(PART_VARIABLE) else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .with_context(|| format!("cannot read {PART_VARIABLE}, which is for internal use"))
}

/// The course of a worker.
///
/// # Errors
/// When its subscribers cannot be started.
pub(super) async fn work(args: &Args, url: &str, part: Part) -> anyhow::Result<Code> {
    let own = args.subscribers.div_ceil(part.of);
    limits::raise_open_files(own)?;
    let endpoints = detected(
        &args.server.client()?,
        args.server.endpoints(url)?,
        args.mode,
    )
    .await?;
    let target = Target::resolve(&endpoints.publish("x")?, &args.server.header_map()?).await?;
    let share = Subscribers::start(args, part, &endpoints, target)?;
    let mut published = read_line()?;
    let mut told = Tally::default();
    loop {
        if let Some(error) = share.state.take_failure() {
            let error = anyhow::Error::new(error);
            say(&Word::Failure {
                code: exit::of(&error) as u8,
                text: format!("{error:#}"),
            })?;
        }
        let tally = share.state.tally();
        if tally != told {
            told = tally.clone();
            say(&Word::Tally(tally))?;
        }
        match timeout(TICK, &mut published).await {
            Err(_) => {}
            Ok(Ok(line)) => {
                let published: Vec<u64> =
                    serde_json::from_str(&line).context("cannot read what was published")?;
                say(&Word::Tally(share.state.tally()))?;
                say(&Word::Books(Box::new(share.books(&published))))?;
                return Ok(Code::Success);
            }
            // The parent is gone.
            Ok(Err(_)) => return Ok(Code::Interrupted),
        }
    }
}

fn say(word: &Word) -> anyhow::Result<()> {
    output::text(
        (serde_json::to_string(word).context("cannot say how far it is")? + "\n").as_bytes(),
    )
}

/// The first line of standard input; an error if that ends before.
fn read_line() -> anyhow::Result<oneshot::Receiver<String>> {
    let (line, read) = oneshot::channel();
    let wait = move || {
        let mut text = String::new();
        if std::io::stdin()
            .read_line(&mut text)
            .is_ok_and(|length| length > 0)
        {
            // The other end only goes away with the process.
            let _ = line.send(text);
        }
    };
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(wait)
        .context("cannot start a thread for standard input")?;
    Ok(read)
}
