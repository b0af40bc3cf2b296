//! Prints messages. Messages that arrive together are written together; the cursor is saved once
//! standard output has accepted them.

use std::sync::Arc;

use super::cursor_file::CursorFile;
use super::queue::EventReceiver;
use super::report;
use super::template::MessageTemplate;
use super::watch::{End, HandledTally, Watch, position_of};
use crate::client::cursor::marks::Marks;
use crate::client::{Event, Message};
use crate::cmd::output::Stdout;
use crate::cmd::output::escape;

/// Bytes after which a batch is written.
const BATCH_BYTES: usize = 256 * 1024;

/// Output format of a message.
#[derive(Clone, Debug)]
pub(super) enum MessageFormat {
    /// Text and a line break.
    Text,
    /// An object per line.
    Json,
    /// The format of `--template`.
    Template(MessageTemplate),
    /// The text only.
    Raw,
}

/// Prints events until the run ends.
pub(super) struct Printer<'a> {
    pub(super) format: &'a MessageFormat,
    /// Standard output is a terminal: control characters are escaped, except in
    /// [`MessageFormat::Raw`].
    pub(super) for_terminal: bool,
    /// The channel, if one is followed.
    pub(super) only: Option<&'a str>,
    pub(super) stdout: &'a Stdout,
    pub(super) tally: Arc<HandledTally>,
    pub(super) file: Option<Arc<CursorFile>>,
    pub(super) marks: Marks,
    pub(super) fail_on_gap: bool,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    count: u64,
    last: Option<String>,
    /// The marks have moved.
    moved: bool,
}

impl Printer<'_> {
    pub(super) async fn run(
        mut self,
        queue: &mut EventReceiver,
        watch: &mut Watch,
    ) -> anyhow::Result<End> {
        let mut batch = Batch::default();
        loop {
            let items = queue.take(super::queue::MAX_EVENTS).await;
            if items.is_empty() {
                return Ok(End::Idle);
            }
            for item in items {
                let end = match item {
                    Ok(Some(event)) => self.handle(event, watch, &mut batch).await?,
                    Ok(None) => Some(End::Deleted),
                    Err(error) => {
                        self.flush(&mut batch).await?;
                        return Err(error.into());
                    }
                };
                if end.is_some() {
                    queue.close();
                }
                if end.is_some() || batch.bytes.len() >= BATCH_BYTES {
                    self.flush(&mut batch).await?;
                }
                if let Some(end) = end {
                    return Ok(end);
                }
            }
            self.flush(&mut batch).await?;
        }
    }

    async fn handle(
        &mut self,
        event: Event,
        watch: &mut Watch,
        batch: &mut Batch,
    ) -> anyhow::Result<Option<End>> {
        if !matches!(event, Event::Message(..) | Event::Moved(_)) {
            // Earlier messages are printed before a note about a later event.
            self.flush(batch).await?;
            report::print(&event);
        }
        let (step, end) = match event {
            Event::Message(message, step) => {
                self.write(&message, &mut batch.bytes);
                batch.count += 1;
                batch.last = position_of(&message).or(batch.last.take());
                (Some(step), watch.check(&message))
            }
            Event::Missed(message, gap, step) => {
                if matches!(self.format, MessageFormat::Json) {
                    self.write_json(&report::gap_line(&message, gap), &mut batch.bytes);
                }
                (step, self.fail_on_gap.then_some(End::Gap))
            }
            Event::Deleted(channel, farewell, step) => {
                if matches!(self.format, MessageFormat::Json) {
                    self.write_json(&report::deleted_line(&channel, &farewell), &mut batch.bytes);
                }
                (Some(step), None)
            }
            Event::Moved(step) => (Some(step), None),
            Event::Retrying(..) | Event::ModeFallback(..) | Event::Notice(_) => (None, None),
        };
        if let (Some(step), Some(_)) = (step, &self.file) {
            self.marks.record(step);
            batch.moved = true;
        }
        Ok(end)
    }

    fn write(&self, message: &Message, out: &mut Vec<u8>) {
        match self.format {
            MessageFormat::Text if self.for_terminal => escape::message(&message.text, out),
            MessageFormat::Text => out.extend_from_slice(&message.text),
            MessageFormat::Raw => return out.extend_from_slice(&message.text),
            MessageFormat::Json => return self.write_json(&message.to_json(), out),
            MessageFormat::Template(template) => {
                return template.write(message, self.only, self.for_terminal, out);
            }
        }
        out.push(b'\n');
    }

    fn write_json(&self, line: &str, out: &mut Vec<u8>) {
        if self.for_terminal {
            out.extend_from_slice(escape::json(line).as_bytes());
        } else {
            out.extend_from_slice(line.as_bytes());
        }
        out.push(b'\n');
    }

    /// Writes the batch. Once it is accepted, it is counted and the cursor is saved.
    async fn flush(&self, batch: &mut Batch) -> anyhow::Result<()> {
        let Batch {
            bytes,
            count,
            last,
            moved,
        } = std::mem::take(batch);
        if bytes.is_empty() && count == 0 && !moved {
            return Ok(());
        }
        let save = self
            .file
            .as_ref()
            .filter(|_| moved)
            .map(|file| (Arc::clone(file), self.marks.clone()));
        let tally = Arc::clone(&self.tally);
        let accepted = move || {
            tally.add(count, last);
            save.map_or(Ok(()), |(file, marks)| file.save(&marks))
        };
        self.stdout.write_then(bytes, Box::new(accepted)).await
    }
}
