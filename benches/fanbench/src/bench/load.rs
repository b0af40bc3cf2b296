//! `load`: one load for a running server, with its costs on one line. `benches/compare` consists of
//! these.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::load::{Load, Mode, Pace, Plan, Until};
use crate::proc::Reading;

/// Options of `load`.
#[derive(Args, Debug)]
pub struct Options {
    /// Port of the server on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Path of the subscriber location
    #[arg(long, default_value = "/sub/{ch}")]
    sub: String,
    /// Path of the publisher location
    #[arg(long = "pub", default_value = "/pub?id={ch}")]
    publish: String,
    /// Delivery mode
    #[arg(long, default_value = "stream")]
    mode: Mode,
    /// Subscribers
    #[arg(long, default_value_t = 1000)]
    subs: usize,
    /// Channels
    #[arg(long, default_value_t = 1)]
    channels: usize,
    /// Messages
    #[arg(long, default_value_t = 100)]
    msgs: u64,
    /// Size of a message in bytes
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Messages in flight (closed loop)
    #[arg(long, default_value_t = 8)]
    window: u64,
    /// Messages per second (open loop) instead of --window
    #[arg(long)]
    rate: Option<f64>,
    /// Publishers, each with one request in flight
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    /// Process of the server, for its CPU time and memory; its children are included
    #[arg(long)]
    pid: Option<u32>,
    /// Label of the line
    #[arg(long, default_value = "")]
    label: String,
    /// A header line for all requests
    #[arg(long, value_name = "NAME: VALUE")]
    header: Option<String>,
    /// Milliseconds between the last subscription and the first message
    #[arg(long, default_value_t = 300)]
    settle: u64,
    /// Time-out in seconds
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

/// Runs the load.
///
/// # Errors
/// Returns an error if subscribers are rejected, or not everything is delivered in time.
pub fn run(options: &Options) -> Result<()> {
    let reading = || options.pid.map(Reading::of).unwrap_or_default();
    let timeout = Duration::from_secs(options.timeout);
    let idle = reading();
    let mut load = Load::new(plan(options))?;
    let open = load.open(timeout)?;
    load.idle(Duration::from_millis(options.settle))?;
    let before = reading();
    let pace = options
        .rate
        .map_or(Pace::Window(options.window), Pace::Rate);
    let result = load.publish(Until::Messages(options.msgs), pace, timeout);
    let after = reading();
    print(options, &load, open, &[idle, before, after]);
    if let Err(error) = result {
        bail!("timed out: {error}");
    }
    Ok(())
}

fn plan(options: &Options) -> Plan {
    Plan {
        address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, options.port),
        modes: vec![(options.mode, options.sub.clone())],
        publish_path: options.publish.clone(),
        headers: options
            .header
            .as_ref()
            .map(|line| format!("{line}\r\n"))
            .unwrap_or_default(),
        channel: "ch".to_owned(),
        subscribers: options.subs,
        stuck: 0,
        channels: options.channels,
        publishers: options.publishers,
        size: options.size,
        batch: 0,
        backlog: 0,
    }
}

fn print(options: &Options, load: &Load, open: Duration, [idle, before, after]: &[Reading; 3]) {
    let Options {
        label,
        mode,
        subs,
        channels,
        msgs,
        size,
        ..
    } = options;
    let tally = &load.tally;
    let wall = tally.wall.as_secs_f64();
    let (count, what) = if *subs == 0 {
        (tally.acknowledged, "publish")
    } else {
        (tally.delivered, "delivery")
    };
    let [user, system] =
        [after.user - before.user, after.system - before.system].map(|time| time.as_secs_f64());
    let cpu = user + system;
    let mib = |kib: u64| kib as f64 / 1024.0;
    let head = format!("{label:<22} {mode:?} subs={subs} ch={channels} msgs={msgs} size={size}");
    let rates = format!(
        "wall {wall:.2}s deliveries {} ({:.0}/s) publishes {:.0}/s",
        tally.delivered,
        tally.delivered as f64 / wall,
        tally.acknowledged as f64 / wall
    );
    let cost = format!(
        "server cpu {cpu:.2}s (u {user:.2} s {system:.2}) = {:.2} \
                        us/{what}",
        cpu * 1e6 / count.max(1) as f64
    );
    let memory = format!(
        "mem idle {:.1} MiB, +{:.2} KiB/sub, loaded {:.1} MiB",
        mib(idle.pss_kib),
        (before.pss_kib as f64 - idle.pss_kib as f64) / (*subs).max(1) as f64,
        mib(after.pss_kib)
    );
    let latency = format!(
        "p50 {:.2} p99 {:.2} p999 {:.2} max {:.2} ms | pub p50 {:.3} p99 {:.3} ms",
        tally.latency_ms(0.5),
        tally.latency_ms(0.99),
        tally.latency_ms(0.999),
        tally.latency.max() as f64 / 1e3,
        tally.publish_ms(0.5),
        tally.publish_ms(0.99)
    );
    let faults = format!(
        "lost {} closed {} bad {} puberr {} bytes/deliv {:.0}",
        tally.expected.saturating_sub(tally.delivered),
        tally.closed,
        tally.refused + tally.faults.lost + tally.faults.repeated,
        tally.publish_errors,
        tally.bytes as f64 / tally.delivered.max(1) as f64
    );
    println!(
        "{head} | {rates} | {cost} | {memory} | open {:.2}s | {latency} | \
              {faults}",
        open.as_secs_f64()
    );
}
