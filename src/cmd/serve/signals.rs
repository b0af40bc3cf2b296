//! The signals of `serve` and the requests that they stand for.

use std::io::IsTerminal;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::server::StopKind;

/// Handlers of the signals.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    /// Whether stdin, stdout and stderr were terminals at the start.
    terminals: [bool; 3],
}

/// Request of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalRequest {
    Stop(StopKind),
    Reload,
    ReopenLogs,
}

impl Signals {
    /// Installs the handlers.
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            quit: listen(SignalKind::quit())?,
            hangup: listen(SignalKind::hangup())?,
            user1: listen(SignalKind::user_defined1())?,
            terminals: terminals(),
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.hangup.recv() => self.hung_up(),
            _ = self.user1.recv() => SignalRequest::ReopenLogs,
            _ = self.interrupt.recv() => SignalRequest::Stop(StopKind::WithinGrace),
            _ = self.terminate.recv() => SignalRequest::Stop(StopKind::WithinGrace),
            _ = self.quit.recv() => SignalRequest::Stop(StopKind::Gracefully),
        }
    }

    /// Waits for a signal that stops the server.
    pub(super) async fn stop(&mut self) -> StopKind {
        tokio::select! {
            _ = self.interrupt.recv() => StopKind::WithinGrace,
            _ = self.terminate.recv() => StopKind::WithinGrace,
            _ = self.quit.recv() => StopKind::Gracefully,
        }
    }

    /// SIGHUP also arrives when the terminal of the server is closed; then the server stops, like
    /// other programs.
    fn hung_up(&self) -> SignalRequest {
        let is_gone = self
            .terminals
            .iter()
            .zip(terminals())
            .any(|(was, is)| *was && !is);
        if is_gone {
            SignalRequest::Stop(StopKind::WithinGrace)
        } else {
            SignalRequest::Reload
        }
    }
}

fn terminals() -> [bool; 3] {
    [
        std::io::stdin().is_terminal(),
        std::io::stdout().is_terminal(),
        std::io::stderr().is_terminal(),
    ]
}
