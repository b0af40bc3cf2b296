//! `slow-consumers`: many subscribers, some of which never read, at a steady rate. Fails if the
//! others lose a message, if their latency is more than twice that without the slow ones, or if the
//! memory grows after a warm-up.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use crate::context::{Context, PATIENCE};
use crate::load::{Load, Mode, Pace, Plan, Tally, Until};
use crate::proc::Reading;
use crate::report::{Table, number};
use crate::server::{Kind, Server, Setup};

/// Options of `slow-consumers`.
#[derive(Args, Debug)]
pub struct Options {
    /// Subscribers
    #[arg(long, default_value_t = 1000)]
    subs: usize,
    /// How many of them never read; a disconnected one connects again
    #[arg(long, default_value_t = 100)]
    stuck: usize,
    /// Messages per second
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Bytes of a message
    #[arg(long, default_value_t = 1000)]
    size: usize,
    /// Seconds of publishing, after a fifth of it without the slow ones
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Seconds after which memory must not grow; half of --seconds by default
    #[arg(long)]
    warm_up: Option<u64>,
    /// Most MiB that RSS may grow after the warm-up
    #[arg(long, value_name = "MIB", default_value_t = 2.0)]
    max_growth_mib: f64,
    /// Delivery mode
    #[arg(long, default_value = "sse")]
    mode: Mode,
}

/// The result of a run: counts, and the server's state per second.
struct Run {
    tally: Tally,
    readings: Vec<Reading>,
}

/// Runs the bench.
///
/// # Errors
/// Returns an error if a condition fails.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    Context::pin_load();
    let mut setup = context.setup();
    // Few stored messages, so that the log is full early and the memory is that of the slow ones.
    if !context.common.serve.contains("--max-stored-messages") {
        setup
            .arguments
            .extend(["--max-stored-messages".to_owned(), "1000".to_owned()]);
    }
    let readers = options.subs - options.stuck;
    let quiet = run_one(
        &setup,
        options,
        readers,
        0,
        Duration::from_secs((options.seconds / 5).max(10)),
    )?;
    let loaded = run_one(
        &setup,
        options,
        options.subs,
        options.stuck,
        Duration::from_secs(options.seconds),
    )?;

    let title = format!(
        "slow-consumers: {} of {} subscribers never read, {} messages of {} bytes per second",
        options.stuck, options.subs, options.rate, options.size
    );
    let mut table = Table::new(
        &title,
        &[
            "",
            "seconds",
            "delivered",
            "faults",
            "p50 ms",
            "p99 ms",
            "max ms",
            "CPU us/delivery",
            "dropped",
        ],
    );
    table.row(row("without them", &quiet));
    table.row(row("with them", &loaded));
    let warm_up = usize::try_from(options.warm_up.unwrap_or(options.seconds / 2))?;
    let (warm, end) = growth(&loaded.readings, warm_up);
    table.note(format!(
        "RSS after {warm_up} s: {warm:.1} MiB, at the end: {end:.1} MiB (means of a \
                        tenth of the time after the warm-up)"
    ));
    let peak = loaded
        .readings
        .iter()
        .map(|reading| reading.rss_kib)
        .max()
        .unwrap_or(0);
    table.note(format!(
        "most RSS at any time: {:.1} MiB",
        peak as f64 / 1024.0
    ));
    table.finish(context)?;
    for run in [&quiet, &loaded] {
        ensure!(
            run.tally.faults().is_empty(),
            "the {readers} that read did not get everything: \
                                                {}",
            run.tally.faults()
        );
    }
    let before = quiet.tally.latency_ms(0.99);
    let with = loaded.tally.latency_ms(0.99);
    ensure!(
        with <= before * 2.0,
        "p99 is {with:.2} ms, without the slow ones {before:.2} ms"
    );
    let most = options.max_growth_mib;
    ensure!(
        end - warm <= most,
        "RSS grew from {warm:.1} to {end:.1} MiB after the warm-up, at \
                                 most {most} MiB are allowed"
    );
    println!("ok");
    Ok(())
}

fn run_one(
    setup: &Setup,
    options: &Options,
    subs: usize,
    stuck: usize,
    time: Duration,
) -> Result<Run> {
    let server = Server::start(Kind::Pushctl, setup)?;
    let plan = Plan {
        subscribers: subs,
        stuck,
        size: options.size,
        publishers: 8,
        ..Plan::new(&server, options.mode)
    };
    let mut load = Load::new(plan)?;
    load.open(PATIENCE)?;
    load.idle(Duration::from_millis(500))?;
    let watch = Watch::start(&server);
    load.publish(Until::Elapsed(time), Pace::Rate(options.rate), PATIENCE)?;
    let readings = watch.end();
    Ok(Run {
        tally: load.tally.clone(),
        readings,
    })
}

fn row(name: &str, run: &Run) -> Vec<String> {
    let Run { tally, readings } = run;
    let cpu = readings
        .last()
        .zip(readings.first())
        .map_or(Duration::ZERO, |(last, first)| {
            last.cpu().saturating_sub(first.cpu())
        });
    let faults = tally.faults();
    vec![
        name.to_owned(),
        number(tally.wall.as_secs_f64(), 0),
        tally.delivered.to_string(),
        if faults.is_empty() {
            "none".to_owned()
        } else {
            faults
        },
        number(tally.latency_ms(0.5), 2),
        number(tally.latency_ms(0.99), 2),
        number(tally.latency.max() as f64 / 1e3, 1),
        number(cpu.as_secs_f64() * 1e6 / tally.delivered.max(1) as f64, 2),
        tally.returned.to_string(),
    ]
}

/// Mean RSS in MiB right after the warm-up, and at the end.
fn growth(readings: &[Reading], warm_up: usize) -> (f64, f64) {
    let after = &readings[warm_up.min(readings.len().saturating_sub(1))..];
    let window = (after.len() / 10).max(1).min(after.len());
    let mean = |readings: &[Reading]| {
        readings
            .iter()
            .map(|reading| reading.rss_kib as f64 / 1024.0)
            .sum::<f64>()
            / readings.len().max(1) as f64
    };
    (mean(&after[..window]), mean(&after[after.len() - window..]))
}

/// Records the server's state every second on a separate thread.
struct Watch {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Vec<Reading>>,
}

impl Watch {
    fn start(server: &Server) -> Self {
        let pid = server.pid();
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let mut readings = vec![Reading::of(pid)];
            loop {
                let next =
                    Duration::from_secs(readings.len() as u64).saturating_sub(start.elapsed());
                if stopped.recv_timeout(next) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return readings;
                }
                readings.push(Reading::of(pid));
            }
        });
        Self { stop, thread }
    }

    fn end(self) -> Vec<Reading> {
        drop(self.stop);
        self.thread.join().expect("the watch does not panic")
    }
}
