//! `fanout` and `long-poll`: one channel, many subscribers; CPU per delivery, compared with `send`
//! alone.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::context::{COLUMNS, Context, PATIENCE, Sample};
use crate::floor;
use crate::load::{Load, Mode, Pace, Plan, Until};
use crate::report::Table;
use crate::server::Server;

/// Options of `fanout` and `long-poll`.
#[derive(Args, Debug)]
pub struct Options {
    /// Subscribers of the channel
    #[arg(long, default_value_t = 1000)]
    subs: usize,
    /// Messages of each measurement
    #[arg(long, default_value_t = 300)]
    msgs: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Publishers, one row for each number
    #[arg(long, default_value = "1,8", value_delimiter = ',')]
    publishers: Vec<usize>,
}

/// Time for subscriptions in flight.
pub(super) const SETTLE: Duration = Duration::from_millis(300);

/// Runs the bench with these modes.
///
/// # Errors
/// When a server does not start or does not deliver.
pub fn run(context: &Context, options: &Options, title: &str, modes: &[Mode]) -> Result<()> {
    Context::pin_load();
    let Options {
        subs, msgs, size, ..
    } = *options;
    let mut table = Table::new(
        &format!(
            "{title}: CPU per delivery, {subs} subscribers, {msgs} \
                                         messages of {size} bytes"
        ),
        &COLUMNS,
    );
    let mut cases = Vec::new();
    for &publishers in &options.publishers {
        let name = |mode: &Mode| {
            format!(
                "{}, {publishers} publisher{}",
                mode.name(),
                if publishers == 1 { "" } else { "s" }
            )
        };
        cases.extend(modes.iter().map(|mode| (name(mode), (*mode, publishers))));
    }
    context.compare(
        &mut table,
        &context.setup(),
        &cases,
        |server, &(mode, publishers)| {
            let plan = Plan {
                subscribers: subs,
                size,
                publishers,
                ..Plan::new(server, mode)
            };
            let mut load = Load::new(plan)?;
            load.open(PATIENCE)?;
            load.idle(SETTLE)?;
            measure(server, &mut load, Until::Messages(msgs), Pace::Window(8))
        },
    )?;
    for together in [1, 8] {
        let floor = floor::measure(subs, msgs, size + 100, together)?;
        table.note(format!(
            "floor: a loop of `send` with {together} message(s) of {} bytes per call: {floor:.2} \
             us per delivery",
            size + 100
        ));
    }
    table.finish(context)
}

/// Publishes, and divides the server's CPU time by the number of deliveries.
pub(super) fn measure(
    server: &Server,
    load: &mut Load,
    until: Until,
    pace: Pace,
) -> Result<Sample> {
    let before = server.cpu();
    load.publish(until, pace, PATIENCE)?;
    let cpu = server.cpu().saturating_sub(before);
    let tally = &load.tally;
    let count = if tally.expected > 0 {
        tally.delivered
    } else {
        tally.acknowledged
    };
    Ok(Sample {
        cpu_us: cpu.as_secs_f64() * 1e6 / count.max(1) as f64,
        per_second: count as f64 / tally.wall.as_secs_f64(),
        p99_ms: if tally.expected > 0 {
            tally.latency_ms(0.99)
        } else {
            tally.publish_ms(0.99)
        },
        faults: tally.faults(),
    })
}
