//! `attach-storm`: all subscribers connect at once, with and without a backlog; connections per
//! second, CPU per attachment.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use crate::context::{COLUMNS, Context, PATIENCE, Sample};
use crate::http;
use crate::load::{Load, Mode, Pace, Plan, Until};
use crate::report::Table;
use crate::server::{Kind, Server};

/// Options of `attach-storm`.
#[derive(Args, Debug)]
pub struct Options {
    /// Subscribers that connect at once
    #[arg(long, default_value_t = 5000)]
    subs: usize,
    /// Storms per measurement
    #[arg(long, default_value_t = 2)]
    waves: u32,
    /// Backlog of each subscriber in the rows with a backlog
    #[arg(long, default_value_t = 20)]
    backlog: u64,
}

/// Runs the bench.
///
/// # Errors
/// Returns an error if a server does not start, rejects subscribers, or does not send complete
/// backlogs.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    Context::pin_load();
    let Options {
        subs,
        waves,
        backlog,
    } = *options;
    let title = format!(
        "attach-storm: CPU per attachment (connect, subscribe, leave), {waves} \
                         waves of {subs} subscribers"
    );
    let mut table = Table::new(&title, &COLUMNS);
    let mut cases = Vec::new();
    for backlog in [0, backlog] {
        let with = if backlog > 0 {
            format!("with {backlog} stored messages")
        } else {
            "without backlog".to_owned()
        };
        cases.extend(
            [Mode::Sse, Mode::Ws].map(|mode| (format!("{}, {with}", mode.name()), (mode, backlog))),
        );
    }
    context.compare(
        &mut table,
        &context.setup(),
        &cases,
        |server, &(mode, backlog)| storm(server, mode, backlog, subs, waves),
    )?;
    table.finish(context)
}

fn storm(server: &Server, mode: Mode, backlog: u64, subs: usize, waves: u32) -> Result<Sample> {
    let mut plan = Plan {
        subscribers: subs,
        backlog,
        ..Plan::new(server, mode)
    };
    if backlog > 0 {
        plan.modes = vec![(mode, path_with_backlog(server.kind, mode, backlog))];
    }
    let mut load = Load::new(Plan {
        subscribers: 0,
        ..plan.clone()
    })?;
    // At least one message, so that the channel exists when they connect.
    load.publish(Until::Messages(backlog.max(1)), Pace::Window(1), PATIENCE)?;
    load.plan_mut().subscribers = subs;
    let before = server.cpu();
    let mut wall = Duration::ZERO;
    let mut faults = String::new();
    for _ in 0..waves {
        wall += load.open_with_backlog(PATIENCE)?;
        faults = load.tally.faults();
        load.close_subscribers();
        wait_until_all_left(server)?;
    }
    let attachments = subs as f64 * f64::from(waves);
    let cpu = server.cpu().saturating_sub(before);
    let cpu_us = cpu.as_secs_f64() * 1e6 / attachments;
    Ok(Sample {
        cpu_us,
        per_second: attachments / wall.as_secs_f64(),
        p99_ms: f64::NAN,
        faults,
    })
}

/// A location with a backlog.
pub(super) fn path_with_backlog(kind: Kind, mode: Mode, backlog: u64) -> String {
    match kind {
        Kind::Nchan => "/old/{ch}".to_owned(),
        Kind::Pushctl => format!("{}.b{backlog}", mode.path(kind)),
    }
}

/// Waits until the server has no subscriber of the channel.
pub(super) fn wait_until_all_left(server: &Server) -> Result<()> {
    let path = match server.kind {
        Kind::Pushctl => "/channels-stats?id=ch0",
        Kind::Nchan => "/pub?id=ch0",
    };
    let start = Instant::now();
    loop {
        let body = http::request(
            server.address,
            "GET",
            path,
            "Accept: application/json\r\n",
            b"",
        )?
        .body;
        let rest = body
            .split("\"subscribers\":")
            .nth(1)
            .unwrap_or_default()
            .trim_start();
        if rest.starts_with("0") {
            return Ok(());
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "subscribers are left after {PATIENCE:?}: {body}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
