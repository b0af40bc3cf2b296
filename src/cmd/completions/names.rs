//! `pushctl complete`: prints the names of channels and servers for completion scripts, one per
//! line.
//!
//! Not a subcommand, so help and completions do not list it. `complete line -- WORDS` detects the
//! kind of its last word and exits with 1 if that is not a name;
//! `complete channels|servers PREFIX -- WORDS` is for shells that know the kind. Never writes to
//! stderr, never runs a `token_command`, and ends after a second.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command, Parser as _};

use crate::client::statistics::{self, Report};
use crate::cmd::args::ServerOptions;
use crate::cmd::output;
use crate::cmd::output::escape::printable;
use crate::cmd::profile::ServerChoice;
use crate::cmd::profile::{self, TokenCommand};
use crate::cmd::runtime::block_on;

/// Arguments of `complete`.
#[derive(Debug, clap::Parser)]
struct Complete {
    /// Kind of the names
    #[arg(value_enum)]
    kind: NameKind,
    /// Prefix of the names
    #[arg(allow_hyphen_values = true, default_value = "")]
    prefix: String,
    /// The line so far, without the program
    #[arg(last = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum NameKind {
    Channels,
    Servers,
    /// The kind of the last word.
    Line,
}

/// Time limit: a user waits at a prompt.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of names: a longer list does not help at a prompt.
const MAX_NAMES: usize = 200;
/// Exit code if the word is not a name.
const NOT_A_NAME: u8 = 1;

/// Prints the names for the line of this process. `program` is the command line.
#[must_use]
pub fn complete_line(program: Command) -> ExitCode {
    let Ok(mut args) = Complete::try_parse_from(std::env::args_os().skip(1)) else {
        return NOT_A_NAME.into();
    };
    if args.kind == NameKind::Line {
        let current = args.words.pop().unwrap_or_default();
        let Some(completed) = completed_name(program, &args.words, &current) else {
            return NOT_A_NAME.into();
        };
        args.kind = completed.kind;
        args.prefix = completed.prefix;
    }
    // On any error there are no names.
    let names = block_on(async { Ok(names(&args).await) }).unwrap_or_default();
    // Only names that a shell can insert and a terminal can show; one with a leading hyphen would
    // be an option.
    let fits = |name: &&String| {
        name.starts_with(&args.prefix) && !name.starts_with('-') && printable(name) == **name
    };
    let text: String = names
        .iter()
        .filter(fits)
        .take(MAX_NAMES)
        .map(|name| format!("{name}\n"))
        .collect();
    let _ = output::text(text.as_bytes());
    ExitCode::SUCCESS
}

async fn names(args: &Complete) -> Vec<String> {
    let choice = choice(&args.words);
    match args.kind {
        NameKind::Servers => profile::list(&choice)
            .unwrap_or_default()
            .into_iter()
            .map(|server| server.name)
            .collect(),
        NameKind::Channels | NameKind::Line => {
            tokio::time::timeout(TIMEOUT, channels(&choice, &args.words, &args.prefix))
                .await
                .ok()
                .flatten()
                .unwrap_or_default()
        }
    }
}

/// The name to complete at the end of a line.
struct CompletedName {
    kind: NameKind,
    prefix: String,
}

/// Parses the `words` of `program`, and returns the kind and the prefix of the name that `current`
/// begins; `None` if it is not a name.
fn completed_name(mut program: Command, words: &[String], current: &str) -> Option<CompletedName> {
    program.build();
    let mut line = LineParser {
        command: &program,
        positionals: 0,
        option: None,
        has_ended_options: false,
    };
    words.iter().for_each(|word| line.parse_word(word));
    let completed = |arg: &Arg, prefix: &str| {
        Some(CompletedName {
            kind: kind_of(arg)?,
            prefix: prefix.to_owned(),
        })
    };
    if let Some(option) = line.option {
        return completed(option, current);
    }
    if !line.has_ended_options && current.starts_with('-') {
        let (name, value) = current.strip_prefix("--")?.split_once('=')?;
        return completed(line.long_option(name)?, value);
    }
    completed(line.next_positional()?, current)
}

