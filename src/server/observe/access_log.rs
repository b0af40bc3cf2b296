//! Access logs (`access_log`): lines are formatted on the shard and written by a separate thread.
//!
//! The queue to that thread is limited to [`MAX_QUEUED`] lines and [`MAX_QUEUED_BYTES`]. When it is
//! full, because a disk is slow, lines are dropped and their number is logged: no client waits for
//! a log. A subscription is one line, written when it ends; nothing is logged per message.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::error_log;
use super::syslog::SyslogSender;
use crate::server::config::model::logs::AccessLog;
use crate::server::config::{Config, Location, LogTarget, WebSettings};

/// Most lines in the queue.
const MAX_QUEUED: usize = 16 * 1024;
/// Most bytes in the queue; requests determine the length of lines.
const MAX_QUEUED_BYTES: usize = 8 * 1024 * 1024;
/// Most bytes of a response head that are kept for its entry.
pub(in crate::server) const MAX_HEADER_BYTES: usize = 16 * 1024;
/// After lines were written, the thread collects further ones for this long before it waits to be
/// woken: waking it for each line costs more than the line.
const COLLECTING_TIME: Duration = Duration::from_millis(1);
/// Longest wait for the thread when the server stops.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// A command for the thread.
enum LogCommand {
    Line(Arc<AccessLog>, Vec<u8>),
    /// Write everything, then reopen the files.
    Reopen,
    /// Write everything, then reply.
    Flush(SyncSender<()>),
}

/// Queue of the thread, if it runs.
static WRITER: OnceLock<SyncSender<LogCommand>> = OnceLock::new();
/// Bytes in the queue.
static QUEUED_BYTES: AtomicUsize = AtomicUsize::new(0);
/// Lines dropped because the queue was full.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Queues a line, or drops it.
pub(in crate::server) fn enqueue(log: Arc<AccessLog>, line: Vec<u8>) {
    let bytes = line.len();
    let has_room = QUEUED_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_QUEUED_BYTES;
    if !has_room || writer().try_send(LogCommand::Line(log, line)).is_err() {
        QUEUED_BYTES.fetch_sub(bytes, Ordering::Relaxed);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn writer() -> &'static SyncSender<LogCommand> {
    WRITER.get_or_init(|| {
        let (sender, commands) = sync_channel(MAX_QUEUED);
        let started = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || run_writer(&commands));
        if let Err(error) = started {
            tracing::error!(%error, "cannot start the access log thread, requests are not \
                                     logged");
        }
        sender
    })
}

/// Reopens the log files, after they were moved (SIGUSR1).
pub fn reopen() {
    super::error_log::reopen();
    if let Some(writer) = WRITER.get() {
        // Fails only if the queue is full; the next signal retries.
        drop(writer.try_send(LogCommand::Reopen));
    }
}

/// Waits until the queued lines are written, for at most [`FLUSH_TIME`].
pub(in crate::server) fn flush() {
    let Some(writer) = WRITER.get() else { return };
    let (done, wait) = sync_channel(1);
    if writer.try_send(LogCommand::Flush(done)).is_ok() {
        let _ = wait.recv_timeout(FLUSH_TIME);
    }
}

/// An open log.
enum AccessOutput {
    File(BufWriter<File>),
    Syslog(SyslogSender),
}

/// Open logs; `None` if a log cannot be opened, which was logged.
type OpenOutputs = HashMap<LogTarget, Option<AccessOutput>>;

fn run_writer(commands: &Receiver<LogCommand>) {
    let mut files = OpenOutputs::new();
    let mut has_written = false;
    loop {
        let command = match commands.try_recv() {
            Ok(command) => command,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                flush_all(&mut files);
                if std::mem::take(&mut has_written) {
                    std::thread::sleep(COLLECTING_TIME);
                    continue;
                }
                match commands.recv() {
                    Ok(command) => command,
                    Err(_) => return,
                }
            }
        };
        match command {
            LogCommand::Line(log, line) => {
                has_written = true;
                QUEUED_BYTES.fetch_sub(line.len(), Ordering::Relaxed);
                write_line(&mut files, &log.target, &line);
            }
            LogCommand::Reopen => {
                flush_all(&mut files);
                files.clear();
            }
            LogCommand::Flush(done) => {
                flush_all(&mut files);
                // The caller may have stopped waiting.
                let _ = done.try_send(());
            }
        }
    }
}

/// Writes a line to its log, which is opened if necessary. A file with an error is not used again
/// until the logs are reopened.
fn write_line(files: &mut OpenOutputs, target: &LogTarget, line: &[u8]) {
    if !files.contains_key(target) {
        files.insert(target.clone(), open_output(target));
    }
    let Some(output) = files.get_mut(target) else {
        return;
    };
    let written = match output {
        Some(AccessOutput::File(file)) => file.write_all(line),
        Some(AccessOutput::Syslog(sender)) => sender.send(severity(target), line.trim_ascii_end()),
        None => Ok(()),
    };
    if let Err(error) = written {
        tracing::error!(%error, log = target_name(target), "cannot write to the access log");
        if matches!(output, Some(AccessOutput::File(_))) {
            *output = None;
        }
    }
}

fn open_output(target: &LogTarget) -> Option<AccessOutput> {
    let path: &Path = match target {
        LogTarget::Syslog(syslog) => {
            return Some(AccessOutput::Syslog(SyslogSender::new(Arc::clone(syslog))));
        }
        LogTarget::File(path) => path,
        LogTarget::Stderr => Path::new("/dev/stderr"),
    };
    let opened = error_log::open(path).inspect_err(|error| {
        tracing::error!(%error, path = %path.display(), "cannot open the access log, retrying \
                                                         at the next SIGUSR1 or reload");
    });
    opened
        .ok()
        .map(|file| AccessOutput::File(BufWriter::new(file)))
}

/// Opens the files of all logs of a configuration once, as nginx does at its start: they exist
/// before the first request, and errors are logged early.
pub(in crate::server) fn try_all(config: &Config) {
    fn add<'a>(
        targets: &mut HashSet<&'a LogTarget>,
        web: &'a WebSettings,
        locations: &'a [Location],
    ) {
        targets.extend(web.access_logs.iter().map(|log| &log.target));
        for location in locations {
            add(targets, &location.settings.web, &location.nested);
        }
    }
    let servers = config.servers();
    let mut targets = HashSet::new();
    servers
        .iter()
        .for_each(|server| add(&mut targets, &server.settings.web, &server.locations));
    targets
        .into_iter()
        .filter(|target| matches!(target, LogTarget::File(_)))
        .for_each(|target| drop(open_output(target)));
}

/// Severity of the lines of a syslog; 0 for other targets.
fn severity(target: &LogTarget) -> u8 {
    if let LogTarget::Syslog(syslog) = target {
        syslog.severity
    } else {
        0
    }
}

fn target_name(target: &LogTarget) -> String {
    match target {
        LogTarget::File(path) => path.display().to_string(),
        LogTarget::Syslog(_) => "syslog".to_owned(),
        LogTarget::Stderr => "stderr".to_owned(),
    }
}

fn flush_all(files: &mut OpenOutputs) {
    for (target, output) in files.iter_mut() {
        let Some(AccessOutput::File(file)) = output else {
            continue;
        };
        if let Err(error) = file.flush() {
            tracing::error!(%error, log = target_name(target), "cannot write to the access log");
            *output = None;
        }
    }
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        tracing::warn!(
            lines = dropped,
            "the access log is too slow, lines were dropped"
        );
    }
}
