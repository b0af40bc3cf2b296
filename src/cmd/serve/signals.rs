//! The signals of `serve` and what they ask for.

use std::io::IsTerminal;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::server::StopKind;

/// The signals that are listened to.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    /// Which of stdin, stdout and stderr were a terminal at the start.
    terminals: [bool; 3],
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalRequest {
    Stop(StopKind),
    Reload,
    ReopenLogs,
}

impl Signals {
    /// Listens from now on.
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

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.hangup.recv() => self.hung_up(),
            _ = self.user1.recv() => SignalRequest::ReopenLogs,
            kind = stop(&mut self.interrupt, &mut self.terminate, &mut self.quit) => SignalRequest::Stop(kind),
        }
    }

    /// Waits for one that ends the server.
    pub(super) async fn stop(&mut self) -> StopKind {
        stop(&mut self.interrupt, &mut self.terminate, &mut self.quit).await
    }

    /// SIGHUP also comes when the terminal is closed in which the server was started; then it is to
    /// end, as other programs do.
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

async fn stop(interrupt: &mut Signal, terminate: &mut Signal, quit: &mut Signal) -> StopKind {
    tokio::select! {
        _ = interrupt.recv() => StopKind::WithinGrace,
        _ = terminate.recv() => StopKind::WithinGrace,
        _ = quit.recv() => StopKind::Gracefully,
    }
}
