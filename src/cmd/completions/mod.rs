//! `pushctl completions`: the completion script of a shell, generated from the same tree as the
//! command line.
//!
//! The scripts of bash, zsh and fish get a few functions appended that ask `pushctl complete`
//! (`names`) for names of channels and servers. The scripts are the same on every machine and can
//! be committed; only names cost a call. A completion runs the program that is being completed and
//! nothing else of the line: words are passed as arguments and never evaluated, and names, which
//! publishers choose, are quoted for the shell before they are inserted.

mod names;

use clap::Command;
use clap_complete::Shell;
use clap_complete::aot::generate;

use super::exit::Code;
use super::output;

pub use names::complete_line;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pushctl completions bash > ~/.local/share/bash-completion/completions/pushctl
  pushctl completions zsh > ~/.zfunc/_pushctl
  pushctl completions fish > ~/.config/fish/completions/pushctl.fish

zsh needs 'fpath+=~/.zfunc' before compinit in ~/.zshrc. The scripts of bash,
zsh and fish also complete channel names, which they request from the server.")]
pub struct Args {
    /// Shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &Args, program: Command) -> anyhow::Result<Code> {
    output::text(&script(args.shell, program))?;
    Ok(Code::Success)
}

/// The script of `shell` for the command line `program`.
#[must_use]
pub fn script(shell: Shell, mut program: Command) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut program, "pushctl", &mut script);
    let text = String::from_utf8(script).expect("the generator writes text");
    match shell {
        Shell::Bash => text + BASH,
        Shell::Fish => fish(&text),
        Shell::Zsh => zsh(&text),
        _ => text,
    }
    .into_bytes()
}

/// Calls the generated function with whole words, and replaces its placeholders with names.
const BASH: &str = include_str!("names.bash");
const FISH: &str = include_str!("names.fish");
const ZSH: &str = include_str!("names.zsh");

/// Saves the program and the line before `_arguments` cuts `words` down to positional arguments.
const ZSH_ENTRY: &str = "
_pushctl() {
    local _pushctl_program=\"${(Q)words[1]}\"
    local -a _pushctl_line=(\"${(@)words[2,CURRENT-1]}\")
    # The completion of files expands its word, commands in it included.
    [[ $PREFIX$SUFFIX == *('$('|'`'|'${('|'<('|'>('|'=('|'(e:'|'(+')* ]] && return 1
";

/// Adds the completion of names to the options that take one.
fn fish(text: &str) -> String {
    let is_name = |line: &str| line.contains(" -l server ") || line.contains(" -l channel ");
    let lines = text.lines().map(|line| match is_name(line) {
        true => format!(
            "{} -f -a \"(__fish_pushctl_names)\"\n",
            line.trim_end_matches(" -f")
        ),
        false => format!("{line}\n"),
    });
    lines.collect::<String>() + FISH
}

/// The generator writes after each argument what completes it: `_default` where it knows nothing.
fn zsh(text: &str) -> String {
    let text = text.replacen("\n_pushctl() {\n", ZSH_ENTRY, 1);
    let (head, calls) = text
        .rsplit_once("\nif [ \"$funcstack[1]\"")
        .unwrap_or((&text, ""));
    let head = head.lines().map(zsh_line).collect::<Vec<_>>().join("\n");
    if calls.is_empty() {
        format!("{head}\n{ZSH}")
    } else {
        format!("{head}\n{ZSH}\nif [ \"$funcstack[1]\"{calls}")
    }
}

fn zsh_line(line: &str) -> String {
    let line = escape_value_name(line);
    if line.contains("--server=[") {
        return line.replace(":NAME:_default'", ":NAME:_pushctl_servers'");
    }
    if line.contains("]:CHANNEL:") {
        return line
            .replace(":CHANNEL:_default'", ":CHANNEL:_pushctl_channels'")
            .replace(":CHANNEL:'", ":CHANNEL:_pushctl_channels'");
    }
    if !line.contains(":channel -- ") && !line.contains(":channels -- ") {
        return line;
    }
    // `*::` would take all that follows for channels, options included.
    let line = line.replace("'*::channels -- ", "'*:channels -- ");
    line.replace(":_default'", ":_pushctl_channels'")
        .replace(":'", ":_pushctl_channels'")
}

/// A colon in the name of a value ends it for `_arguments`, which would run the rest as a command.
fn escape_value_name(line: &str) -> String {
    let Some((before, value)) = line.split_once("]:").filter(|_| line.starts_with('\'')) else {
        return line.to_owned();
    };
    match value.rsplit_once(":_") {
        Some((name, action)) => format!(
            "{before}]:{}:_{action}",
            name.trim_start_matches(':').replace(": ", "\\: ")
        ),
        None => line.to_owned(),
    }
}
