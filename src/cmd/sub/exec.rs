//! `--exec`: a command per message, up to N concurrently, and a cursor at the oldest unfinished
//! message.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::cursor_file::{self, CursorFile};
use super::queue::{EventReceiver, Item};
use super::report;
use super::template::Field;
use super::watch::{End, HandledTally, Stop, Watch, position_of};
use crate::client::cursor::marks::{Marks, Step};
use crate::client::{Event, Message};
use crate::cmd::output::{Stdout, note};
use crate::cmd::profile::{TOKEN_VARIABLE, URL_VARIABLE, url_without_credentials};
use crate::message::Position;

/// Environment variables of a command.
const VARIABLES: [(&str, Field); 8] = [
    ("PUSHCTL_CHANNEL", Field::Channel),
    ("PUSHCTL_ID", Field::Id),
    ("PUSHCTL_TIME", Field::Time),
    ("PUSHCTL_UNIX", Field::Unix),
    ("PUSHCTL_TAG", Field::Tag),
    ("PUSHCTL_CURSOR", Field::Cursor),
    ("PUSHCTL_EVENT_ID", Field::EventId),
    ("PUSHCTL_EVENT_TYPE", Field::EventType),
];

/// Runs commands until the run ends, and then waits for running commands.
pub(super) struct Runner<'a> {
    pub(super) command: &'a str,
    pub(super) jobs: usize,
    pub(super) ack_on_success: bool,
    pub(super) fail_on_gap: bool,
    /// The channel, if one is followed.
    pub(super) only: Option<&'a str>,
    /// Its thread writes the cursor, so that this one never blocks on a disk.
    pub(super) stdout: &'a Stdout,
    pub(super) tally: &'a HandledTally,
    pub(super) file: Option<Arc<CursorFile>>,
    pub(super) ledger: CompletionLedger,
    /// A command failed.
    pub(super) failed: bool,
}

/// The end of a command.
struct FinishedJob {
    /// Number of its message in the ledger.
    number: u64,
    /// Position of its message; empty if the server sends none.
    position: String,
    status: anyhow::Result<ExitStatus>,
}

impl Runner<'_> {
    /// Returns the end of the run, and whether a command failed. A second signal stops waiting for
    /// running commands.
    pub(super) async fn run(
        mut self,
        queue: &mut EventReceiver,
        watch: &mut Watch,
        mut stop: Stop<'_>,
    ) -> anyhow::Result<(End, bool)> {
        let mut running: FuturesUnordered<LocalBoxFuture<'_, FinishedJob>> =
            FuturesUnordered::new();
        let mut end: Option<anyhow::Result<End>> = None;
        loop {
            let takes_more = end.is_none() && running.len() < self.jobs;
            if end.is_some() {
                queue.close();
                if running.is_empty() {
                    break;
                }
            }
            tokio::select! {
                Some(job) = running.next(), if !running.is_empty() => {
                    if self.finish(job).await? {
                        end.get_or_insert(Ok(End::CommandFailed));
                    }
                }
                stopped = &mut stop => {
                    if end.is_some() {
                        break;
                    }
                    end = Some(stopped);
                    stop = Box::pin(async {
                        crate::cmd::runtime::interrupted().await.map(|()| End::Interrupted)
                    });
                }
                mut items = queue.take(1), if takes_more => {
                    let (job, ended) = self.take(items.pop(), watch).await?;
                    running.extend(job);
                    end = ended;
                }
            }
        }
        end.unwrap_or(Ok(End::Interrupted))
            .map(|end| (end, self.failed))
    }

    async fn take(
        &mut self,
        item: Option<Item>,
        watch: &mut Watch,
    ) -> anyhow::Result<(
        Option<LocalBoxFuture<'static, FinishedJob>>,
        Option<anyhow::Result<End>>,
    )> {
        let event = match item {
            None => return Ok((None, Some(Ok(End::Idle)))),
            Some(Ok(None)) => return Ok((None, Some(Ok(End::Deleted)))),
            Some(Err(error)) => return Ok((None, Some(Err(error.into())))),
            Some(Ok(Some(event))) => event,
        };
        report::print(&event);
        let mut end = None;
        let mut job = None;
        match event {
            Event::Message(message, step) => {
                end = watch.check(&message).map(Ok);
                let number = self.ledger.open(step);
                job = Some(self.job(number, message)?);
            }
            Event::Missed(_, _, step) => {
                end = self.fail_on_gap.then_some(Ok(End::Gap));
                if let Some(step) = step {
                    self.pass(step).await?;
                }
            }
            Event::Deleted(_, _, step) | Event::Moved(step) => self.pass(step).await?,
            Event::Retrying(..) | Event::ModeFallback(..) | Event::Notice(_) => {}
        }
        Ok((job, end))
    }

    fn job(
        &self,
        number: u64,
        message: Message,
    ) -> anyhow::Result<LocalBoxFuture<'static, FinishedJob>> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(self.command).stdin(Stdio::piped());
        // The command handles a message and does not need the secrets of this run.
        command.env_remove(TOKEN_VARIABLE);
        if let Some(url) = url_without_credentials() {
            command.env(URL_VARIABLE, url);
        }
        for (name, field) in VARIABLES {
            match field.of(&message, self.only) {
                // A variable cannot contain a NUL.
                Some(value) => command.env(name, String::from_utf8_lossy(&value).replace('\0', "")),
                None => command.env_remove(name),
            };
        }
        let mut child = command
            .spawn()
            .context("cannot run the command of --exec with 'sh'")?;
        let stdin = child.stdin.take();
        let position = position_of(&message).unwrap_or_default();
        Ok(Box::pin(async move {
            let write = async move {
                if let Some(mut stdin) = stdin {
                    // The command may end without reading.
                    let _ = stdin.write_all(&message.text).await;
                }
            };
            let ((), status) = tokio::join!(write, child.wait());
            FinishedJob {
                number,
                position,
                status: status.context("cannot wait for the command of --exec"),
            }
        }))
    }

    /// Records the end of a command. Returns true if it ends the run.
    async fn finish(&mut self, job: FinishedJob) -> anyhow::Result<bool> {
        let status = job.status?;
        let is_good = status.success();
        if !is_good {
            self.failed = true;
            let at = if job.position.is_empty() {
                String::new()
            } else {
                format!(" (message at {})", job.position)
            };
            note(format_args!("the command of --exec failed: {status}{at}"));
        }
        if is_good || !self.ack_on_success {
            self.tally.add(1, None);
            self.ledger.close(job.number);
            self.save().await?;
        }
        Ok(!is_good && self.ack_on_success)
    }

    async fn pass(&mut self, step: Step) -> anyhow::Result<()> {
        let number = self.ledger.open(step);
        self.ledger.close(number);
        self.save().await
    }

    async fn save(&mut self) -> anyhow::Result<()> {
        let moved = self.ledger.settle();
        self.tally
            .all_done_to(self.ledger.position.map(cursor_file::format_position));
        let Some(file) = self.file.as_ref().filter(|_| moved) else {
            return Ok(());
        };
        let file = Arc::clone(file);
        let marks = self.ledger.marks.clone();
        self.stdout
            .write_then(Vec::new(), Box::new(move || file.save(&marks)))
            .await
    }
}

