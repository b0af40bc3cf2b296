//! Steering a server that runs: from signals to orders, and what is said of a reload.

use std::convert::Infallible;

use tokio::sync::{mpsc, oneshot};

use super::ready_file::ReadyFile;
use super::signals::{SignalRequest, Signals};
use super::start::{announce, warn_without_endpoints};
use super::{Args, systemd};
use crate::cmd::check;
use crate::cmd::exit::Usage;
use crate::server::config::nginx::{self, DirectiveSupport, InvalidConfig, LoadedConfig};
use crate::server::{Command, NeedsRestart, Reloaded, reopen_access_logs};

/// What steers the server.
pub(super) struct Steering<'a> {
    pub(super) args: &'a Args,
    pub(super) orders: mpsc::Sender<Command>,
    pub(super) ready_file: Option<ReadyFile>,
}

impl Steering<'_> {
    /// Does what signals ask for until the future is dropped.
    pub(super) async fn run(&mut self, mut signals: Signals) -> Infallible {
        loop {
            let told = match signals.next().await {
                // To end must not wait for a slow reload: names are looked up.
                SignalRequest::Reload => tokio::select! {
                    () = self.reload() => continue,
                    kind = signals.stop() => SignalRequest::Stop(kind),
                },
                told => told,
            };
            match told {
                SignalRequest::Stop(kind) => {
                    tracing::info!("ending: telling subscribers, then closing");
                    systemd::stopping();
                    self.order(Command::Stop(kind)).await;
                }
                SignalRequest::ReopenLogs => {
                    reopen_access_logs();
                    tracing::info!("logs are opened anew");
                }
                SignalRequest::Reload => {}
            }
        }
    }

    async fn order(&self, order: Command) {
        // A server that has ended needs no orders.
        drop(self.orders.send(order).await);
    }

    /// Reads the configuration anew and lets the server go on with it; says what came of it.
    async fn reload(&self) {
        let Some(path) = self.args.file().cloned() else {
            tracing::info!(
                "nothing to reload: the built-in locations do not change (--config and \
                 --nginx-conf name a file)"
            );
            systemd::reloading();
            systemd::reloaded("nothing to reload");
            return;
        };
        systemd::reloading();
        let loading = path.clone();
        let options = self.args.front.import_options();
        let loaded = tokio::task::spawn_blocking(move || nginx::reload(&loading, &options)).await;
        let result = match loaded.map(told) {
            Ok(Ok(loaded)) => self.apply(loaded).await,
            Ok(Err(mistakes)) => Err(mistakes.0),
            Err(panic) => Err(panic.to_string()),
        };
        match result {
            Ok(status) => systemd::reloaded(&status),
            Err(reasons) => {
                reasons
                    .lines()
                    .for_each(|reason| tracing::error!("{reason}"));
                tracing::error!(
                    "not reloaded: {} stays as it was read before",
                    path.display()
                );
                let first = reasons.lines().next().unwrap_or_default();
                systemd::reloaded(&format!("not reloaded: {first}"));
            }
        }
    }

    /// Lets the server go on with what was read; what it serves then, or why it does not.
    async fn apply(&self, loaded: LoadedConfig) -> Result<String, String> {
        let LoadedConfig {
            mut config,
            directives,
            ..
        } = loaded;
        self.args.apply(&mut config)?;
        let has_endpoints = config.servers().iter().any(|server| server.has_endpoints());
        let (answer, wait) = oneshot::channel();
        self.order(Command::Reload(Box::new(config), answer)).await;
        let reloaded = wait
            .await
            .map_err(|_| "the server ends".to_owned())?
            .map_err(|error| error.to_string())?;
        let Reloaded {
            counts,
            addresses,
            opened,
            closed,
            needs_restart,
        } = reloaded;
        needs_restart
            .iter()
            .for_each(|kept| tracing::warn!("{}{kept}", place(kept, &directives)));
        closed
            .iter()
            .for_each(|address| tracing::info!("no longer listening on {address}"));
        opened
            .iter()
            .for_each(|address| tracing::info!("listening on {address}"));
        announce(&opened, false);
        if let Some(Err(error)) = self
            .ready_file
            .as_ref()
            .map(|file| file.rewrite(&addresses))
        {
            tracing::error!("{error:#}");
        }
        warn_without_endpoints(has_endpoints);
        tracing::info!("reloaded: serving {counts}");
        Ok(format!("serving {counts}"))
    }
}

/// Where the file says what is kept from it: `FILE:LINE: `.
fn place(kept: &NeedsRestart, directives: &[DirectiveSupport]) -> String {
    let is_it = |treated: &&DirectiveSupport| {
        treated
            .name
            .strip_prefix("push_stream_")
            .unwrap_or(&treated.name)
            == kept.directive()
    };
    directives
        .iter()
        .rfind(is_it)
        .map(
            |DirectiveSupport {
                 file, line, name, ..
             }| format!("{file}:{line}: {name}: "),
        )
        .unwrap_or_default()
}

/// Logs the notices of a file that was read; its mistakes are the error.
pub(super) fn told(loaded: Result<LoadedConfig, InvalidConfig>) -> Result<LoadedConfig, Usage> {
    let (Ok(LoadedConfig { notices, .. }) | Err(InvalidConfig { notices, .. })) = &loaded;
    notices.iter().for_each(|notice| tracing::warn!("{notice}"));
    loaded.map_err(|mut mistakes| {
        mistakes.mistakes.iter_mut().for_each(check::add_hint);
        Usage(mistakes.to_string())
    })
}
