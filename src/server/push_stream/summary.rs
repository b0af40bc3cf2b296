//! The summary body of statistics locations (push-stream.md, section 6), exact in fields, order and
//! spacing.

use std::io::Write;

use super::info::XML_DECLARATION;
use crate::message::unix_now;
use crate::server::broker::BrokerSummary;
use crate::server::endpoint::notation::Notation;
use crate::server::exchange::iso_time::iso_time;
use crate::server::observe::hostname::hostname;

/// A shard in the statistics, in the place of nginx's worker processes.
#[derive(Clone, Copy, Debug)]
pub struct Worker {
    /// Id of its thread.
    pub pid: u32,
    /// Number of its subscriber connections.
    pub subscribers: u64,
    /// Seconds since it started.
    pub uptime: u64,
}

/// The body for the whole server, with the details of the summary or exactly as in the module.
#[must_use]
pub fn summary_body(
    notation: Notation,
    summary: &BrokerSummary,
    workers: &[Worker],
    with_details: bool,
) -> Vec<u8> {
    let subscribers: u64 = workers.iter().map(|worker| worker.subscribers).sum();
    let mut fields = vec![
        ("channels", summary.channels),
        ("wildcard_channels", summary.wildcard_channels),
        ("published_messages", summary.published),
        ("stored_messages", summary.stored),
        ("messages_in_trash", summary.messages_in_trash),
        ("channels_in_delete", summary.channels_in_delete),
        ("channels_in_trash", summary.channels_in_trash),
        ("subscribers", subscribers),
        ("uptime", summary.uptime.as_secs()),
    ];
    if with_details {
        fields.extend_from_slice(&summary.details);
    }
    let host = hostname();
    let time = iso_time(unix_now());
    let mut out = Vec::with_capacity(512);
    // Writing to a Vec cannot fail.
    drop(match notation {
        Notation::Json => json(&mut out, host, &time, &fields, workers),
        Notation::Plain => lines(&mut out, host, &time, "", &fields)
            .and_then(|()| plain_workers(&mut out, workers)),
        Notation::Yaml => lines(&mut out, host, &time, "  ", &fields)
            .and_then(|()| yaml_workers(&mut out, workers)),
        Notation::Xml => xml(&mut out, host, &time, &fields, workers),
    });
    out
}

type Fields = [(&'static str, u64)];

fn json(
    out: &mut Vec<u8>,
    host: &str,
    time: &str,
    fields: &Fields,
    workers: &[Worker],
) -> std::io::Result<()> {
    write!(out, "{{\"hostname\": \"{host}\", \"time\": \"{time}\"")?;
    for (name, value) in fields {
        write!(out, ", \"{name}\": {value}")?;
    }
    write!(out, ", \"by_worker\": [\r\n")?;
    for (
        index,
        Worker {
            pid,
            subscribers,
            uptime,
        },
    ) in workers.iter().enumerate()
    {
        let end = separator(index, workers);
        write!(
            out,
            "{{\"pid\": \"{pid}\", \"subscribers\": {subscribers}, \"uptime\": {uptime}}}{end}"
        )?;
    }
    write!(out, "]}}\r\n")
}

fn lines(
    out: &mut Vec<u8>,
    host: &str,
    time: &str,
    indent: &str,
    fields: &Fields,
) -> std::io::Result<()> {
    write!(out, "{indent}hostname: {host}\r\n{indent}time: {time}\r\n")?;
    for (name, value) in fields {
        write!(out, "{indent}{name}: {value}\r\n")?;
    }
    write!(out, "{indent}by_worker:\r\n")
}

/// The end of a worker's entry: with a comma, but for the last one.
fn separator(index: usize, workers: &[Worker]) -> &'static str {
    if index + 1 == workers.len() {
        "\r\n"
    } else {
        ",\r\n"
    }
}

fn plain_workers(out: &mut Vec<u8>, workers: &[Worker]) -> std::io::Result<()> {
    for (
        index,
        Worker {
            pid,
            subscribers,
            uptime,
        },
    ) in workers.iter().enumerate()
    {
        let end = separator(index, workers);
        write!(
            out,
            "  pid: {pid}\r\n  subscribers: {subscribers}\r\n  uptime: {uptime}{end}"
        )?;
    }
    Ok(())
}

fn yaml_workers(out: &mut Vec<u8>, workers: &[Worker]) -> std::io::Result<()> {
    for Worker {
        pid,
        subscribers,
        uptime,
    } in workers
    {
        write!(
            out,
            "   -\r\n    pid: {pid}\r\n    subscribers: {subscribers}\r\n    uptime: {uptime}\r\n"
        )?;
    }
    Ok(())
}

fn xml(
    out: &mut Vec<u8>,
    host: &str,
    time: &str,
    fields: &Fields,
    workers: &[Worker],
) -> std::io::Result<()> {
    out.extend_from_slice(XML_DECLARATION);
    write!(
        out,
        "<infos>\r\n  <hostname>{host}</hostname>\r\n  <time>{time}</time>\r\n"
    )?;
    for (name, value) in fields {
        write!(out, "  <{name}>{value}</{name}>\r\n")?;
    }
    write!(out, "  <by_worker>")?;
    for Worker {
        pid,
        subscribers,
        uptime,
    } in workers
    {
        write!(
            out,
            "<worker>\r\n  <pid>{pid}</pid>\r\n  <subscribers>{subscribers}</subscribers>\r\n  \
             <uptime>{uptime}</uptime>\r\n</worker>\r\n"
        )?;
    }
    write!(out, "</by_worker>\r\n</infos>\r\n")
}