/// The kind of names that an argument takes.
fn kind_of(arg: &Arg) -> Option<NameKind> {
    let name = arg.get_long().unwrap_or(arg.get_id().as_str());
    match name {
        "channel" => Some(NameKind::Channels),
        // The option `--channels` is a number of channels.
        "channels" if arg.is_positional() => Some(NameKind::Channels),
        "server" => Some(NameKind::Servers),
        _ => None,
    }
}

/// State of the parser after the words so far.
struct LineParser<'a> {
    command: &'a Command,
    /// Positional arguments of the command so far.
    positionals: usize,
    /// The option whose value is the next word.
    option: Option<&'a Arg>,
    /// There was a `--`.
    has_ended_options: bool,
}

impl<'a> LineParser<'a> {
    fn parse_word(&mut self, word: &str) {
        if self.option.take().is_some() {
            return;
        }
        match word
            .strip_prefix('-')
            .filter(|rest| !rest.is_empty() && !self.has_ended_options)
        {
            Some("-") => self.has_ended_options = true,
            Some(rest) => match rest.strip_prefix('-') {
                Some(long) if long.contains('=') => {}
                Some(long) => self.option = self.long_option(long).filter(|arg| takes_next(arg)),
                None => self.option = self.short_option(rest),
            },
            None => match self
                .command
                .find_subcommand(word)
                .filter(|_| self.positionals == 0)
            {
                Some(command) => self.command = command,
                None => self.positionals += 1,
            },
        }
    }

    fn long_option(&self, name: &str) -> Option<&'a Arg> {
        let is_named = |arg: &&Arg| {
            arg.get_long() == Some(name)
                || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
        };
        self.command.get_arguments().find(is_named)
    }

    /// The option of `-abc` whose value is the next word. Letters after an option that takes a
    /// value are that value.
    fn short_option(&self, letters: &str) -> Option<&'a Arg> {
        for (at, letter) in letters.char_indices() {
            let option = self
                .command
                .get_arguments()
                .find(|arg| arg.get_short() == Some(letter))?;
            if takes_next(option) {
                return (at + letter.len_utf8() == letters.len()).then_some(option);
            }
        }
        None
    }

    /// The next positional argument; the last one, if it takes several values.
    fn next_positional(&self) -> Option<&'a Arg> {
        let mut positionals = self
            .command
            .get_positionals()
            .collect::<Vec<_>>()
            .into_iter();
        let last = positionals.clone().next_back().filter(|arg| {
            arg.get_num_args()
                .is_some_and(|range| range.max_values() > 1)
        });
        positionals.nth(self.positionals).or(last)
    }
}

fn takes_next(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

/// The server options of the line.
fn choice(words: &[String]) -> ServerChoice {
    let value = |names: &[&str]| value(words, names);
    ServerChoice {
        url: value(&["--url", "-u"]),
        server: value(&["--server"]),
        config_file: value(&["--config-file"]).map(Into::into),
    }
}

fn value(words: &[String], names: &[&str]) -> Option<String> {
    words
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, word)| match word.split_once('=') {
            Some((name, value)) if names.contains(&name) => Some(value.to_owned()),
            _ => names
                .contains(&word.as_str())
                .then(|| words.get(at + 1).cloned())
                .flatten(),
        })
}

async fn channels(choice: &ServerChoice, words: &[String], prefix: &str) -> Option<Vec<String>> {
    let mut server = ServerOptions::of(choice.clone(), value(words, &["--stats-path"]));
    let url = server
        .settle_with(&ServerChoice::default(), TokenCommand::Skip)
        .ok()?;
    // The protocol has no wildcard with a slash in it.
    let wanted = if prefix.is_empty() || prefix.contains(['/', '*', '?']) {
        "ALL".to_owned()
    } else {
        format!("{prefix}*")
    };
    let url = server
        .endpoints(&url)
        .ok()?
        .statistics(Some(&wanted))
        .ok()?;
    let body = statistics::fetch(&server.client().ok()?, &url, TIMEOUT)
        .await
        .ok()?;
    match Report::from_json(&body)? {
        Report::Channels(infos) => Some(infos.into_iter().map(|info| info.channel).collect()),
        Report::Summary(_) => None,
    }
}
