//! `fairness`: one channel with very many subscribers is published to continuously; the latency of
//! a publish and of a delivery on another channel of the same shard, compared with an idle server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;

use crate::context::{Context, PATIENCE};
use crate::load::{Load, Mode, Pace, Plan, Tally, Until};
use crate::report::{Table, median, number};
use crate::server::{Kind, Server};

/// Options of `fairness`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Subscribers of the busy channel
    #[arg(long, default_value_t = 10_000)]
    subs: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Messages per second on the other channel
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Fail if the delivery on the other channel is slower than on the idle server by this much
    /// (p99, milliseconds)
    #[arg(long, value_name = "MS")]
    max_p99: Option<f64>,
}

/// Runs the bench.
///
/// Returns an error if a server does not start or deliver, or the other channel is slower than
/// allowed.
/// When a server does not start or deliver; or the other channel is slower than allowed.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    Context::pin_load();
    let Options { subs, rate, .. } = *options;
    let title = format!(
        "fairness: ms on another channel while {subs} followers of one channel are \
                         published to continuously, one shard"
    );
    let columns = [
        "",
        "publish p50 quiet",
        "busy",
        "ratio",
        "delivery p50 quiet",
        "busy",
        "ratio",
        "delivery p99 quiet",
        "busy",
        "ratio",
        "busy/s",
    ];
    let mut table = Table::new(&title, &columns);
    let mut setup = context.setup();
    setup
        .arguments
        .extend(["--shards".to_owned(), "1".to_owned()]);
    let mut ours = Vec::new();
    for kind in context.kinds() {
        let mut rounds = Vec::new();
        for _ in 0..context.common.rounds {
            let server = Server::start(kind, &setup)?;
            rounds.push(measure(&server, options)?);
        }
        let of = |nth: usize| median(&rounds.iter().map(|round| round[nth]).collect::<Vec<_>>());
        let mut cells = vec![kind.name().to_owned()];
        for pair in [0, 2, 4] {
            cells.extend([
                number(of(pair), 2),
                number(of(pair + 1), 2),
                number(of(pair + 1) / of(pair), 1),
            ]);
        }
        cells.push(number(of(6), 0));
        table.row(cells);
        if kind == Kind::Pushctl {
            ours = vec![of(4), of(5)];
        }
    }
    table.note(format!(
        "the other channel: {rate} messages per second, one subscriber; busy/s: \
                        deliveries on the busy channel"
    ));
    table.finish(context)?;
    match options.max_p99 {
        Some(most) if ours[1] > ours[0] + most => Err(anyhow!(
            "delivery p99 is {:.2} ms, {:.2} ms \
            on the quiet server",
            ours[1],
            ours[0]
        )),
        _ => Ok(()),
    }
}

/// Publish p50, delivery p50 and p99, each idle and busy; then deliveries per second on the busy
/// channel.
fn measure(server: &Server, options: &Options) -> Result<[f64; 7]> {
    let quiet = probe(server, options)?;
    let stop = Arc::new(AtomicBool::new(false));
    let plan = Plan {
        subscribers: options.subs,
        channel: "busy".to_owned(),
        publishers: 2,
        ..Plan::new(server, Mode::Sse)
    };
    let (opened, is_open) = mpsc::channel();
    let flooding = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || flood(plan, &opened, &stop))
    };
    // If it failed, its error is reported below.
    let began = is_open.recv();
    thread::sleep(Duration::from_millis(500));
    let busy = if began.is_ok() {
        probe(server, options)
    } else {
        Ok(Tally::default())
    };
    stop.store(true, Ordering::Relaxed);
    let (delivered, seconds) = flooding
        .join()
        .map_err(|_| anyhow!("the flood panicked"))??;
    let busy = busy?;
    let per_second = delivered as f64 / seconds;
    Ok([
        quiet.publish_ms(0.5),
        busy.publish_ms(0.5),
        quiet.latency_ms(0.5),
        busy.latency_ms(0.5),
        quiet.latency_ms(0.99),
        busy.latency_ms(0.99),
        per_second,
    ])
}

/// Publishes to the busy channel until stopped; returns deliveries and seconds.
fn flood(plan: Plan, opened: &mpsc::Sender<()>, stop: &AtomicBool) -> Result<(u64, f64)> {
    // On the core of the probe, which must not wait for this thread.
    let _ = rustix::process::nice(19);
    let mut load = Load::new(plan)?;
    load.open(PATIENCE)?;
    opened.send(())?;
    let mut delivered = 0;
    let mut seconds = 0.0;
    while !stop.load(Ordering::Relaxed) {
        load.publish(
            Until::Elapsed(Duration::from_millis(500)),
            Pace::Window(4),
            PATIENCE,
        )?;
        delivered += load.tally.delivered;
        seconds += load.tally.wall.as_secs_f64();
    }
    Ok((delivered, seconds))
}

fn probe(server: &Server, options: &Options) -> Result<Tally> {
    let plan = Plan {
        subscribers: 1,
        channel: "probe".to_owned(),
        publishers: 4,
        ..Plan::new(server, Mode::Sse)
    };
    let mut load = Load::new(plan)?;
    load.open(PATIENCE)?;
    load.idle(Duration::from_millis(100))?;
    load.publish(
        Until::Elapsed(Duration::from_secs(options.seconds)),
        Pace::Rate(options.rate),
        PATIENCE,
    )?;
    Ok(load.tally.clone())
}
