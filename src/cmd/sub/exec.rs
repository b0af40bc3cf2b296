//! `--exec`: a command per message, several at a time, and a cursor that is the oldest message not
//! yet dealt with.

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
use super::watch::{End, Stop, Tally, Watch, place_of};
use crate::client::marks::{Marks, Step};
use crate::client::{Event, Message};
use crate::cmd::output::{Stdout, note};
use crate::cmd::profile::{TOKEN_VARIABLE, URL_VARIABLE, url_without_credentials};
use crate::message::Position;

/// The environment of a command.
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

/// Runs commands until something ends the run, and then waits for those that are running.
pub(super) struct Runner<'a> {
    pub(super) command: &'a str,
    pub(super) jobs: usize,
    pub(super) ack_on_success: bool,
    pub(super) fail_on_gap: bool,
    /// The channel, if one is followed.
    pub(super) only: Option<&'a str>,
    /// Writes the cursor, so that nobody waits for a disk here.
    pub(super) stdout: &'a Stdout,
    pub(super) tally: &'a Tally,
    pub(super) file: Option<Arc<CursorFile>>,
    pub(super) ledger: Ledger,
    /// A command failed.
    pub(super) failed: bool,
}

/// A command that ended: its number, and what became of it.
type Ended = (u64, String, anyhow::Result<ExitStatus>);

impl Runner<'_> {
    /// Why the run ended, and whether a command failed. What ends it may come twice: the second
    /// time nobody waits for the commands that are still running.
    pub(super) async fn run(
        mut self,
        queue: &mut EventReceiver,
        watch: &mut Watch,
        mut stop: Stop<'_>,
    ) -> anyhow::Result<(End, bool)> {
        let mut running: FuturesUnordered<LocalBoxFuture<'_, Ended>> = FuturesUnordered::new();
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
                Some(ended) = running.next(), if !running.is_empty() => {
                    if self.ended(ended).await? {
                        end.get_or_insert(Ok(End::CommandFailed));
                    }
                }
                stopped = &mut stop => {
                    if end.is_some() {
                        break;
                    }
                    end = Some(stopped);
                    stop = Box::pin(async { crate::cmd::interrupted().await.map(|()| End::Interrupted) });
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
        Option<LocalBoxFuture<'static, Ended>>,
        Option<anyhow::Result<End>>,
    )> {
        let event = match item {
            None => return Ok((None, Some(Ok(End::Idle)))),
            Some(Ok(None)) => return Ok((None, Some(Ok(End::Deleted)))),
            Some(Err(error)) => return Ok((None, Some(Err(error.into())))),
            Some(Ok(Some(event))) => event,
        };
        report::tell(&event);
        let mut end = None;
        let mut job = None;
        match event {
            Event::Message(message, step) => {
                end = watch.see(&message).map(Ok);
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

    fn job(&self, number: u64, message: Message) -> anyhow::Result<LocalBoxFuture<'static, Ended>> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(self.command).stdin(Stdio::piped());
        // The command is to handle a message; the secrets of this run are not part of it.
        command.env_remove(TOKEN_VARIABLE);
        if let Some(url) = url_without_credentials() {
            command.env(URL_VARIABLE, url);
        }
        for (name, field) in VARIABLES {
            match field.of(&message, self.only) {
                // No variable can carry a NUL.
                Some(value) => command.env(name, String::from_utf8_lossy(&value).replace('\0', "")),
                None => command.env_remove(name),
            };
        }
        let mut child = command
            .spawn()
            .context("cannot run the command of --exec with 'sh'")?;
        let stdin = child.stdin.take();
        let place = place_of(&message).unwrap_or_default();
        Ok(Box::pin(async move {
            let feed = async move {
                if let Some(mut stdin) = stdin {
                    // It may end without reading.
                    let _ = stdin.write_all(&message.text).await;
                }
            };
            let ((), status) = tokio::join!(feed, child.wait());
            (
                number,
                place,
                status.context("cannot wait for the command of --exec"),
            )
        }))
    }

    /// Notes the end of a command; true if it ends the run.
    async fn ended(&mut self, (number, place, status): Ended) -> anyhow::Result<bool> {
        let status = status?;
        let is_good = status.success();
        if !is_good {
            self.failed = true;
            let at = if place.is_empty() {
                String::new()
            } else {
                format!(" (message at {place})")
            };
            note(format_args!("the command of --exec failed: {status}{at}"));
        }
        if is_good || !self.ack_on_success {
            self.tally.add(1, None);
            self.ledger.close(number);
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
            .all_done_to(self.ledger.place.map(cursor_file::place));
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

/// What was begun and what is done. The marks follow the oldest that is not done.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    marks: Marks,
    /// Number of the first entry.
    first: u64,
    entries: VecDeque<(Step, bool)>,
    /// The last message behind which all are done that came before it.
    place: Option<Position>,
}

impl Ledger {
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

    /// Moves the marks behind what is done; false if nothing was.
    fn settle(&mut self) -> bool {
        let mut moved = false;
        while self.entries.front().is_some_and(|(_, done)| *done) {
            if let Some((step, _)) = self.entries.pop_front() {
                if let Step::Message(_, mark, _) = &step {
                    self.place = mark.position.or(self.place);
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
    use crate::client::marks::Mark;

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
        let mut ledger = Ledger::default();
        let numbers: Vec<u64> = (1..=4).map(|id| ledger.open(step(id))).collect();
        let at = |ledger: &Ledger| ledger.marks.channels.get("a").and_then(|mark| mark.id);
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
