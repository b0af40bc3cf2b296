//! `batch`: many messages in one request (NDJSON), compared with one message per request; CPU per
//! message.

use anyhow::Result;
use clap::Args;

use super::fanout::measure;
use crate::context::{COLUMNS, Context};
use crate::http;
use crate::load::{Load, Mode, Pace, Plan, Until};
use crate::report::Table;
use crate::server::{Kind, Server};

/// Options of `batch`.
#[derive(Args, Debug)]
pub struct Options {
    /// Messages per measurement
    #[arg(long, default_value_t = 50_000)]
    msgs: u64,
    /// Size of a message in bytes
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Messages per request, one row for each number
    #[arg(long, default_value = "10,100,1000", value_delimiter = ',')]
    batch: Vec<usize>,
    /// Channels of the messages
    #[arg(long, default_value_t = 10)]
    channels: usize,
}

/// Runs the bench, unless the server does not support batches.
///
/// # Errors
/// When a server does not start or answer.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    Context::pin_load();
    let Options {
        msgs,
        size,
        channels,
        ..
    } = *options;
    if let Err(answer) = probe(context)? {
        eprintln!("batch: skipped, this pushctl does not support NDJSON batches ({answer})");
        return Ok(());
    }
    let mut table = Table::new(
        &format!(
            "batch: CPU per message, {msgs} messages of {size} bytes \
                                         to {channels} channels"
        ),
        &COLUMNS,
    );
    let mut cases = vec![("one message per request, 8 connections".to_owned(), 0)];
    cases.extend(options.batch.iter().map(|&batch| {
        (
            format!(
                "{batch} messages per request, 1 \
        connection"
            ),
            batch,
        )
    }));
    context.compare(&mut table, &context.setup(), &cases, |server, &batch| {
        // nchan accepts one message per request: its cost is the same in every row.
        let batch = if server.kind == Kind::Nchan { 0 } else { batch };
        let publishers = if batch == 0 { 8 } else { 1 };
        let mut plan = Plan {
            subscribers: 0,
            size,
            publishers,
            channels,
            batch,
            ..Plan::new(server, Mode::Sse)
        };
        if batch > 0 {
            plan.publish_path = "/pub".to_owned();
        }
        measure(
            server,
            &mut Load::new(plan)?,
            Until::Messages(msgs),
            Pace::Window(u64::MAX),
        )
    })?;
    table.note(
        "nchan has no batches: one message per request in every row; p99 is that of a \
                request",
    );
    table.finish(context)
}

/// Publishes a small batch; returns an error if the response is not that of a batch.
fn probe(context: &Context) -> Result<Result<(), String>> {
    let server = Server::start(Kind::Pushctl, &context.setup())?;
    let body = b"{\"channel\":\"probe\",\"text\":\"1\"}\n{\"channel\":\"probe\",\"text\":\"2\"}\n";
    let answer = http::request(
        server.address,
        "POST",
        "/pub",
        "Content-Type: \
        application/x-ndjson\r\n",
        body,
    )?;
    let published = serde_json::from_str::<serde_json::Value>(&answer.body)
        .ok()
        .and_then(|value| value.get("published")?.as_u64());
    Ok(if answer.status == 200 && published == Some(2) {
        Ok(())
    } else {
        Err(format!("{} {}", answer.status, answer.body))
    })
}
