//! `backlog`: subscribers that start with all stored messages; CPU per replayed message.

use anyhow::Result;
use clap::Args;

use super::attach_storm::{path_with_backlog, wait_until_all_left};
use crate::context::{COLUMNS, Context, PATIENCE, Sample};
use crate::load::{Load, Mode, Pace, Plan, Until};
use crate::report::Table;
use crate::server::Setup;

/// Options of `backlog`.
#[derive(Args, Debug)]
pub struct Options {
    /// Stored messages
    #[arg(long, default_value_t = 10_000)]
    stored: u64,
    /// Subscribers that connect together
    #[arg(long, default_value_t = 10)]
    subs: usize,
    /// Replays per measurement
    #[arg(long, default_value_t = 2)]
    waves: u32,
    /// Size of a message in bytes
    #[arg(long, default_value_t = 100)]
    size: usize,
}

/// Runs the bench.
///
/// # Errors
/// When a server does not start, or backlogs are not complete.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    Context::pin_load();
    let Options {
        stored,
        subs,
        waves,
        size,
    } = *options;
    let title = format!(
        "backlog: CPU per replayed message, {subs} subscribers at a time, {stored} \
                         stored messages of {size} bytes"
    );
    let mut table = Table::new(&title, &COLUMNS);
    let mut setup = Setup {
        nchan_stored: usize::try_from(stored)?,
        ..context.setup()
    };
    setup
        .arguments
        .extend(["--max-stored-messages".to_owned(), stored.to_string()]);
    let cases: Vec<_> = [Mode::Sse, Mode::Ws]
        .map(|mode| (mode.name().to_owned(), mode))
        .into();
    context.compare(&mut table, &setup, &cases, |server, &mode| {
        let modes = vec![(mode, path_with_backlog(server.kind, mode, stored))];
        let plan = Plan {
            subscribers: 0,
            size,
            modes,
            backlog: stored,
            ..Plan::new(server, mode)
        };
        let mut load = Load::new(plan)?;
        load.publish(Until::Messages(stored), Pace::Window(1), PATIENCE)?;
        load.plan_mut().subscribers = subs;
        let before = server.cpu();
        let mut seconds = 0.0;
        let mut faults = String::new();
        for _ in 0..waves {
            seconds += load.open_with_backlog(PATIENCE)?.as_secs_f64();
            faults = load.tally.faults();
            load.close_subscribers();
            wait_until_all_left(server)?;
        }
        let messages = (stored * subs as u64 * u64::from(waves)) as f64;
        let cpu = server.cpu().saturating_sub(before).as_secs_f64();
        Ok(Sample {
            cpu_us: cpu * 1e6 / messages,
            per_second: messages / seconds,
            p99_ms: f64::NAN,
            faults,
        })
    })?;
    table.finish(context)
}
