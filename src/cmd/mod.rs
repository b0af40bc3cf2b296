//! The command line: one file per subcommand with its arguments and its run.
//!
//! Errors become one line on stderr here, and exit codes in [`exit`]. Everything that talks to a server is in
//! [`crate::client`].

pub mod args;
pub mod bench;
pub mod check;
mod check_front;
pub mod completions;
pub mod exit;
pub mod output;
pub mod publish;
pub mod serve;
pub mod stats;
pub mod sub;
pub mod table;

use std::future::Future;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use exit::Code;
use tokio::signal::unix::{SignalKind, signal};

/// The server that is talked to if none is named.
const DEFAULT_URL: &str = "http://127.0.0.1:9080";

/// An HTTP push broker and the tools around it
///
/// `serve` runs a broker that speaks the protocol of nginx-push-stream-module; `pub`, `sub`, `stats` and `bench` talk to it,
/// or to the original module.
#[derive(Debug, Parser)]
#[command(name = "pushctl", version, after_help = exit::TABLE, max_term_width = 120)]
pub struct Cli {
    /// Server to talk to; a path in it is a prefix of all paths
    ///
    /// The environment variable PUSHCTL_URL sets it for all commands, if it is not empty.
    #[arg(long, global = true, env = "PUSHCTL_URL", hide_env_values = true, default_value = DEFAULT_URL)]
    pub url: String,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a push broker
    Serve(serve::Args),
    /// Say what of a configuration is served, ignored, not served or wrong
    ///
    /// Reads an nginx.conf with all that it includes, or a configuration in TOML. Exit code 2 if there are mistakes.
    Check(check::Args),
    /// Publish a message
    ///
    /// The message is sent once and as it is; nothing is trimmed. When the answer gets lost it is not sent again, because
    /// the server may have taken it.
    Pub(publish::Args),
    /// Follow channels and print their messages
    ///
    /// Prints new messages, one per line and as they come (a text with line breaks takes several lines; --json keeps one
    /// line per message). Reconnects when the connection ends, and neither loses nor repeats what the server still has.
    /// Ends when the last channel was deleted.
    Sub(sub::Args),
    /// Show the counters of a server or of channels
    Stats(stats::Args),
    /// Measure a server with many subscribers, and prove that it loses nothing
    ///
    /// All subscribers connect and the server confirms them before the first message is published. Latency counts from the
    /// moment at which a message was due (with --rate) or sent. Subscribers and publishers share one thread, and plain http
    /// is spoken; the limit of open files is raised as far as the system allows.
    Bench(bench::Args),
    /// Print the completion script of a shell
    Completions(completions::Args),
}

/// Runs the subcommand; what went wrong is on stderr when this returns.
#[must_use]
pub fn run(cli: Cli) -> Code {
    let is_unset = cli.url.is_empty() && std::env::var_os("PUSHCTL_URL").is_some_and(|url| url.is_empty());
    let url = if is_unset { DEFAULT_URL.to_owned() } else { cli.url };
    let result = match cli.command {
        Command::Serve(args) => serve::run(&args).map(|()| Code::Success),
        Command::Check(args) => check::run(&args),
        Command::Pub(args) => publish::prepare(args, &url).and_then(|prepared| block_on(interruptible(prepared.run()))),
        Command::Sub(args) => block_on(interruptible(sub::run(args, &url))),
        Command::Stats(args) => block_on(interruptible(stats::run(args, &url))),
        Command::Bench(args) => block_on(bench::run(args, &url)),
        Command::Completions(args) => completions::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            let code = exit::of(&error);
            if code != Code::Success {
                output::note(format_args!("{error:#}"));
            }
            code
        }
    }
}

/// Runs a client command on one thread.
fn block_on(command: impl Future<Output = anyhow::Result<Code>>) -> anyhow::Result<Code> {
    // An error means that somebody installed a provider before; that one is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let result = runtime.block_on(command);
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Runs a command that leaves nothing to tidy up until it is done or interrupted.
async fn interruptible(command: impl Future<Output = anyhow::Result<Code>>) -> anyhow::Result<Code> {
    tokio::select! {
        result = command => result,
        result = interrupted() => result.map(|()| Code::Interrupted),
    }
}

/// Returns when SIGINT or SIGTERM comes.
///
/// # Errors
/// When the system does not let us wait for them.
async fn interrupted() -> anyhow::Result<()> {
    let listen = |kind| signal(kind).context("cannot wait for signals");
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
