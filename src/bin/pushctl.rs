//! The `pushctl` program: parses, runs the subcommand, ends with its exit code.

use std::process::ExitCode;

use clap::Parser as _;
use pushctl::cmd::{self, Cli};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cmd::run(cli),
        Err(error) => cmd::exit::of_usage(&error).into(),
    }
}
