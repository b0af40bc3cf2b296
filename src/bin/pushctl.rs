//! The `pushctl` program: parses the arguments, runs the subcommand, returns its exit code.

use std::process::ExitCode;

use pushctl::cmd;

fn main() -> ExitCode {
    // Called by completion scripts only, so neither help nor completions list it.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "complete")
    {
        return cmd::complete_line();
    }
    match cmd::usage::parse() {
        Ok(cli) => cmd::run(cli),
        Err(error) => cmd::usage::report(&error).into(),
    }
}
