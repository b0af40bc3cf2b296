//! The server's own log: stderr, or where `error_log` says; its files are opened anew when they are
//! moved away.
//!
//! Events are few: life cycle and faults, nothing per delivered message, so that lines are written
//! by whoever has them.

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

use super::config::logs::{ErrorLog, LogTarget};
use super::syslog::SyslogSender;

/// The level without `error_log`, and when nothing else is asked for.
pub const DEFAULT_LEVEL: LevelFilter = LevelFilter::INFO;

/// Where lines go; none = to stderr.
static OUTPUTS: Mutex<Vec<(LogOutput, LevelFilter)>> = Mutex::new(Vec::new());
/// Sets the level; there when the log has begun.
static LEVEL: OnceLock<(reload::Handle<LevelFilter, Registry>, Option<LevelFilter>)> =
    OnceLock::new();

enum LogOutput {
    Stderr,
    File(PathBuf, File),
    Syslog(SyslogSender),
}

/// Begins to log on stderr; a `level` that is given holds whatever `error_log` says. To be called
/// once.
pub fn init(level: Option<LevelFilter>) {
    let (filter, handle) = reload::Layer::new(level.unwrap_or(DEFAULT_LEVEL));
    let lines = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(LogLines)
        .with_target(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    let _ = LEVEL.set((handle, level));
}

/// Goes on with these logs. What cannot be opened is told, and stderr takes its place.
pub fn apply(logs: &[ErrorLog]) {
    let Some((handle, forced)) = LEVEL.get() else {
        return;
    };
    let mut outputs = Vec::new();
    let mut failures = Vec::new();
    for log in logs {
        let level = forced.unwrap_or(log.level);
        let output = match &log.target {
            LogTarget::Stderr => LogOutput::Stderr,
            LogTarget::Syslog(syslog) => LogOutput::Syslog(SyslogSender::new(syslog.clone())),
            LogTarget::File(path) => match open(path) {
                Ok(file) => LogOutput::File(path.clone(), file),
                Err(error) => {
                    failures.push((path.clone(), error));
                    LogOutput::Stderr
                }
            },
        };
        let is_second_stderr = matches!(output, LogOutput::Stderr)
            && outputs
                .iter()
                .any(|(other, _)| matches!(other, LogOutput::Stderr));
        if !is_second_stderr {
            outputs.push((output, level));
        }
    }
    for (path, error) in failures {
        tracing::warn!(%error, path = %path.display(), "cannot open the error log: stderr takes \
                                                        its place");
    }
    let most = outputs
        .iter()
        .map(|(_, level)| *level)
        .max()
        .or(*forced)
        .unwrap_or(DEFAULT_LEVEL);
    *OUTPUTS.lock() = outputs;
    // It fails only when there is no log any more.
    let _ = handle.reload(most);
}

/// Opens the files anew: they were moved away.
pub fn reopen() {
    for (output, _) in OUTPUTS.lock().iter_mut() {
        if let LogOutput::File(path, file) = output {
            match open(path) {
                Ok(new) => *file = new,
                // The old one still takes lines.
                Err(error) => to_stderr(
                    format!("cannot open the error log {}: {error}\n", path.display()).as_bytes(),
                ),
            }
        }
    }
}

/// Opens a log to be written on at its end. A pipe that nobody reads is an error instead of a wait.
pub(super) fn open(path: &Path) -> io::Result<File> {
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
    // Nobody may be reading.
    let _ = io::stderr().lock().write_all(line);
}

/// Makes a [`LogLine`] for each event.
struct LogLines;

/// Takes the text of an event.
struct LogLine(Level);

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(Level::INFO)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> LogLine {
        LogLine(*meta.level())
    }
}

impl Write for LogLine {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut outputs = OUTPUTS.lock();
        if outputs.is_empty() {
            to_stderr(text);
        }
        for (output, _) in outputs.iter_mut().filter(|(_, level)| self.0 <= *level) {
            let (written, name) = match output {
                LogOutput::Stderr => {
                    to_stderr(text);
                    continue;
                }
                LogOutput::File(path, file) => (file.write_all(text), path.display().to_string()),
                LogOutput::Syslog(sender) => (
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

/// The severity of RFC 3164.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
