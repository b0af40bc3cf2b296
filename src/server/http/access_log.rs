//! Logs of requests (`access_log`): lines are made on the shard and written by a thread of their
//! own.
//!
//! The queue to that thread holds [`MAX_QUEUED`] lines and [`MAX_QUEUED_BYTES`]. When it is full,
//! because a disk is slow, lines are dropped and counted, and the count is logged: a log never
//! makes a client wait. A subscription is one line, when it ends; nothing is logged per message.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::server::config::web::AccessLog;
use crate::server::config::{Config, Location, LogTarget, WebSettings};
use crate::server::error_log;
use crate::server::syslog::SyslogSender;

/// Lines that wait to be written.
const MAX_QUEUED: usize = 16 * 1024;
/// Their bytes; requests decide how long they are.
const MAX_QUEUED_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of the head of an answer that are kept for its entry.
pub(super) const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Longest wait for the thread at the end of the server.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// What the thread is told.
enum LogCommand {
    Line(Arc<AccessLog>, Vec<u8>),
    /// Write everything, then open the files anew.
    Reopen,
    /// Write everything, then answer.
    Flush(SyncSender<()>),
}

/// The thread, if there is one.
static WRITER: OnceLock<SyncSender<LogCommand>> = OnceLock::new();
/// Bytes of the lines that wait.
static QUEUED_BYTES: AtomicUsize = AtomicUsize::new(0);
/// Lines that found no place in the queue.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Hands a line to the thread, or drops it.
pub(super) fn enqueue(log: Arc<AccessLog>, line: Vec<u8>) {
    let bytes = line.len();
    let has_room = QUEUED_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_QUEUED_BYTES;
    if !has_room || writer().try_send(LogCommand::Line(log, line)).is_err() {
        QUEUED_BYTES.fetch_sub(bytes, Ordering::Relaxed);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn writer() -> &'static SyncSender<LogCommand> {
    WRITER.get_or_init(|| {
        let (sender, orders) = sync_channel(MAX_QUEUED);
        let started = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&orders));
        if let Err(error) = started {
            tracing::error!(%error, "cannot start the thread of the access log: requests are not \
                                     logged");
        }
        sender
    })
}

/// Opens the files of logs anew: they were moved away.
pub fn reopen() {
    crate::server::error_log::reopen();
    if let Some(writer) = WRITER.get() {
        // A queue that is full now is written first; the next signal will do.
        drop(writer.try_send(LogCommand::Reopen));
    }
}

/// Waits until what was logged so far is written, though not for ever.
pub(in crate::server) fn flush() {
    let Some(writer) = WRITER.get() else { return };
    let (done, wait) = sync_channel(1);
    if writer.try_send(LogCommand::Flush(done)).is_ok() {
        let _ = wait.recv_timeout(FLUSH_TIME);
    }
}

/// Where a log is written to.
enum Output {
    File(BufWriter<File>),
    Syslog(SyslogSender),
}

/// What is open; `None` = it cannot be opened, which was said.
type Files = HashMap<LogTarget, Option<Output>>;

fn write_all(orders: &Receiver<LogCommand>) {
    let mut files = Files::new();
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                flush_all(&mut files);
                match orders.recv() {
                    Ok(order) => order,
                    Err(_) => return,
                }
            }
        };
        match order {
            LogCommand::Line(log, line) => {
                QUEUED_BYTES.fetch_sub(line.len(), Ordering::Relaxed);
                let output = files
                    .entry(log.target.clone())
                    .or_insert_with(|| open(&log.target));
                match output {
                    Some(Output::File(file)) => {
                        if let Err(error) = file.write_all(&line) {
                            tracing::error!(%error, log = name(&log.target), "cannot write to the access log");
                            *output = None;
                        }
                    }
                    Some(Output::Syslog(sender)) => {
                        if let Err(error) =
                            sender.send(severity(&log.target), line.trim_ascii_end())
                        {
                            tracing::error!(%error, log = name(&log.target), "cannot write to the access log");
                        }
                    }
                    None => {}
                }
            }
            LogCommand::Reopen => {
                flush_all(&mut files);
                files.clear();
            }
            LogCommand::Flush(done) => {
                flush_all(&mut files);
                // Nobody may be waiting any more.
                let _ = done.try_send(());
            }
        }
    }
}

fn open(target: &LogTarget) -> Option<Output> {
    let path: &Path = match target {
        LogTarget::Syslog(syslog) => {
            return Some(Output::Syslog(SyslogSender::new(Arc::clone(syslog))));
        }
        LogTarget::File(path) => path,
        LogTarget::Stderr => Path::new("/dev/stderr"),
    };
    let opened = error_log::open(path).inspect_err(|error| {
        tracing::error!(%error, path = %path.display(), "cannot open the access log: requests are \
                                                         not logged there until USR1 or a reload \
                                                         finds it mended");
    });
    opened.ok().map(|file| Output::File(BufWriter::new(file)))
}

/// Opens the files of all logs of a configuration once, as nginx does at its start, so that they
/// are there and whoever cannot have them is told before the first request.
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
        .for_each(|target| drop(open(target)));
}

/// The severity of a log's lines, of a syslog.
fn severity(target: &LogTarget) -> u8 {
    if let LogTarget::Syslog(syslog) = target {
        syslog.severity
    } else {
        0
    }
}

fn name(target: &LogTarget) -> String {
    match target {
        LogTarget::File(path) => path.display().to_string(),
        LogTarget::Syslog(_) => "syslog".to_owned(),
        LogTarget::Stderr => "stderr".to_owned(),
    }
}

fn flush_all(files: &mut Files) {
    for (target, output) in files.iter_mut() {
        let Some(Output::File(file)) = output else {
            continue;
        };
        if let Err(error) = file.flush() {
            tracing::error!(%error, log = name(target), "cannot write to the access log");
            *output = None;
        }
    }
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        tracing::warn!(
            lines = dropped,
            "the access log was too slow: lines are missing"
        );
    }
}
