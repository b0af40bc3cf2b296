//! The error log: stderr, or the targets of `error_log`. Files are reopened after log rotation.
//!
//! Events are rare (life cycle and faults, nothing per delivered message), so the thread that logs
//! an event also writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::Mutex;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use super::syslog::SyslogSender;
use crate::server::config::model::logs::{ErrorLog, LogTarget};

/// Level of the log unless `error_log` or an option sets another one.
pub const DEFAULT_LEVEL: LevelFilter = LevelFilter::INFO;

/// Targets of log lines with their levels; empty = stderr.
static OUTPUTS: Mutex<Vec<(ErrorOutput, LevelFilter)>> = Mutex::new(Vec::new());
/// Handle to change the level, and the level that overrides `error_log`; set by [`init`].
static LEVEL: OnceLock<(reload::Handle<LevelFilter, Registry>, Option<LevelFilter>)> =
    OnceLock::new();

enum ErrorOutput {
    Stderr,
    File(PathBuf, File),
    Syslog(SyslogSender),
}

/// Starts logging to stderr. A given `level` overrides those of `error_log`. Called once.
pub fn init(level: Option<LevelFilter>) {
    let (filter, handle) = reload::Layer::new(level.unwrap_or(DEFAULT_LEVEL));
    let lines = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(EventLines)
        .with_target(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    let _ = LEVEL.set((handle, level));
}

/// Replaces the targets of the log. A file that cannot be opened is logged and replaced by stderr.
pub fn apply(logs: &[ErrorLog]) {
    let Some((handle, forced)) = LEVEL.get() else {
        return;
    };
    let mut outputs = Vec::new();
    let mut failures = Vec::new();
    for log in logs {
        let level = forced.unwrap_or(log.level);
        let output = match &log.target {
            LogTarget::Stderr => ErrorOutput::Stderr,
            LogTarget::Syslog(syslog) => ErrorOutput::Syslog(SyslogSender::new(syslog.clone())),
            LogTarget::File(path) => match open(path) {
                Ok(file) => ErrorOutput::File(path.clone(), file),
                Err(error) => {
                    failures.push((path.clone(), error));
                    ErrorOutput::Stderr
                }
            },
        };
        let is_second_stderr = matches!(output, ErrorOutput::Stderr)
            && outputs
                .iter()
                .any(|(other, _)| matches!(other, ErrorOutput::Stderr));
        if !is_second_stderr {
            outputs.push((output, level));
        }
    }
    for (path, error) in failures {
        tracing::warn!(
            %error,
            path = %path.display(),
            "cannot open the error log: using stderr instead"
        );
    }
    let highest_level = outputs
        .iter()
        .map(|(_, level)| *level)
        .max()
        .or(*forced)
        .unwrap_or(DEFAULT_LEVEL);
    *OUTPUTS.lock() = outputs;
    // Fails only if the subscriber was dropped.
    let _ = handle.reload(highest_level);
}

/// Reopens the files of the log, after they were moved by log rotation.
pub fn reopen() {
    for (output, _) in OUTPUTS.lock().iter_mut() {
        if let ErrorOutput::File(path, file) = output {
            match open(path) {
                Ok(new) => *file = new,
                // The old file is still open and continues to receive lines.
                Err(error) => to_stderr(
                    format!("cannot open the error log {}: {error}\n", path.display()).as_bytes(),
                ),
            }
        }
    }
}

/// Opens a log file for appending. A pipe without a reader is an error; opening it does not block.
///
/// # Errors
/// When the file cannot be opened or created.
pub(in crate::server) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

fn to_stderr(line: &[u8]) {
    // stderr may be a closed pipe.
    let _ = io::stderr().lock().write_all(line);
}

/// Creates a [`EventLine`] for each event.
struct EventLines;

/// Writes the text of an event of this level to all targets.
struct EventLine(Level);

impl<'a> MakeWriter<'a> for EventLines {
    type Writer = EventLine;

    fn make_writer(&'a self) -> EventLine {
        EventLine(Level::INFO)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> EventLine {
        EventLine(*meta.level())
    }
}

impl Write for EventLine {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut outputs = OUTPUTS.lock();
        if outputs.is_empty() {
            to_stderr(text);
        }
        for (output, _) in outputs.iter_mut().filter(|(_, level)| self.0 <= *level) {
            let (written, name) = match output {
                ErrorOutput::Stderr => {
                    to_stderr(text);
                    continue;
                }
                ErrorOutput::File(path, file) => (file.write_all(text), path.display().to_string()),
                ErrorOutput::Syslog(sender) => (
                    sender.send(severity(self.0), text.trim_ascii_end()),
                    "syslog".to_owned(),
                ),
            };
            if let Err(error) = written {
                to_stderr(format!("cannot write to the error log ({name}): {error}\n").as_bytes());
                to_stderr(text);
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Severity of RFC 3164, section 4.1.1.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
