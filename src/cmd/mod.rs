//! The command line: a file or folder per subcommand, and what the subcommands share.
//!
//! Reports errors as one line on stderr; [`exit`] maps them to exit codes. The HTTP client of the
//! commands is [`crate::client`].

pub mod args;
pub mod assertion;
pub mod bench;
pub mod check;
mod cli;
pub mod completions;
pub mod exit;
pub mod output;
pub mod profile;
pub mod publish;
pub mod rm;
mod runtime;
pub mod serve;
pub mod servers;
pub mod stats;
pub mod sub;
pub mod usage;
pub mod wait;
pub mod with_server;

use std::process::ExitCode;

use clap::CommandFactory as _;

use exit::Code;
use profile::ServerChoice;
use runtime::{block_on, interruptible};

pub use cli::{Cli, Command};

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
        let result = reject_server(&cli.choice)
            .and_then(|()| block_on(with_server::run(args, Cli::command())));
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
        Command::Completions(args) => {
            reject_server(&outer).and_then(|()| completions::run(&args, Cli::command()))
        }
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

/// Prints the names for the line of this process, for completion scripts.
#[must_use]
pub fn complete_line() -> ExitCode {
    completions::complete_line(Cli::command())
}

/// Rejects options that select a server, for a command without one.
fn reject_server(choice: &ServerChoice) -> anyhow::Result<()> {
    if choice.is_empty() {
        return Ok(());
    }
    Err(exit::Usage(
        "--url, --server and --config-file do not apply to this command (see --listen of 'serve')"
            .to_owned(),
    )
    .into())
}
