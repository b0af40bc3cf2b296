//! `pushctl serve`: runs a broker until a signal stops it.

mod access;
mod args;
mod channels;
mod connections;
mod front;
mod hooks;
mod listen;
mod loading;
mod memory;
mod ready_file;
mod reload;
mod signals;
mod start;
mod systemd;
mod values;

use anyhow::Context;
use tokio::sync::mpsc;

use ready_file::ReadyFile;
use reload::Controller;
use signals::Signals;
use start::{announce, follow_parent, raise_descriptor_limit, warn_without_endpoints};

use super::exit::Usage;
use crate::server::config::Config;
use crate::server::observe::panics;
use crate::server::{InheritedSocket, Server};

pub use args::Args;

/// Runs a broker until a signal stops it.
///
/// # Errors
/// When the configuration is invalid or the server cannot listen on an address.
pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::server::observe::error_log::init(args.log_level);
    // Before there are threads and further descriptors.
    let passed = systemd::passed_sockets();
    if let Some(parent) = args.parent {
        follow_parent(parent)?;
    }
    let mut config = args.load()?;
    crate::server::apply_process_settings(&config);
    args.apply(&mut config).map_err(Usage)?;
    if args.file().is_none() && args.listen.is_empty() && !passed.is_empty() {
        config.listen_on(passed.iter().map(|passed| passed.address().clone()));
    }
    panics::log_panics();
    raise_descriptor_limit(
        config.limits.max_connections,
        args.limits.max_connections.is_some(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(args, config, passed));
    // Does not wait for a blocked read, for example on a disk that hangs.
    runtime.shutdown_background();
    ended
}

/// Listens, announces the addresses, and serves until a signal stops the server.
async fn serve(args: &Args, config: Config, passed: Vec<InheritedSocket>) -> anyhow::Result<()> {
    let is_builtin = args.file().is_none();
    let has_endpoints = config.servers().iter().any(|server| server.has_endpoints());
    // Before the addresses are announced: from then on a signal must stop the server in order.
    let signals = Signals::new()?;
    let server = Server::bind(config, passed)?;
    systemd::report_unused(&server);
    let addresses = server
        .addresses()
        .context("cannot get the listening address")?;
    let ready_file = args
        .ready_file
        .as_deref()
        .map(|path| ReadyFile::write(path, &addresses))
        .transpose()?;
    announce(&addresses, is_builtin.then(|| args.access.hints()));
    warn_without_endpoints(has_endpoints);
    if is_builtin {
        args.access.log_warnings(&addresses);
    }
    tracing::info!("serving {}", server.served_counts());
    systemd::ready(&server.served_counts());
    let (commands, queue) = mpsc::channel(MAX_QUEUED_COMMANDS);
    let mut controller = Controller {
        args,
        commands: commands.clone(),
        ready_file,
    };
    tokio::select! {
        ended = server.run(queue) => Ok(ended?),
        never = controller.run(signals) => match never {},
        never = systemd::keep_watchdog(commands) => match never {},
    }
}

/// Maximum number of commands in the queue to the server.
const MAX_QUEUED_COMMANDS: usize = 4;
