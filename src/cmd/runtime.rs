//! Running a client command: its runtime, and the signals that end it.

use std::future::Future;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::Code;

/// Runs a client command on one thread.
pub(super) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // An error means that a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(command);
    // Does not wait for a name lookup in progress.
    runtime.shutdown_background();
    result
}

/// Runs a command that needs no cleanup, until it is done or interrupted.
pub(super) async fn interruptible(
    command: impl Future<Output = anyhow::Result<Code>>,
) -> anyhow::Result<Code> {
    tokio::select! {
        result = command => result,
        result = interrupted() => result.map(|()| Code::Interrupted),
    }
}

/// Returns on SIGINT, SIGTERM or SIGHUP (closed terminal).
///
/// # Errors
/// When the handlers cannot be installed.
pub(super) async fn interrupted() -> anyhow::Result<()> {
    let listen = |kind| signal(kind).context("cannot wait for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
