//! Worker processes: each runs this program with the same arguments and a part of the subscribers.
//!
//! The part is passed in an environment variable. A worker writes lines of JSON to its standard
//! output: its progress, the first failure, and finally its results. It collects them when it reads
//! the published counts from standard input, and exits at the end of the input.

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

use super::args::Args;
use super::detection::detect_endpoints;
use super::limits;
use super::results::{Results, Tally};
use super::subscribers::{RunPart, Subscribers};
use crate::client::transport::raw_http::Target;
use crate::cmd::exit::{self, Code, ExitInfo};
use crate::cmd::output;

/// Environment variable with the part of a worker, as JSON.
const PART_VARIABLE: &str = "PUSHCTL_BENCH_PART";
/// Interval of a worker's progress reports.
const TICK: Duration = Duration::from_millis(50);
/// Time-out for the results of a worker.
const RESULTS_TIMEOUT: Duration = Duration::from_secs(60);

/// A line of a worker's output.
#[derive(Debug, Serialize, Deserialize)]
enum WorkerLine {
    Tally(Tally),
    Failure { code: u8, text: String },
    Results(Box<Results>),
}

/// A worker process, controlled by its parent.
pub(super) struct WorkerProcess {
    // Killed on drop.
    _child: Child,
    input: RefCell<Option<ChildStdin>>,
    received: Rc<WorkerOutput>,
    listening: AbortHandle,
}

/// The output received from a worker.
#[derive(Default)]
struct WorkerOutput {
    tally: RefCell<Tally>,
    failure: RefCell<Option<ExitInfo>>,
    results: RefCell<Option<Results>>,
    is_over: Cell<bool>,
    ended: Notify,
}

impl WorkerProcess {
    /// Starts a worker.
    ///
    /// # Errors
    /// Returns an error if this program cannot be started.
    pub(super) fn start(part: &RunPart) -> anyhow::Result<Self> {
        let program =
            std::env::current_exe().context("cannot find this program to start it again")?;
        let mut command = Command::new(program);
        command.args(std::env::args_os().skip(1)).env(
            PART_VARIABLE,
            serde_json::to_string(part).context("cannot encode the part of a worker")?,
        );
        // A separate process group: on Ctrl-C the parent cleans up and terminates the workers
        // itself.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .context("cannot start a process of the load generator")?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .context("a worker process has no output")?;
        let received = Rc::new(WorkerOutput::default());
        let listening = spawn_local(listen(BufReader::new(output).lines(), Rc::clone(&received)))
            .abort_handle();
        Ok(Self {
            _child: child,
            input: RefCell::new(input),
            received,
            listening,
        })
    }

    pub(super) fn tally(&self) -> Tally {
        self.received.tally.borrow().clone()
    }

    pub(super) fn take_failure(&self) -> Option<ExitInfo> {
        self.received.failure.borrow_mut().take()
    }

    /// Requests the results; `published` is the number of messages per channel.
    ///
    /// # Errors
    /// Returns an error if the worker has exited.
    pub(super) async fn collect_results(&self, published: &[u64]) -> anyhow::Result<Results> {
        let lost = || anyhow::anyhow!("a process of the load generator ended too early");
        let mut input = self.input.borrow_mut().take().ok_or_else(lost)?;
        let line =
            serde_json::to_string(published).context("cannot encode the published counts")? + "\n";
        input.write_all(line.as_bytes()).await.map_err(|_| lost())?;
        let closed = async {
            while !self.received.is_over.get() {
                self.received.ended.notified().await;
            }
        };
        timeout(RESULTS_TIMEOUT, closed).await.map_err(|_| lost())?;
        self.received.results.borrow_mut().take().ok_or_else(lost)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(mut lines: Lines<BufReader<ChildStdout>>, received: Rc<WorkerOutput>) {
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(WorkerLine::Tally(tally)) => *received.tally.borrow_mut() = tally,
            Ok(WorkerLine::Failure { code, text }) => {
                *received.failure.borrow_mut() = Some(ExitInfo { code, text })
            }
            Ok(WorkerLine::Results(results)) => *received.results.borrow_mut() = Some(*results),
            Err(_) => break,
        }
    }
    if received.results.borrow().is_none() {
        let text = "a process of the load generator ended too early".to_owned();
        received.failure.borrow_mut().get_or_insert(ExitInfo {
            code: Code::Failure as u8,
            text,
        });
    }
    received.is_over.set(true);
    received.ended.notify_one();
}

/// Returns the part of this process if it is a worker.
///
/// # Errors
/// Returns an error if the variable has an invalid value.
pub(super) fn part_of_this_process() -> anyhow::Result<Option<RunPart>> {
    let Ok(text) = std::env::var(PART_VARIABLE) else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .with_context(|| format!("cannot read {PART_VARIABLE}, which is for internal use"))
}

/// Runs a worker.
///
/// # Errors
/// Returns an error if its subscribers cannot be started.
pub(super) async fn work(args: &Args, url: &str, part: RunPart) -> anyhow::Result<Code> {
    let own = args.subscribers.div_ceil(part.of);
    limits::raise_open_files(own)?;
    let endpoints = detect_endpoints(
        &args.server.client()?,
        args.server.endpoints(url)?,
        args.mode,
    )
    .await?;
    let target = Target::resolve(&endpoints.publish("x")?, &args.server.header_map()?).await?;
    let subscribers = Subscribers::start(args, part, &endpoints, target)?;
    let mut published = read_line()?;
    let mut reported = Tally::default();
    loop {
        if let Some(error) = subscribers.state.take_failure() {
            let error = anyhow::Error::new(error);
            write_line(&WorkerLine::Failure {
                code: exit::of(&error) as u8,
                text: format!("{error:#}"),
            })?;
        }
        let tally = subscribers.state.tally();
        if tally != reported {
            reported = tally.clone();
            write_line(&WorkerLine::Tally(tally))?;
        }
        match timeout(TICK, &mut published).await {
            Err(_) => {}
            Ok(Ok(line)) => {
                let published: Vec<u64> =
                    serde_json::from_str(&line).context("cannot read the published counts")?;
                write_line(&WorkerLine::Tally(subscribers.state.tally()))?;
                write_line(&WorkerLine::Results(Box::new(
                    subscribers.collect_results(&published),
                )))?;
                return Ok(Code::Success);
            }
            // The parent has exited.
            Ok(Err(_)) => return Ok(Code::Interrupted),
        }
    }
}

fn write_line(word: &WorkerLine) -> anyhow::Result<()> {
    output::text(
        (serde_json::to_string(word).context("cannot encode the progress")? + "\n").as_bytes(),
    )
}

/// Reads the first line of standard input on a separate thread. The sender is dropped without a
/// line at the end of the input.
fn read_line() -> anyhow::Result<oneshot::Receiver<String>> {
    let (line, read) = oneshot::channel();
    let wait = move || {
        let mut text = String::new();
        if std::io::stdin()
            .read_line(&mut text)
            .is_ok_and(|length| length > 0)
        {
            // The receiver is dropped only when the process exits.
            let _ = line.send(text);
        }
    };
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(wait)
        .context("cannot start a thread for standard input")?;
    Ok(read)
}
