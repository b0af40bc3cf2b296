//! Input of many messages, from a file or standard input: lines, or one JSON object per line. Read
//! by a thread, so that a source that stalls blocks neither signals nor responses.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::client::message::MAX_MESSAGE_BYTES;
use crate::cmd::exit::Usage;

/// Maximum number of messages that the thread passes on at once; fewer when its source stalls.
const BATCH: usize = 256;
/// Bytes after which the thread passes them on.
const BATCH_BYTES: usize = 256 << 10;
/// Maximum number of batches between the thread and the publisher.
const BATCHES: usize = 4;

/// A message of the input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct InputMessage {
    /// Line number from 1, continued over the rounds of `--repeat`.
    pub number: u64,
    /// Channel, if the line names one.
    pub channel: Option<String>,
    /// The message.
    pub text: Vec<u8>,
    /// `Event-Id`
    pub event_id: Option<String>,
    /// `Event-Type`
    pub event_type: Option<String>,
}

/// Source of the messages.
#[derive(Clone, Debug)]
pub enum InputSource {
    /// The same text for each message.
    Text(Vec<u8>),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// Format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// The line is the message.
    Plain,
    /// The line is a JSON object.
    Json,
}

/// Messages, or the error that ends the input.
pub type Batch = anyhow::Result<Vec<InputMessage>>;

/// Starts to read `rounds` times.
///
/// # Errors
/// When the file cannot be opened or the thread cannot be started.
pub fn start(
    source: InputSource,
    format: LineFormat,
    rounds: u64,
) -> anyhow::Result<mpsc::Receiver<Batch>> {
    let (sender, receiver) = mpsc::channel(BATCHES);
    let mut reader = Reader {
        format,
        number: 0,
        batch: Vec::new(),
        batch_bytes: 0,
        sender,
    };
    let work = move || {
        // Without a receiver, the error does not matter.
        if let Err(Some(error)) = reader.run(&source, rounds) {
            let _ = reader.sender.blocking_send(Err(error));
        }
    };
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(work)
        .context("cannot start a thread for the input")?;
    Ok(receiver)
}

/// Number of messages, if it is known in advance.
#[must_use]
pub fn count(source: &InputSource, rounds: u64) -> Option<u64> {
    let lines = match source {
        InputSource::Text(_) => 1,
        InputSource::File(path) => lines(&File::open(path).ok()?)?,
        InputSource::Stdin => lines(&File::from(
            std::io::stdin().as_fd().try_clone_to_owned().ok()?,
        ))?,
    };
    lines.checked_mul(rounds)
}

/// Number of non-empty lines of a regular file from its current position, which is kept.
fn lines(mut file: &File) -> Option<u64> {
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let (mut at, mut lines, mut is_empty, mut buffer) =
        (file.stream_position().ok()?, 0, true, vec![0; 256 << 10]);
    loop {
        let length = file.read_at(&mut buffer, at).ok()?;
        if length == 0 {
            return Some(lines + u64::from(!is_empty));
        }
        at += length as u64;
        for byte in &buffer[..length] {
            match byte {
                b'\n' => {
                    lines += u64::from(!is_empty);
                    is_empty = true;
                }
                // The whole line break is "\r\n" here.
                b'\r' => {}
                _ => is_empty = false,
            }
        }
    }
}

struct Reader {
    format: LineFormat,
    number: u64,
    batch: Vec<InputMessage>,
    batch_bytes: usize,
    sender: mpsc::Sender<Batch>,
}

impl Reader {
    /// Fails with `None` when the receiver is dropped.
    fn run(&mut self, source: &InputSource, rounds: u64) -> Result<(), Option<anyhow::Error>> {
        for _ in 0..rounds {
            match source {
                InputSource::Text(text) => {
                    self.number += 1;
                    self.add(InputMessage {
                        number: self.number,
                        text: text.clone(),
                        ..InputMessage::default()
                    })?;
                }
                InputSource::File(path) => {
                    let name = path.display().to_string();
                    let file = File::open(path)
                        .with_context(|| format!("cannot read {name}"))
                        .map_err(Some)?;
                    self.read(BufReader::with_capacity(BATCH_BYTES, file), &name)?;
                }
                InputSource::Stdin => self.read(
                    BufReader::with_capacity(BATCH_BYTES, std::io::stdin()),
                    "standard input",
                )?,
            }
        }
        self.flush()
    }

    fn read<R: std::io::Read>(
        &mut self,
        mut reader: BufReader<R>,
        name: &str,
    ) -> Result<(), Option<anyhow::Error>> {
        loop {
            // What is there goes out before the source is waited for.
            if !reader.buffer().contains(&b'\n') {
                self.flush()?;
            }
            let mut line = Vec::new();
            let length = (&mut reader)
                .take(MAX_MESSAGE_BYTES as u64 + 2)
                .read_until(b'\n', &mut line);
            if length
                .with_context(|| format!("cannot read {name}"))
                .map_err(Some)?
                == 0
            {
                return Ok(());
            }
            self.number += 1;
            let number = self.number;
            if line.last() == Some(&b'\n') {
                line.pop();
                line.pop_if(|byte| *byte == b'\r');
            }
            if line.len() > MAX_MESSAGE_BYTES {
                let text = format!(
                    "line {number} of {name} is larger than {} MiB",
                    MAX_MESSAGE_BYTES >> 20
                );
                return Err(Some(Usage(text).into()));
            }
            // Servers reject empty messages.
            if line.is_empty() {
                continue;
            }
            let entry = match self.format {
                LineFormat::Plain => Ok(Some(InputMessage {
                    number,
                    text: line,
                    ..InputMessage::default()
                })),
                LineFormat::Json => object(&line, number),
            };
            match entry {
                Ok(Some(entry)) => self.add(entry)?,
                Ok(None) => {}
                Err(reason) => {
                    self.flush()?;
                    return Err(Some(
                        Usage(format!("cannot use line {number} of {name}: {reason}")).into(),
                    ));
                }
            }
        }
    }

