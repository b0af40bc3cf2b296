//! `pushctl completions`: the completion script of a shell, made from the same tree as the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::exit::Code;
use super::{Cli, output};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell to write for
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Code> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pushctl", &mut script);
    output::text(&script)?;
    Ok(Code::Success)
}