/// Started and finished messages. The marks follow the oldest unfinished one.
#[derive(Debug, Default)]
pub(super) struct CompletionLedger {
    marks: Marks,
    /// Number of the first entry.
    first: u64,
    entries: VecDeque<(Step, bool)>,
    /// Position of the last message of which all predecessors are finished.
    position: Option<Position>,
}

impl CompletionLedger {
    pub(super) fn new(marks: Marks) -> Self {
        Self {
            marks,
            ..Self::default()
        }
    }

    fn open(&mut self, step: Step) -> u64 {
        self.entries.push_back((step, false));
        self.first + self.entries.len() as u64 - 1
    }

    fn close(&mut self, number: u64) {
        let at = usize::try_from(number - self.first).expect("as many are in memory");
        if let Some(entry) = self.entries.get_mut(at) {
            entry.1 = true;
        }
    }

    /// Moves the marks past finished messages. Returns false if they did not move.
    fn settle(&mut self) -> bool {
        let mut moved = false;
        while self.entries.front().is_some_and(|(_, done)| *done) {
            if let Some((step, _)) = self.entries.pop_front() {
                if let Step::Message(_, mark, _) = &step {
                    self.position = mark.position.or(self.position);
                }
                self.marks.record(step);
                self.first += 1;
                moved = true;
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::cursor::marks::Mark;

    #[test]
    fn marks_follow_the_oldest_that_is_not_done() {
        let step = |id| {
            Step::Message(
                "a".to_owned(),
                Mark {
                    position: None,
                    id: Some(id),
                },
                None,
            )
        };
        let mut ledger = CompletionLedger::default();
        let numbers: Vec<u64> = (1..=4).map(|id| ledger.open(step(id))).collect();
        let at =
            |ledger: &CompletionLedger| ledger.marks.channels.get("a").and_then(|mark| mark.id);
        ledger.close(numbers[1]);
        assert!(!ledger.settle());
        assert_eq!(at(&ledger), None);
        ledger.close(numbers[0]);
        assert!(ledger.settle());
        assert_eq!(at(&ledger), Some(2));
        ledger.close(numbers[3]);
        ledger.settle();
        assert_eq!(at(&ledger), Some(2));
        ledger.close(numbers[2]);
        ledger.settle();
        assert_eq!(at(&ledger), Some(4));
    }
}
