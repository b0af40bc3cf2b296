//! `publish`: messages to a channel without subscribers; CPU per publish.

use anyhow::Result;
use clap::Args;

use super::fanout::measure;
use crate::context::{COLUMNS, Context};
use crate::load::{Load, Mode, Pace, Plan, Until};
use crate::report::Table;

/// Options of `publish`.
#[derive(Args, Debug)]
pub struct Options {
    /// Messages of each measurement
    #[arg(long, default_value_t = 30_000)]
    msgs: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Publishers, one row for each number
    #[arg(long, default_value = "1,32", value_delimiter = ',')]
    publishers: Vec<usize>,
}

/// Runs the bench.
///
/// # Errors
/// When a server does not start or answer.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    Context::pin_load();
    let Options { msgs, size, .. } = *options;
    let mut table = Table::new(
        &format!(
            "publish: CPU per message without subscribers, {msgs} \
                                         messages of {size} bytes"
        ),
        &COLUMNS,
    );
    let cases: Vec<_> = options
        .publishers
        .iter()
        .map(|&publishers| (format!("kept connections: {publishers}"), publishers))
        .collect();
    context.compare(
        &mut table,
        &context.setup(),
        &cases,
        |server, &publishers| {
            let mut load = Load::new(Plan {
                subscribers: 0,
                size,
                publishers,
                ..Plan::new(server, Mode::Sse)
            })?;
            measure(
                server,
                &mut load,
                Until::Messages(msgs),
                Pace::Window(u64::MAX),
            )
        },
    )?;
    table.note("p99 is the latency of a publish: from sending it to its response");
    table.finish(context)
}
