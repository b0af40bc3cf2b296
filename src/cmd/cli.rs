//! The command line: the program with its subcommands.

use clap::{Parser, Subcommand};

use super::profile::ServerChoice;
use super::{
    args, bench, check, completions, exit, publish, rm, serve, servers, stats, sub, wait,
    with_server,
};

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
    pub(super) choice: ServerChoice,
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
