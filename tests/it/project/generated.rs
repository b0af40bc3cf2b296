//! The committed man pages and completions match the current command line.
//!
//! `PUSHCTL_BLESS=1 tests/run` (or `cargo test --test it generated`) regenerates them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use pushctl::cmd::Cli;
use pushctl::cmd::completions::script;

/// The files by path from the root of the repository.
type Files = BTreeMap<PathBuf, Vec<u8>>;

#[test]
fn man_pages_are_fresh() {
    let mut files = Files::new();
    // `pushctl help` has no man page: pushctl-sub(1) and the like replace it.
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    render(&root, "pushctl", &mut files);
    for command in root
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        render(
            command,
            &format!("pushctl-{}", command.get_name()),
            &mut files,
        );
    }
    check("man", &files);
}

#[test]
fn completions_are_fresh() {
    let shells = [
        (Shell::Bash, "pushctl.bash"),
        (Shell::Zsh, "_pushctl"),
        (Shell::Fish, "pushctl.fish"),
        (Shell::PowerShell, "_pushctl.ps1"),
    ];
    let mut files = Files::new();
    for (shell, name) in shells {
        files.insert(
            PathBuf::from("completions").join(name),
            script(shell, Cli::command()),
        );
    }
    check("completions", &files);
}

fn render(command: &Command, name: &str, files: &mut Files) {
    let mut page = Vec::new();
    let command = command.clone().display_name(name.to_owned());
    clap_mangen::Man::new(command)
        .render(&mut page)
        .expect("a vector takes everything");
    files.insert(PathBuf::from("man").join(format!("{name}.1")), page);
}

/// Compares `expected` with all files in `directory`, or writes them.
fn check(directory: &str, expected: &Files) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PUSHCTL_BLESS").is_some_and(|value| value == "1") {
        let _ = fs::remove_dir_all(root.join(directory));
        fs::create_dir_all(root.join(directory)).expect("the repository can be written");
        for (path, content) in expected {
            fs::write(root.join(path), content).expect("the repository can be written");
        }
        return;
    }
    let mut found = Files::new();
    for entry in fs::read_dir(root.join(directory)).expect("the directory is committed") {
        let path = entry.expect("the directory can be read").path();
        let content = fs::read(&path).expect("the file can be read");
        found.insert(
            path.strip_prefix(root)
                .expect("it is below the root")
                .to_owned(),
            content,
        );
    }
    let all = expected
        .keys()
        .chain(found.keys())
        .cloned()
        .collect::<std::collections::BTreeSet<_>>();
    let stale: Vec<_> = all
        .into_iter()
        .filter(|path| expected.get(path) != found.get(path))
        .collect();
    assert!(
        stale.is_empty(),
        "out of date (set PUSHCTL_BLESS=1 to regenerate): {stale:?}"
    );
}
