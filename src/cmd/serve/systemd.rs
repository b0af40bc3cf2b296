//! systemd: socket activation and notifications. Does nothing without systemd.

use std::convert::Infallible;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};

use crate::server::{Command, InheritedSocket, ServedCounts, Server};

/// Number of the first inherited descriptor.
const FIRST_DESCRIPTOR: usize = 3;

/// Inherited listening sockets (`LISTEN_FDS`, `LISTEN_PID`); other descriptors are logged and left
/// open. Must be called before there are threads.
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
                "inherited descriptor {} ({name}) is not used: {error}",
                FIRST_DESCRIPTOR + at
            ),
        }
    }
    sockets
}

/// Logs inherited sockets that the server does not use.
pub(super) fn report_unused(server: &Server) {
    for passed in server.unused_sockets() {
        tracing::warn!(
            "the inherited socket of {} is not used: no \"listen\" has this address",
            passed.address()
        );
    }
}

/// Reports that the server is ready.
pub(super) fn ready(counts: &ServedCounts) {
    notify(&[
        NotifyState::Ready,
        NotifyState::Status(&format!("serving {counts}")),
    ]);
}

/// Reports the start of a reload.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot get the monotonic time"),
    }
}

/// Reports the end of a reload, with its outcome.
pub(super) fn reloaded(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that the server is stopping.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Feeds the watchdog (`WATCHDOG_USEC`) while every shard responds.
pub(super) async fn keep_watchdog(commands: mpsc::Sender<Command>) -> Infallible {
    let Some(time) = sd_notify::watchdog_enabled().filter(|time| *time > Duration::ZERO) else {
        return std::future::pending().await;
    };
    // sd_watchdog_enabled(3) recommends half of the interval.
    let mut ticks = tokio::time::interval((time / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (sender, response) = oneshot::channel();
        if commands.send(Command::Probe(sender)).await.is_ok() && response.await.is_ok() {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager (NOTIFY_SOCKET)");
    }
}
