//! Errors on the command line: the message of clap, with a better tip where it has none or a wrong
//! one.

use std::io::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _, FromArgMatches as _};

use super::cli::Cli;
use super::exit::Code;

/// Parses the command line of this process.
///
/// # Errors
/// A usage error, or the help or version that was requested.
pub fn parse() -> Result<Cli, clap::Error> {
    let mut command = with_negative_numbers(Cli::command());
    let matches = command
        .try_get_matches_from_mut(std::env::args_os())
        .map_err(|error| match text_taken_for_help(&error) {
            Some(word) => subcommand_of_arguments(&mut command).error(
                ErrorKind::UnknownArgument,
                format!("unexpected argument '{word}' found (write '-- {word}' for a text)"),
            ),
            None => without_wrong_suggestions(error),
        })?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The word for which clap prints the help: it takes `-hello` for `-h` with further letters.
fn text_taken_for_help(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::DisplayHelp {
        return None;
    }
    let mut words = std::env::args()
        .skip(1)
        .take_while(|word| word != "--" && word != "-h" && word != "--help");
    words.find(|word| word.starts_with("-h") && word.len() > 2)
}

/// The subcommand that the arguments name, or the program itself.
fn subcommand_of_arguments(command: &mut Command) -> &mut Command {
    let named = std::env::args()
        .skip(1)
        .find(|word| command.find_subcommand(word).is_some());
    match named {
        Some(name) => command
            .find_subcommand_mut(name)
            .expect("the name was found"),
        None => command,
    }
}

/// Reports `-n -3` as an invalid number, not as an unknown option.
fn with_negative_numbers(command: Command) -> Command {
    let command = command.mut_subcommands(with_negative_numbers);
    command.mut_args(|arg| {
        let takes_value = arg.get_action().takes_values() && !arg.is_positional();
        if takes_value && !arg.is_allow_hyphen_values_set() {
            arg.allow_negative_numbers(true)
        } else {
            arg
        }
    })
}

/// Removes suggestions of hidden options, and of commands that only look similar to a synonym.
fn without_wrong_suggestions(mut error: clap::Error) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let is_hidden = text(ContextKind::SuggestedArg)
        .is_some_and(|option| is_hidden(option.trim_start_matches('-')));
    let has_synonym =
        text(ContextKind::InvalidSubcommand).is_some_and(|word| synonym(word).is_some());
    if is_hidden {
        error.remove(ContextKind::SuggestedArg);
    }
    if has_synonym {
        error.remove(ContextKind::SuggestedSubcommand);
    }
    error
}

fn is_hidden(option: &str) -> bool {
    let cli = Cli::command();
    cli.get_subcommands()
        .flat_map(Command::get_arguments)
        .any(|arg| arg.is_hide_set() && arg.get_long() == Some(option))
}

/// Prints an error, the help or the version, with a tip, and returns the exit code.
#[must_use]
pub fn report(error: &clap::Error) -> Code {
    // A closed stderr is not an error.
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
            let word = text(ContextKind::InvalidSubcommand)?;
            synonym(word).or_else(|| {
                nearest_command(word).map(|nearest| format!("a similar command is '{nearest}'"))
            })
        }
        ErrorKind::UnknownArgument if error.get(ContextKind::SuggestedArg).is_none() => {
            let words: Vec<String> = std::env::args().skip(1).collect();
            let extra = text(ContextKind::InvalidArg)?;
            if extra.starts_with('-') {
                other_option(&words, extra)
            } else {
                extra_word(&words, extra)
            }
        }
        _ => None,
    }
}

/// The command with the most similar name.
fn nearest_command(word: &str) -> Option<String> {
    let cli = Cli::command();
    let names = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(Command::get_name);
    let distances = names.map(|name| (strsim::osa_distance(word, name), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= if word.len() > 4 { 2 } else { 1 }).then(|| name.to_owned())
}

/// The command for a word of other tools.
fn synonym(word: &str) -> Option<String> {
    let command = match word {
        "consume" | "follow" | "listen" | "receive" | "tail" | "watch" => "sub",
        "emit" | "post" | "produce" | "push" | "send" => "pub",
        "del" | "delete" | "drop" | "purge" | "remove" => "rm",
        "broker" | "daemon" | "run" | "server" | "start" => "serve",
        "channels" | "info" | "list" | "ls" | "status" => "stats",
        "convert" | "lint" | "test" | "validate" | "verify" => "check",
        "version" => "--version",
        _ => return None,
    };
    Some(format!("use 'pushctl {command}'"))
}

/// The option for one of other tools.
fn other_option(words: &[String], option: &str) -> Option<String> {
    match (plain(words).first().copied()?, option) {
        ("serve", "--port" | "-p" | "--host" | "--address" | "--bind") => {
            Some("use --listen ADDRESS:PORT, or --listen PORT".to_owned())
        }
        ("serve", _) | (_, "--version") => None,
        (_, "--port" | "-p" | "--host" | "--address") => {
            Some("use --url http://HOST:PORT".to_owned())
        }
        _ => None,
    }
}

/// Tip for an excess word.
fn extra_word(words: &[String], extra: &str) -> Option<String> {
    match plain(words).as_slice() {
        ["pub", channel, first, ..] => Some(format!(
            "quote a message of several words: pushctl pub {channel} '{first} {extra}...'"
        )),
        ["serve", ..] if extra.ends_with(".toml") => Some(format!("use --config {extra}")),
        ["serve", ..] => Some(format!(
            "use --nginx-conf {extra}, or --config for a file in TOML"
        )),
        ["wait", ..] => Some(format!("use --channel {extra}")),
        ["stats", ..] => Some("name one channel, 'prefix*', or ALL".to_owned()),
        _ => None,
    }
}

/// The words that are not options.
fn plain(words: &[String]) -> Vec<&str> {
    words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with('-'))
        .collect()
}
