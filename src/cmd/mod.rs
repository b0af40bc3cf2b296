//! The command line: a file or folder per subcommand, and what the subcommands share.
//!
//! Reports errors as one line on stderr; [`exit`] maps them to exit codes. The HTTP client of the
//! commands is [`crate::client`].

pub mod args;
pub mod assertion;
pub mod bench;
pub mod check;
pub mod completions;
pub mod escape;
pub mod exit;
pub mod figures;
pub mod files;
pub mod output;
pub mod profile;
pub mod publish;
pub mod rm;
pub mod serve;
pub mod servers;
pub mod stats;
pub mod sub;
pub mod table;
pub mod usage;
pub mod wait;
pub mod with_server;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use exit::Code;
use tokio::signal::unix::{SignalKind, signal};

/// An HTTP push broker and its command line
///
/// 'serve' runs a broker that speaks the protocols of nginx-push-stream-module, NHPM and nchan. The
/// other commands are clients of it, and of these modules.
#[derive(Debug, Parser)]
#[command(
    name = "pushctl",
    version,
    after_help = concat!(
        "Run 'pushctl COMMAND -h' for the options of a command.\n",
        args::more_options!()
    ),
    after_long_help = exit::TABLE,
    max_term_width = 120
)]
pub struct Cli {
    #[command(flatten)]
    choice: args::Choice,
    /// Command to run
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a push broker
    Serve(serve::Args),
    /// Publish messages
    ///
    /// A message is sent once, byte for byte. It is not resent when the response is lost, because
    /// the server may have published it.
    Pub(publish::Args),
    /// Follow channels and print their messages
    ///
    /// Prints new messages as they arrive, one per line (a text with line breaks takes several
    /// lines; --json keeps one line per message). Reconnects when the connection ends, and neither
    /// loses nor repeats messages that the server still stores. Stops when the last channel is
    /// deleted. On a terminal, control characters and characters that reorder text are escaped,
    /// except with --raw; files and pipes get the bytes of the messages unchanged.
    Sub(sub::Args),
    /// Show the counters of a server or of channels
    Stats(stats::Args),
    /// Wait until a server is up or a condition on its counters holds
    ///
    /// Polls the statistics, at first fast and then every --interval, also while the server is
    /// unreachable. A rejection (401, 403 and the like) ends the command.
    Wait(wait::Args),
    /// Delete channels
    ///
    /// Their subscribers get a last message. The publisher location must have the mode 'admin',
    /// like the built-in one.
    Rm(rm::Args),
    /// Measure a server under load, and verify that it loses no message
    ///
    /// All subscribers are connected and confirmed by the server before the first message is
    /// published. Latency is measured from the time at which a message was due (with --rate) or
    /// sent. Subscribers and publishers share one thread and use plain HTTP; the limit of open
    /// files is raised as far as the system allows.
    Bench(bench::Args),
    /// Report which directives of a configuration are supported, ignored, unsupported or invalid
    ///
    /// Reads an nginx.conf with all files that it includes, or a configuration in TOML. Exits with
    /// 2 if there are errors.
    Check(check::Args),
    /// Run a command with a temporary broker
    ///
    /// Starts 'pushctl serve' on a free port, sets PUSHCTL_URL, runs the command, and always stops
    /// the broker at the end. Signals are forwarded to the command. PUSHCTL_TOKEN, which is for
    /// another server, is removed from the environment (for a broker that requires one:
    /// `-- env PUSHCTL_TOKEN=... COMMAND`).
    WithServer(with_server::Args),
    /// List the named servers of the configuration file
    #[command(long_about = servers::ABOUT)]
    Servers(servers::Args),
    /// Print the completion script of a shell
    Completions(completions::Args),
}

/// Runs the subcommand. Errors are reported on stderr.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    if output::is_dumb() {
        colored::control::set_override(false);
    }
    // Errors of these commands quote files and options of this machine only; other errors may quote
    // a server and are escaped.
    let is_local = matches!(
        cli.command,
        Command::Serve(_) | Command::Check(_) | Command::WithServer(_)
    );
    let report = |error: &anyhow::Error| {
        let code = exit::of(error);
        match (code, is_local) {
            (Code::Success, _) => {}
            (_, true) => output::report_lines(format_args!("{error:#}")),
            (_, false) => output::note(format_args!("{error:#}")),
        }
        code
    };
    // Its exit code is that of the command that it runs.
    if let Command::WithServer(args) = cli.command {
        let result = reject_server(&cli.choice).and_then(|()| block_on(with_server::run(args)));
        return result.map_or_else(|error| report(&error).into(), ExitCode::from);
    }
    dispatch(cli).unwrap_or_else(|error| report(&error)).into()
}

fn dispatch(cli: Cli) -> anyhow::Result<Code> {
    let outer = cli.choice;
    match cli.command {
        Command::Serve(args) => reject_server(&outer)
            .and_then(|()| serve::run(&args))
            .map(|()| Code::Success),
        Command::Check(args) => reject_server(&outer).and_then(|()| check::run(&args)),
        Command::Completions(args) => reject_server(&outer).and_then(|()| completions::run(&args)),
        Command::Servers(args) => servers::run(&args, &outer),
        Command::WithServer(_) => unreachable!("handled by the caller"),
        Command::Wait(mut args) => {
            let url = args.server.settle(&outer)?;
            block_on(interruptible(wait::run(args, &url)))
        }
        Command::Rm(mut args) => {
            let url = args.server.settle(&outer)?;
            block_on(interruptible(rm::run(args, &url)))
        }
        Command::Pub(mut args) => {
            let url = args.server.settle(&outer)?;
            publish::prepare(args, &url).and_then(|prepared| block_on(prepared.run()))
        }
        Command::Sub(mut args) => {
            let url = args.server.settle(&outer)?;
            block_on(sub::run(args, &url))
        }
        Command::Stats(mut args) => {
            let url = args.server.settle(&outer)?;
            block_on(interruptible(stats::run(args, &url)))
        }
        Command::Bench(mut args) => {
            let url = args.server.settle(&outer)?;
            block_on(bench::run(args, &url))
        }
    }
}

/// Rejects options that select a server, for a command without one.
fn reject_server(choice: &args::Choice) -> anyhow::Result<()> {
    if choice.is_empty() {
        return Ok(());
    }
    Err(exit::Usage(
        "--url, --server and --config-file do not apply to this command (see --listen of 'serve')"
            .to_owned(),
    )
    .into())
}

/// Runs a client command on one thread.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
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
async fn interruptible(
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
async fn interrupted() -> anyhow::Result<()> {
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
