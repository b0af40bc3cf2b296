//! `hold`: very many idle subscribers of mixed modes on one server; then one message for all; then
//! all disconnect at once. Fails if a subscriber receives nothing or takes too much memory, or the
//! memory is not returned.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use super::attach_storm::wait_until_all_left;
use crate::context::{Context, PATIENCE};
use crate::load::{Load, Mode, Pace, Plan, Until};
use crate::proc::{Kernel, Reading};
use crate::report::{Table, number};
use crate::server::{Kind, Server};

/// Options of `hold`.
#[derive(Args, Debug)]
pub struct Options {
    /// Subscribers; each needs a descriptor here and one in the server
    #[arg(long, default_value_t = 18_000)]
    subs: usize,
    /// Seconds before the message
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Maximum KiB of the server's memory per subscriber
    #[arg(long, value_name = "KIB", default_value_t = 2.5)]
    max_kib: f64,
    /// Maximum KiB (RSS) per subscriber after all have disconnected
    #[arg(long, value_name = "KIB", default_value_t = 0.5)]
    max_left_kib: f64,
}

/// Runs the bench.
///
/// # Errors
/// Returns an error if a condition fails.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let Options {
        subs,
        seconds,
        max_kib,
        max_left_kib,
    } = *options;
    Context::pin_load();
    let server = Server::start(Kind::Pushctl, &context.setup())?;
    let modes = [Mode::Stream, Mode::Sse, Mode::Ws, Mode::Lp]
        .map(|mode| (mode, mode.path(server.kind).to_owned()));
    let mut load = Load::new(Plan {
        subscribers: subs,
        modes: modes.into(),
        ..Plan::new(&server, Mode::Stream)
    })?;
    load.idle(Duration::from_millis(200))?;
    let mut steps = vec![("before", server.reading(), Kernel::read())];
    let opened = load.open(PATIENCE)?;
    load.idle(Duration::from_secs(seconds))?;
    steps.push(("held", server.reading(), Kernel::read()));
    load.publish(Until::Messages(1), Pace::Window(1), PATIENCE)?;
    let reached = load.tally.delivered;
    let took = load.tally.wall;
    let faults = load.tally.faults();
    load.idle(Duration::from_secs(1))?;
    steps.push(("after one message", server.reading(), Kernel::read()));
    load.close_subscribers();
    wait_until_all_left(&server)?;
    let left = settle(&server, &steps[0].1, max_left_kib * subs as f64);
    steps.push(("all gone", left, Kernel::read()));

    let per_sub = |kib: u64| kib as f64 / subs as f64;
    let mut table = Table::new(
        &format!(
            "hold: {subs} idle subscribers (streaming, EventSource, \
                                         WebSocket, long-polling)"
        ),
        &COLUMNS,
    );
    for (name, reading, kernel) in &steps {
        table.row(row(name, reading, kernel));
    }
    let start = steps[0].1;
    let held = [
        steps[1].1.private_kib - start.private_kib,
        steps[1].1.rss_kib - start.rss_kib,
    ]
    .map(per_sub);
    let kernel = per_sub(steps[1].2.slab_kib.saturating_sub(steps[0].2.slab_kib));
    table.note(format!(
        "per subscriber: {:.2} KiB private, {:.2} KiB RSS; kernel slab, both ends: \
                        {kernel:.2} KiB",
        held[0], held[1]
    ));
    table.note(format!(
        "opened in {:.2} s; one message reached {reached} in {:.0} \
                        ms",
        opened.as_secs_f64(),
        took.as_secs_f64() * 1e3
    ));
    let left_kib = per_sub(left.rss_kib.saturating_sub(start.rss_kib));
    table.note(format!(
        "left after all have gone: {left_kib:.2} KiB RSS per subscriber that was \
                        there"
    ));
    table.finish(context)?;
    ensure!(
        reached == subs as u64 && faults.is_empty(),
        "one message reached {reached} of {subs}: \
                                                          {faults}"
    );
    ensure!(
        held[0] <= max_kib,
        "a subscriber takes {:.2} KiB of private memory, at most {max_kib} \
                                 KiB are allowed",
        held[0]
    );
    ensure!(
        left_kib <= max_left_kib,
        "{left_kib:.2} KiB per subscriber are left, at most \
                                       {max_left_kib} KiB are allowed"
    );
    println!("ok");
    Ok(())
}

const COLUMNS: [&str; 7] = [
    "",
    "private MiB",
    "RSS MiB",
    "descriptors",
    "kernel: slab MiB",
    "kernel: TCP buffers MiB",
    "CPU s",
];

fn row(name: &str, reading: &Reading, kernel: &Kernel) -> Vec<String> {
    let mib = |kib: u64| number(kib as f64 / 1024.0, 1);
    vec![
        name.to_owned(),
        mib(reading.private_kib),
        mib(reading.rss_kib),
        reading.descriptors.to_string(),
        mib(kernel.slab_kib),
        mib(kernel.tcp_buffers_kib),
        number(reading.cpu().as_secs_f64(), 2),
    ]
}

/// Waits until the memory is close to that at the start, for at most half a minute.
fn settle(server: &Server, before: &Reading, most_kib: f64) -> Reading {
    let start = Instant::now();
    loop {
        let reading = server.reading();
        let left = reading.rss_kib.saturating_sub(before.rss_kib) as f64;
        if left <= most_kib / 2.0 || start.elapsed() > Duration::from_secs(30) {
            return reading;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