    fn add(&mut self, entry: InputMessage) -> Result<(), Option<anyhow::Error>> {
        self.batch_bytes += entry.text.len();
        self.batch.push(entry);
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Option<anyhow::Error>> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        self.sender
            .blocking_send(Ok(std::mem::take(&mut self.batch)))
            .map_err(|_| None)
    }
}

/// The fields of a line of `--ndjson`.
const FIELDS: [&str; 5] = ["channel", "text", "base64", "event_id", "event_type"];

/// Further fields of the lines of `sub --json`, which do not apply to a new message.
const IGNORED_FIELDS: [&str; 3] = ["id", "tag", "time"];
/// Fields of lines of `sub --json` that are not messages: gaps and deleted channels.
const NOTICE_FIELDS: [&str; 2] = ["missed", "deleted"];

/// Parses a line of `--ndjson`. Lines of `sub --json` are accepted, too: its names of fields are
/// synonyms, and its lines that are not messages return `None`.
///
/// # Errors
/// The invalid field, and the reason.
fn object(line: &[u8], number: u64) -> Result<Option<InputMessage>, String> {
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| format!("invalid JSON (column {})", error.column()))?;
    let Value::Object(object) = value else {
        return Err(r#"not a JSON object (write {"channel":"…","text":"…"})"#.to_owned());
    };
    if NOTICE_FIELDS.iter().any(|name| object.contains_key(*name)) {
        return Ok(None);
    }
    let mut entry = InputMessage {
        number,
        ..InputMessage::default()
    };
    let mut text = None;
    let mut bytes = None;
    for (name, value) in object {
        let name = match name.as_str() {
            ignored if IGNORED_FIELDS.contains(&ignored) => continue,
            "eventid" => "event_id",
            "eventtype" => "event_type",
            other => other,
        };
        if !FIELDS.contains(&name) {
            return Err(format!(
                "unknown field '{name}' (known: {})",
                FIELDS.join(", ")
            ));
        }
        let value = match value {
            Value::String(value) => value,
            // Absent, as many programs write it.
            Value::Null => continue,
            _ => return Err(format!("the field '{name}' is not a string")),
        };
        match name {
            "channel" => entry.channel = Some(value),
            "text" => text = Some(value.into_bytes()),
            "base64" => {
                bytes = Some(
                    STANDARD
                        .decode(value)
                        .map_err(|error| format!("the field 'base64' is not base64: {error}"))?,
                )
            }
            "event_id" => entry.event_id = Some(value),
            _ => entry.event_type = Some(value),
        }
    }
    entry.text = match (text, bytes) {
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => return Err("missing field 'text' or 'base64'".to_owned()),
        (Some(_), Some(_)) => return Err("both fields 'text' and 'base64' are given".to_owned()),
    };
    if entry.text.is_empty() {
        return Err("the message is empty, which servers reject".to_owned());
    }
    Ok(Some(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_messages() {
        let line = br#"{"channel":"c","text":"t","event_id":"i","event_type":"y"}"#;
        let entry = InputMessage {
            number: 7,
            channel: Some("c".to_owned()),
            text: b"t".to_vec(),
            event_id: Some("i".to_owned()),
            event_type: Some("y".to_owned()),
        };
        assert_eq!(object(line, 7), Ok(Some(entry)));
        assert_eq!(
            object(br#"{"base64":"/wA=","event_id":null}"#, 1)
                .map(|entry| entry.map(|entry| entry.text)),
            Ok(Some(vec![0xff, 0]))
        );
    }

    #[test]
    fn lines_of_sub_are_accepted() {
        let line = br#"{"id":3,"channel":"c","text":"t","tag":1,"time":"T",
            "eventid":"i","eventtype":"y"}"#;
        let entry = InputMessage {
            number: 7,
            channel: Some("c".to_owned()),
            text: b"t".to_vec(),
            event_id: Some("i".to_owned()),
            event_type: Some("y".to_owned()),
        };
        assert_eq!(object(line, 7), Ok(Some(entry)));
        for line in [
            r#"{"id":-3,"channel":"c","text":"3 messages were missed","missed":3}"#,
            r#"{"deleted":true,"channel":"c","text":"Channel deleted"}"#,
        ] {
            assert_eq!(object(line.as_bytes(), 1), Ok(None), "{line}");
        }
    }

    #[test]
    fn invalid_objects_are_reported_with_their_field() {
        for (line, mention) in [
            ("{", "column 1"),
            ("[]", "not a JSON object"),
            (r#"{"txt":"x"}"#, "'txt'"),
            (r#"{"text":1}"#, "'text'"),
            (r#"{"base64":"*"}"#, "'base64'"),
            (r#"{"channel":"a"}"#, "missing"),
            (r#"{"text":"a","base64":"YQ=="}"#, "both"),
            (r#"{"text":""}"#, "empty"),
        ] {
            let error = object(line.as_bytes(), 1).expect_err(line);
            assert!(error.contains(mention), "{line}: {error}");
        }
    }
}
