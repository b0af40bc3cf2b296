//! `many-channels`: as many channels as subscribers, published to in turn; CPU per message.

use anyhow::Result;
use clap::Args;

use super::fanout::{SETTLE, measure};
use crate::context::{COLUMNS, Context, PATIENCE};
use crate::load::{Load, Mode, Pace, Plan, Until};
use crate::report::Table;

/// Options of `many-channels`.
#[derive(Args, Debug)]
pub struct Options {
    /// Channels, with one subscriber each
    #[arg(long, default_value_t = 10_000)]
    channels: usize,
    /// Messages of each measurement
    #[arg(long, default_value_t = 50_000)]
    msgs: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Publishers, one row for each number
    #[arg(long, default_value = "1,8", value_delimiter = ',')]
    publishers: Vec<usize>,
}

/// Runs the bench.
///
/// # Errors
/// When a server does not start or deliver.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    Context::pin_load();
    let Options {
        channels,
        msgs,
        size,
        ..
    } = *options;
    let title = format!(
        "many-channels: CPU per message, {channels} channels with one subscriber \
                         each, {msgs} messages of {size} bytes"
    );
    let mut table = Table::new(&title, &COLUMNS);
    let mut cases = Vec::new();
    for &publishers in &options.publishers {
        cases.extend([Mode::Sse, Mode::Ws].map(|mode| {
            (
                format!("{}, {publishers} publisher(s)", mode.name()),
                (mode, publishers),
            )
        }));
    }
    context.compare(
        &mut table,
        &context.setup(),
        &cases,
        |server, &(mode, publishers)| {
            let plan = Plan {
                subscribers: channels,
                channels,
                size,
                publishers,
                ..Plan::new(server, mode)
            };
            let mut load = Load::new(plan)?;
            load.open(PATIENCE)?;
            load.idle(SETTLE)?;
            measure(
                server,
                &mut load,
                Until::Messages(msgs),
                Pace::Window(4 * publishers as u64),
            )
        },
    )?;
    table.finish(context)
}
