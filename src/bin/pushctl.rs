//! The `pushctl` program: parses, runs the subcommand, ends with its exit code.

use std::process::ExitCode;

use pushctl::cmd;

/// glibc's allocator keeps what thousands of subscribers leave behind; this one gives it back, and
/// takes less for each.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // It is for completion scripts, so help and completions do not list it.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "complete")
    {
        return cmd::completions::complete_line();
    }
    match cmd::usage::parse() {
        Ok(cli) => cmd::run(cli),
        Err(error) => cmd::usage::report(&error).into(),
    }
}
