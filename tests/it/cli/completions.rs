//! The completion scripts in Debian's bash, zsh and fish: candidates, quoting, and safety.
//!
//! bash and zsh are interactive shells on a pseudo terminal of zsh's `zpty`; fish completes with
//! `complete -C`.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::completion_shells::{BASH, Completed, OUTER, Shell, ZSH};
use super::fake::{Fake, ok};
use crate::support::Directory;

pub(super) const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Channels of the server, as publishers may name them.
const CHANNELS: [&str; 9] = [
    "news",
    "new york",
    "a:b",
    "a:c=d",
    "x$(touch ran)",
    "y`touch ran`",
    "z;touch ran",
    "-rf",
    "esc\\u001b[2J",
];

/// A directory with the program, its scripts and traps: commands that note that they ran.
pub(super) struct Home {
    pub(super) directory: Directory,
    pub(super) server: Fake,
}

impl Home {
    pub(super) fn new() -> Self {
        let info = |name: &&str| {
            format!(
                "{{\"channel\": \"{name}\", \"published_messages\": 1, \"stored_messages\": 1, \
                 \"subscribers\": 0}}"
            )
        };
        let infos: Vec<String> = CHANNELS.iter().map(info).collect();
        let server = Fake::always(&ok(
            "",
            &format!("{{\"hostname\": \"vm\", \"infos\": [{}]}}", infos.join(",")),
        ));
        let directory = Directory::new("completions");
        let path = directory.path().to_owned();
        for name in ["bin", "functions", "config", "config/pushctl"] {
            std::fs::create_dir(path.join(name)).expect("it is new");
        }
        symlink(env!("CARGO_BIN_EXE_pushctl"), path.join("bin/pushctl")).expect("it is new");
        for trap in ["deploy", "sub", "rm", "VALUE"] {
            let file = directory.write(
                &format!("bin/{trap}"),
                &format!("#!/bin/sh\n: > {}/ran\n", path.display()),
            );
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
                .expect("it is ours");
        }
        for (shell, file) in [
            ("bash", "bashrc"),
            ("zsh", "functions/_pushctl"),
            ("fish", "pushctl.fish"),
        ] {
            let output = Command::new(path.join("bin/pushctl"))
                .args(["completions", shell])
                .output()
                .expect("the program starts");
            directory.write(file, std::str::from_utf8(&output.stdout).expect("text"));
        }
        let bash = std::fs::read_to_string(path.join("bashrc")).expect("it was written");
        directory.write("bashrc", &format!("{bash}\n{BASH}"));
        directory.write(".zshrc", ZSH);
        directory.write("outer.zsh", OUTER);
        // Files that a completion of files would offer.
        directory.write("channels", "");
        directory.write("complete", "");
        Self { directory, server }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Has the file with named servers.
    pub(super) fn configure(&self, text: &str) {
        let file = self.directory.write("config/pushctl/config.toml", text);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    /// Presses the Tab key behind this line.
    pub(super) fn tab(&self, shell: Shell, line: &str) -> Completed {
        let hits = self.path().join("hits");
        let _ = std::fs::remove_file(&hits);
        let mut command = Command::new(if shell == Shell::Fish { "fish" } else { "zsh" });
        match shell {
            Shell::Fish => command.args([
                "--private",
                "-c",
                "source pushctl.fish; complete -C \"$argv[1]\"",
                "--",
                line,
            ]),
            Shell::Bash => {
                command.args(["-f", "outer.zsh", line, "bash", "--rcfile", "bashrc", "-i"])
            }
            Shell::Zsh => command.args(["-f", "outer.zsh", line, "zsh", "-d", "-i"]),
        };
        let path = format!("{}/bin:/usr/bin:/bin", self.path().display());
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path())
            .env("ZDOTDIR", self.path());
        command
            .env("TERM", "dumb")
            .env("LANG", "C.UTF-8")
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("HITS", &hits);
        command
            .env("PUSHCTL_URL", &self.server.url)
            .stdin(Stdio::null());
        let output = command
            .output()
            .expect("zsh and fish are installed (apt-get install zsh fish)");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if shell == Shell::Fish {
            assert!(
                output.status.success(),
                "{line}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let mut offered: Vec<String> = text
                .lines()
                .map(|line| line.split('\t').next().unwrap_or("").to_owned())
                .collect();
            offered.sort();
            return Completed {
                offered,
                line: String::new(),
            };
        }
        let hits = std::fs::read_to_string(&hits)
            .unwrap_or_else(|_| panic!("{shell:?} did not complete {line}: {text}"));
        let mut offered: Vec<String> = hits
            .lines()
            .filter_map(|line| Some(line.strip_prefix("HIT:")?.to_owned()))
            .collect();
        offered.sort();
        offered.dedup();
        let line = hits
            .lines()
            .find_map(|line| line.strip_prefix("LINE:"))
            .unwrap_or_else(|| panic!("no line: {hits}"));
        Completed {
            offered,
            line: line.to_owned(),
        }
    }

    pub(super) fn assert_nothing_ran(&self, shell: Shell, line: &str) {
        assert!(
            !self.path().join("ran").exists(),
            "{shell:?} ran something of: {line}"
        );
        assert!(
            self.path().join("channels").exists() && self.path().join("complete").exists(),
            "{shell:?} removed files for: {line}"
        );
    }
}

#[test]
fn names_are_offered_wherever_one_is_expected() {
    let home = Home::new();
    for shell in SHELLS {
        let plain = ["new york", "news"];
        let quoted = ["new\\ york", "news"];
        let names: &[&str] = if shell == Shell::Fish {
            &plain
        } else {
            &quoted
        };
        for line in [
            "pushctl sub ne",
            "pushctl sub other ne",
            "pushctl sub --json ne",
            "pushctl sub -n 1 -m lp ne",
            "pushctl sub -n1 --mode=lp other ne",
            "pushctl pub ne",
            "pushctl pub -c ne",
            "pushctl pub other -c ne",
            "pushctl pub --channel ne",
            "pushctl stats ne",
            "pushctl rm other ne",
            "pushctl wait -c ne",
            "pushctl wait --subscribers '>=1' --channel ne",
        ] {
            assert_eq!(home.tab(shell, line).offered, names, "{shell:?}: {line}");
        }
        // The name of a server that the line gives, with its colons.
        let other = Home::new();
        assert_eq!(
            home.tab(shell, &format!("pushctl sub --url {} ne", other.server.url))
                .offered,
            names,
            "{shell:?}"
        );
        assert_eq!(
            home.tab(shell, &format!("pushctl --url={} sub ne", other.server.url))
                .offered,
            names,
            "{shell:?}"
        );
        assert_eq!(other.server.requests().len(), 2, "{shell:?}");
        // Names that look like options, and characters special to terminals or shells.
        for line in ["pushctl sub -r", "pushctl sub esc"] {
            let offered = home.tab(shell, line).offered;
            assert!(
                !offered
                    .iter()
                    .any(|name| name.starts_with("-rf") || name.contains('\u{1b}')),
                "{shell:?}: {offered:?}"
            );
        }
    }
}

#[test]
fn a_name_is_inserted_as_one_word_that_nothing_expands() {
    let home = Home::new();
    for shell in [Shell::Bash, Shell::Zsh] {
        for (typed, inserted) in [
            ("x", r"x\$\(touch\ ran\)"),
            ("y", r"y\`touch\ ran\`"),
            ("z", r"z\;touch\ ran"),
            ("new\\ ", r"new\ york"),
            ("a:b", "a:b"),
            ("a:c", "a:c=d"),
            ("a:c=", "a:c=d"),
        ] {
            let line = home.tab(shell, &format!("pushctl sub {typed}")).line;
            assert_eq!(
                line.trim_end().replace("\\=", "="),
                format!("pushctl sub {inserted}"),
                "{shell:?}"
            );
        }
        // Within quotes a name is offered only if the quotes keep it whole.
        let line = home.tab(shell, "pushctl sub \"x").line;
        assert!(
            !line.contains("$(") || line.contains("\\$("),
            "{shell:?}: {line}"
        );
        assert!(
            home.tab(shell, "pushctl sub 'new y")
                .line
                .starts_with("pushctl sub 'new york"),
            "{shell:?}"
        );
    }
}

#[test]
fn values_of_options_are_offered_in_both_forms_and_behind_a_channel() {
    let home = Home::new();
    for shell in SHELLS {
        for line in [
            "pushctl sub --mode l",
            "pushctl sub --mode=l",
            "pushctl sub news --mode l",
            "pushctl sub news --mode=l",
        ] {
            let completed = home.tab(shell, line);
            let offered: Vec<&str> = completed
                .offered
                .iter()
                .map(|value| value.rsplit('=').next().unwrap_or(""))
                .collect();
            assert_eq!(offered, ["lp"], "{shell:?}: {line}");
            assert!(
                shell == Shell::Fish || completed.line.trim_end() == format!("{line}p"),
                "{shell:?}: {}",
                completed.line
            );
        }
        let offered = home.tab(shell, "pushctl pub --channel=new").offered;
        let names: Vec<String> = offered
            .iter()
            .map(|name| name.trim_start_matches("--channel=").replace('\\', ""))
            .collect();
        assert_eq!(names, ["new york", "news"], "{shell:?}");
        let offered = home.tab(shell, "pushctl sub news --fail").offered;
        assert_eq!(offered, ["--fail-on", "--fail-on-gap"], "{shell:?}");
    }
}

#[test]
fn servers_are_offered_by_name_and_no_files_in_their_place() {
    let home = Home::new();
    for shell in SHELLS {
        for line in [
            "pushctl sub --server ",
            "pushctl --server ",
            "pushctl sub --server=",
        ] {
            let completed = home.tab(shell, line);
            assert!(
                completed.offered.is_empty(),
                "{shell:?}: {line}: {:?}",
                completed.offered
            );
            assert!(
                shell == Shell::Fish || completed.line == line,
                "{shell:?}: {}",
                completed.line
            );
        }
    }
    home.configure("[servers.prod]\nurl = \"http://h\"\n[servers.test]\nurl = \"http://h\"\n");
    for shell in SHELLS {
        for line in [
            "pushctl sub --server ",
            "pushctl --server ",
            "pushctl pub news --server ",
            "pushctl stats --server=",
        ] {
            let offered = home.tab(shell, line).offered;
            let names: Vec<&str> = offered
                .iter()
                .map(|name| name.trim_start_matches("--server="))
                .collect();
            assert_eq!(names, ["prod", "test"], "{shell:?}: {line}");
        }
    }
}

#[test]
fn the_command_for_scripts_is_not_offered() {
    let home = Home::new();
    for shell in SHELLS {
        assert_eq!(
            home.tab(shell, "pushctl comp").offered,
            ["completions"],
            "{shell:?}"
        );
        let offered = home.tab(shell, "pushctl help comp").offered;
        // The files of the directory are none of ours.
        assert!(
            shell == Shell::Fish || offered == ["completions"],
            "{shell:?}: {offered:?}"
        );
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let outcome = super::fake::run(&["completions", shell], b"");
        assert!(
            !outcome
                .stdout
                .contains("Print names for a completion script"),
            "{shell}"
        );
    }
}
