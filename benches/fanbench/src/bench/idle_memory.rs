//! `idle-memory`: memory per idle subscriber, of the server and, as far as visible, of the kernel.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::context::{Context, PATIENCE};
use crate::load::{Load, Mode, Plan};
use crate::proc::Kernel;
use crate::report::{Table, number};
use crate::server::{Kind, Server};

/// Options of `idle-memory`.
#[derive(Args, Debug)]
pub struct Options {
    /// Subscribers
    #[arg(long, default_value_t = 5000)]
    subs: usize,
}

/// Runs the bench.
///
/// # Errors
/// When a server does not start or refuses subscribers.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    Context::pin_load();
    let subs = options.subs;
    let title = format!(
        "idle-memory: KiB per idle subscriber, {subs} subscribers of one channel, \
                         fresh servers"
    );
    let columns = [
        "",
        "server",
        "private",
        "RSS",
        "kernel: slab",
        "kernel: TCP buffers",
    ];
    let mut table = Table::new(&title, &columns);
    for mode in [Mode::Stream, Mode::Sse, Mode::Ws, Mode::Lp] {
        for kind in context.kinds() {
            if kind == Kind::Nchan && mode == Mode::Stream {
                continue;
            }
            let server = Server::start(kind, &context.setup())?;
            let mut load = Load::new(Plan {
                subscribers: subs,
                ..Plan::new(&server, mode)
            })?;
            load.idle(Duration::from_millis(100))?;
            let before = server.reading();
            let kernel_before = Kernel::read();
            load.open(PATIENCE)?;
            load.idle(Duration::from_millis(500))?;
            let after = server.reading();
            let kernel_after = Kernel::read();
            let each =
                |before: u64, after: u64| number((after as f64 - before as f64) / subs as f64, 2);
            table.row(vec![
                mode.name().to_owned(),
                kind.name().to_owned(),
                each(before.private_kib, after.private_kib),
                each(before.rss_kib, after.rss_kib),
                each(kernel_before.slab_kib, kernel_after.slab_kib),
                each(kernel_before.tcp_buffers_kib, kernel_after.tcp_buffers_kib),
            ]);
        }
    }
    table.note(
        "the kernel's figures are those of the whole machine and of both ends of each \
                connection",
    );
    table.finish(context)
}
