//! Control of the running server: turns signals into commands, and reports reloads.

use std::convert::Infallible;

use tokio::sync::{mpsc, oneshot};

use super::args::Args;
use super::loading::log_notices;
use super::ready_file::ReadyFile;
use super::signals::{SignalRequest, Signals};
use super::start::{announce, warn_without_endpoints};
use super::systemd;
use crate::server::config::source;
use crate::server::config::source::{DirectiveSupport, LoadedConfig};
use crate::server::{Command, NeedsRestart, Reloaded, reopen_access_logs};

/// Sends commands to the server.
pub(super) struct Controller<'a> {
    pub(super) args: &'a Args,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) ready_file: Option<ReadyFile>,
}

impl Controller<'_> {
    /// Handles signals until the future is dropped.
    pub(super) async fn run(&mut self, mut signals: Signals) -> Infallible {
        loop {
            let request = match signals.next().await {
                // A stop must not wait for a slow reload, which resolves names.
                SignalRequest::Reload => tokio::select! {
                    () = self.reload() => continue,
                    kind = signals.stop() => SignalRequest::Stop(kind),
                },
                request => request,
            };
            match request {
                SignalRequest::Stop(kind) => {
                    tracing::info!("stopping: sending footers to subscribers, then closing");
                    systemd::stopping();
                    self.send(Command::Stop(kind)).await;
                }
                SignalRequest::ReopenLogs => {
                    reopen_access_logs();
                    tracing::info!("reopened the access logs");
                }
                SignalRequest::Reload => {}
            }
        }
    }

    async fn send(&self, command: Command) {
        // Fails only after the server has ended.
        drop(self.commands.send(command).await);
    }

    /// Reloads the configuration, and reports the outcome.
    async fn reload(&self) {
        let Some(path) = self.args.file().cloned() else {
            tracing::info!(
                "nothing to reload: there is no configuration file (see --config and --nginx-conf)"
            );
            systemd::reloading();
            systemd::reloaded("nothing to reload");
            return;
        };
        systemd::reloading();
        let loading = path.clone();
        let options = self.args.front.import_options();
        let loaded = tokio::task::spawn_blocking(move || source::reload(&loading, &options)).await;
        let result = match loaded.map(log_notices) {
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
                    "not reloaded: the previous content of {} stays in force",
                    path.display()
                );
                let first = reasons.lines().next().unwrap_or_default();
                systemd::reloaded(&format!("not reloaded: {first}"));
            }
        }
    }

    /// Passes the configuration to the server. Returns its new status, or the reason of a failure.
    async fn apply(&self, loaded: LoadedConfig) -> Result<String, String> {
        let LoadedConfig {
            mut config,
            directives,
            ..
        } = loaded;
        self.args.apply(&mut config)?;
        let has_endpoints = config.servers().iter().any(|server| server.has_endpoints());
        let (sender, outcome) = oneshot::channel();
        self.send(Command::Reload(Box::new(config), sender)).await;
        let reloaded = outcome
            .await
            .map_err(|_| "the server is stopping".to_owned())?
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
        announce(&opened, None);
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

/// Location of a directive that needs a restart, as a prefix: `FILE:LINE: `.
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
