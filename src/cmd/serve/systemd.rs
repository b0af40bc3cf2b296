//! systemd: sockets that it opens for us, and telling it how we are. Without it nothing happens
//! here.

use std::convert::Infallible;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};

use crate::server::{Command, InheritedSocket, ServedCounts, Server};

/// Number of the first descriptor that is passed.
const FIRST_DESCRIPTOR: usize = 3;

/// The listening sockets that were passed (`LISTEN_FDS`, `LISTEN_PID`); others are told and left
/// alone. To be called before there are threads.
pub(super) fn passed_sockets() -> Vec<InheritedSocket> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut descriptors = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..descriptors.len() {
        let name = names
            .next()
            .filter(|name| !name.is_empty())
            .unwrap_or("unknown");
        let passed = match descriptors.take_tcp_listener(at) {
            Ok(Some(socket)) => InheritedSocket::tcp(socket),
            _ => match descriptors.take_unix_listener(at) {
                Ok(Some(socket)) => InheritedSocket::unix(socket),
                Ok(None) => continue,
                Err(error) => Err(error.into()),
            },
        };
        match passed {
            Ok(socket) => sockets.push(socket),
            Err(error) => tracing::warn!(
                "descriptor {} ({name}) that was passed is not used: {error}",
                FIRST_DESCRIPTOR + at
            ),
        }
    }
    sockets
}

/// Tells which of them the server has no use for.
pub(super) fn report_unused(server: &Server) {
    for passed in server.unused_sockets() {
        tracing::warn!(
            "the socket of {} that was passed is not used: no \"listen\" has this address",
            passed.address()
        );
    }
}

/// We serve.
pub(super) fn ready(counts: &ServedCounts) {
    notify(&[
        NotifyState::Ready,
        NotifyState::Status(&format!("serving {counts}")),
    ]);
}

/// We read the configuration anew.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot ask for the time"),
    }
}

/// That is done, or came to nothing.
pub(super) fn reloaded(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// We end.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("ending")]);
}

/// Says that we are alive as often as is wanted (`WATCHDOG_USEC`), as long as every shard is.
pub(super) async fn keep_watchdog(orders: mpsc::Sender<Command>) -> Infallible {
    let Some(time) = sd_notify::watchdog_enabled().filter(|time| *time > Duration::ZERO) else {
        return std::future::pending().await;
    };
    // As systemd advises: half of the time.
    let mut ticks = tokio::time::interval((time / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (answer, wait) = oneshot::channel();
        if orders.send(Command::Probe(answer)).await.is_ok() && wait.await.is_ok() {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager (NOTIFY_SOCKET)");
    }
}
