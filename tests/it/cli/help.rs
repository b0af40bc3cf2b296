//! `-h` is a summary that fits on a screen, `--help` lists every option in its group.

use clap::{Arg, Command, CommandFactory as _};
use pushctl::cmd::Cli;

/// Lines of a summary.
const MAX_LINES: usize = 40;
/// Width of the narrowest terminal that the texts are written for.
const COLUMNS: usize = 80;

#[test]
fn summaries_fit_on_a_screen() {
    for name in ["serve", "pub", "sub", "bench"] {
        let help = subcommand(name).render_help().to_string();
        let lines = help.lines().count();
        assert!(lines <= MAX_LINES, "{name} -h has {lines} lines:\n{help}");
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(COLUMNS), "{name} -h has {widest:?} columns");
    }
}

#[test]
fn hidden_options_are_in_the_long_help() {
    for mut command in subcommands() {
        let summary = command.render_help().to_string();
        let help = command.render_long_help().to_string();
        let options: Vec<&Arg> = command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set() && !arg.is_positional())
            .collect();
        for option in &options {
            let name = option.get_long().expect("every option has a long name");
            assert_eq!(
                lists(&summary, name),
                !option.is_hide_short_help_set(),
                "{} -h: --{name}",
                command.get_name()
            );
            assert!(lists(&help, name), "{}: --{name}", command.get_name());
            if let Some(heading) = option.get_help_heading() {
                assert!(help.contains(&format!("\n{heading}:\n")), "{heading}");
            }
        }
        let hides_options = options.iter().any(|option| option.is_hide_short_help_set());
        let refers_to_long_help = summary
            .trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.ends_with("--help shows all options."));
        assert_eq!(refers_to_long_help, hides_options, "{summary}");
    }
}

/// True if an option has a separate entry.
fn lists(help: &str, option: &str) -> bool {
    help.lines().any(|line| {
        let mut words = line.split_whitespace().map(|word| {
            let end = word.find(['[', '=']).unwrap_or(word.len());
            word[..end].trim_end_matches(',')
        });
        let long = format!("--{option}");
        match words.next() {
            Some(word) if word == long => true,
            Some(word) if word.len() == 2 && word.starts_with('-') => {
                words.next() == Some(long.as_str())
            }
            _ => false,
        }
    })
}

fn subcommand(name: &str) -> Command {
    let found = subcommands()
        .into_iter()
        .find(|command| command.get_name() == name);
    found.expect("it is a subcommand")
}

/// The root command and its subcommands, with the width of a terminal of 80 columns.
fn subcommands() -> Vec<Command> {
    let mut root = Cli::command()
        .term_width(COLUMNS)
        .disable_help_subcommand(true);
    root.build();
    let subcommands = root.get_subcommands().cloned();
    let mut all: Vec<Command> = subcommands
        .map(|command| command.term_width(COLUMNS))
        .collect();
    all.push(root);
    all
}
