//! `pushctl completions`: the completion script of a shell, made from the same tree as the command line, and the hidden
//! `pushctl complete` with which the scripts of bash, zsh and fish ask for names of channels and servers.
//!
//! The scripts are the generator's, with a few lines behind them: they are the same on every machine and can be committed,
//! and only the names cost a call. That call never fails or writes on stderr, and ends after a second.

use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_complete::aot::generate;

use super::args::{Choice, Server};
use super::exit::Code;
use super::{Cli, output, profile};
use crate::client::statistics::{self, Report};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pushctl completions bash > ~/.local/share/bash-completion/completions/pushctl
  pushctl completions zsh > ~/.zfunc/_pushctl       # with 'fpath+=~/.zfunc' before compinit in ~/.zshrc
  pushctl completions fish > ~/.config/fish/completions/pushctl.fish

In bash, zsh and fish, names of channels come from the server that the line or the environment names.")]
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
    output::text(&script(args.shell))?;
    Ok(Code::Success)
}

/// The script of `shell`.
#[must_use]
pub fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "pushctl", &mut script);
    let text = String::from_utf8(script).expect("the generator writes text");
    match shell {
        Shell::Bash => text + BASH,
        Shell::Fish => text + FISH,
        Shell::Zsh => zsh(&text),
        _ => text,
    }
    .into_bytes()
}

/// Where a name of a channel is wanted, the generator's completion of files is replaced by that of channels.
const BASH: &str = r#"
_pushctl_with_names() {
    _pushctl "$@"
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" word kind=""
    case "$prev" in
        --server) kind=servers ;;
        --channel|-c) kind=channels ;;
        -*) return 0 ;;
    esac
    if [[ -z "$kind" && "$cur" != -* ]]; then
        for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
            case "$word" in
                pub|sub|stats|rm) kind=channels ;;
            esac
        done
    fi
    [[ -n "$kind" ]] || return 0
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" complete "$kind" "$cur" -- "${COMP_WORDS[@]:1}" 2>/dev/null)" -- "$cur"))
}

complete -F _pushctl_with_names -o nosort -o bashdefault -o default pushctl 2>/dev/null || complete -F _pushctl_with_names pushctl
"#;

const FISH: &str = r#"
function __fish_pushctl_names
    set -l words (commandline -opc)
    pushctl complete $argv[1] (commandline -ct) -- $words[2..-1] 2>/dev/null
end
complete -c pushctl -n "__fish_pushctl_using_subcommand pub; or __fish_pushctl_using_subcommand sub; or __fish_pushctl_using_subcommand stats; or __fish_pushctl_using_subcommand rm" -f -a "(__fish_pushctl_names channels)"
complete -c pushctl -n "__fish_pushctl_using_subcommand pub; or __fish_pushctl_using_subcommand wait" -s c -l channel -x -a "(__fish_pushctl_names channels)"
complete -c pushctl -l server -x -a "(__fish_pushctl_names servers)"
"#;

const ZSH: &str = r#"
_pushctl_names() {
    local -a names
    names=(${(f)"$($words[1] complete $1 "$PREFIX" -- ${(Q)words[2,-1]} 2>/dev/null)"})
    compadd -a names
}
(( $+functions[_pushctl_channels] )) ||
_pushctl_channels() { _pushctl_names channels }
(( $+functions[_pushctl_servers] )) ||
_pushctl_servers() { _pushctl_names servers }
"#;

/// The generator says after each argument what completes it: names are asked for where it says that nothing is known.
fn zsh(text: &str) -> String {
    let (head, calls) = text.rsplit_once("\nif [ \"$funcstack[1]\"").unwrap_or((text, ""));
    let lines = head.lines().map(|line| {
        let is_channel = line.contains(":CHANNEL:") || line.contains("channel -- ") || line.contains("channels -- ");
        if is_channel {
            let line =
                line.replace(":CHANNEL:_default'", ":CHANNEL:_pushctl_channels'").replace(":CHANNEL:'", ":CHANNEL:_pushctl_channels'");
            return if line.contains(" -- ") {
                line.replace(":_default'", ":_pushctl_channels'").replace(":'", ":_pushctl_channels'")
            } else {
                line
            };
        }
        if line.contains("'--server=") { line.replace(":NAME:_default'", ":NAME:_pushctl_servers'") } else { line.to_owned() }
    });
    let head = lines.collect::<Vec<_>>().join("\n");
    if calls.is_empty() { format!("{head}\n{ZSH}") } else { format!("{head}\n{ZSH}\nif [ \"$funcstack[1]\"{calls}") }
}

/// Arguments of `complete`.
#[derive(Debug, clap::Args)]
pub struct Complete {
    /// What is wanted
    #[arg(value_enum)]
    kind: Kind,
    /// What it begins with
    #[arg(allow_hyphen_values = true, default_value = "")]
    prefix: String,
    /// The line so far, without the program
    #[arg(last = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Channels,
    Servers,
}

/// Time for the whole: somebody waits at a prompt.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Most names: more are no help.
const MOST: usize = 200;

/// Prints the names that begin with the prefix, each on a line; nothing if they cannot be had.
pub async fn complete(args: Complete) -> Code {
    let choice = choice(&args.words);
    let names = match args.kind {
        Kind::Servers => profile::list(&choice).unwrap_or_default().into_iter().map(|server| server.name).collect(),
        Kind::Channels => {
            tokio::time::timeout(TIMEOUT, channels(&choice, &args.words, &args.prefix)).await.ok().flatten().unwrap_or_default()
        }
    };
    let fits = |name: &&String| name.starts_with(&args.prefix) && !name.contains(char::is_control);
    let text: String = names.iter().filter(fits).take(MOST).map(|name| format!("{name}\n")).collect();
    let _ = output::text(text.as_bytes());
    Code::Success
}

/// The server that the line names.
fn choice(words: &[String]) -> Choice {
    let value = |names: &[&str]| value(words, names);
    Choice { url: value(&["--url", "-u"]), server: value(&["--server"]), config_file: value(&["--config-file"]).map(Into::into) }
}

fn value(words: &[String], names: &[&str]) -> Option<String> {
    words.iter().enumerate().rev().find_map(|(at, word)| match word.split_once('=') {
        Some((name, value)) if names.contains(&name) => Some(value.to_owned()),
        _ => names.contains(&word.as_str()).then(|| words.get(at + 1).cloned()).flatten(),
    })
}

async fn channels(choice: &Choice, words: &[String], prefix: &str) -> Option<Vec<String>> {
    let mut server = Server::of(choice.clone(), value(words, &["--stats-path"]));
    let url = server.settle(&Choice::default()).ok()?;
    // The protocol has no wildcard with a slash in it.
    let wanted = if prefix.is_empty() || prefix.contains(['/', '*', '?']) { "ALL".to_owned() } else { format!("{prefix}*") };
    let url = server.endpoints(&url).ok()?.statistics(Some(&wanted)).ok()?;
    let body = statistics::fetch(&server.client().ok()?, &url, TIMEOUT).await.ok()?;
    match Report::from_json(&body)? {
        Report::Channels(infos) => Some(infos.into_iter().map(|info| info.channel).collect()),
        Report::Summary(_) => None,
    }
}
