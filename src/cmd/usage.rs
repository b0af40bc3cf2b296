//! Mistakes on the command line: what clap says about them, with a tip where it has none or a wrong one.

use std::io::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _, FromArgMatches as _};

use super::Cli;
use super::exit::Code;

/// Reads the command line of this process.
///
/// # Errors
/// What is wrong with it, or the help or version that was asked for.
pub fn parse() -> Result<Cli, clap::Error> {
    let mut command = with_negative_numbers(Cli::command());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// `-n -3` is a wrong number, not an unknown option.
fn with_negative_numbers(command: Command) -> Command {
    let command = command.mut_subcommands(with_negative_numbers);
    command.mut_args(|arg| {
        let takes_value = arg.get_action().takes_values() && !arg.is_positional();
        if takes_value && !arg.is_allow_hyphen_values_set() { arg.allow_negative_numbers(true) } else { arg }
    })
}

/// Prints what clap has to say (an error, the help, the version), with a tip of ours, and returns the exit code.
#[must_use]
pub fn report(error: &clap::Error) -> Code {
    // Nothing can be done if standard error is closed.
    let _ = error.print();
    if !error.use_stderr() {
        return Code::Success;
    }
    if let Some(tip) = tip(error) {
        let _ = writeln!(std::io::stderr(), "\n  tip: {tip}");
    }
    Code::Usage
}

fn tip(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            let nearest = nearest_command(text(ContextKind::InvalidSubcommand)?)?;
            Some(format!("a similar command is '{nearest}'"))
        }
        // Only a word too many: an option has its own tip.
        ErrorKind::UnknownArgument if error.get(ContextKind::SuggestedArg).is_none() => {
            let words: Vec<String> = std::env::args().skip(1).collect();
            let extra = text(ContextKind::InvalidArg).filter(|extra| !extra.starts_with('-'))?;
            quoted_message(&words, extra)
        }
        _ => None,
    }
}

/// The command that a typing mistake was probably meant to be.
fn nearest_command(word: &str) -> Option<String> {
    let cli = Cli::command();
    let names = cli.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name);
    let distances = names.map(|name| (strsim::osa_distance(word, name), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= if word.len() > 4 { 2 } else { 1 }).then(|| name.to_owned())
}

/// `pub CHANNEL hello there` with its message as one word.
fn quoted_message(words: &[String], extra: &str) -> Option<String> {
    let plain: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    let ["pub", channel, first, ..] = plain.as_slice() else { return None };
    Some(format!("quote a message of several words: pushctl pub {channel} '{first} {extra}...'"))
}
