//! The completion scripts in the real shells (Debian's bash, zsh and fish): what a line offers, how
//! it is inserted, and that nothing of the line is run but the program.
//!
//! bash and zsh are interactive shells on a pseudo terminal of zsh's `zpty`; fish completes with
//! `complete -C`.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::fake::{Fake, ok};
use crate::support::Directory;

/// A shell to complete in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// What a completion came to.
#[derive(Debug)]
struct Completed {
    /// What is offered, sorted.
    offered: Vec<String>,
    /// The line after the Tab key; fish does not show it.
    line: String,
}

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
struct Home {
    directory: Directory,
    server: Fake,
}

impl Home {
    fn new() -> Self {
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

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Has the file with named servers.
    fn configure(&self, text: &str) {
        let file = self.directory.write("config/pushctl/config.toml", text);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    /// Presses the Tab key behind this line.
    fn tab(&self, shell: Shell, line: &str) -> Completed {
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

    fn assert_nothing_ran(&self, shell: Shell, line: &str) {
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

/// Types a line and the keys behind it into the shell of the arguments, once that shows its prompt,
/// and waits for its end.
const OUTER: &str = r#"
zmodload zsh/zpty
line=$1
shift
zpty shell "$@"
zpty -r shell seen '*READY>*'
zpty -w -n shell "$line"$'\t\C-x\C-x'
while zpty -r shell seen; do print -rn -- "$seen"; done
"#;

/// Writes what is offered and the line into the file HITS.
const BASH: &str = r#"
PS1='READY>'
bind 'set completion-query-items 0'
bind 'set page-completions off'
bind 'set bell-style none'
eval "generated$(declare -f _pushctl_with_names)"
_pushctl_with_names() {
    generated_pushctl_with_names "$@"
    ((${#COMPREPLY[@]})) && printf 'HIT:%s\n' "${COMPREPLY[@]}" >> "$HITS"
    return 0
}
finish() { printf 'LINE:%s\n' "$READLINE_LINE" >> "$HITS"; exit; }
bind -x '"\C-x\C-x": finish'
"#;

const ZSH: &str = r#"
fpath=($ZDOTDIR/functions $fpath)
autoload -U compinit
compinit -u -D
PROMPT='READY>'
LISTMAX=100000
setopt no_beep no_auto_menu
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
        builtin compadd "$@"
        return $?
    fi
    local -a hits
    builtin compadd -A hits "$@"
    (( $#hits )) && print -rl -- HIT:$^hits >> $HITS
    builtin compadd "$@"
}
finish() { print -r -- "LINE:$BUFFER" >> $HITS; kill -KILL $$ }
zle -N finish
bindkey '^X^X' finish
# The shell's own expansion of the word runs commands in it.
bindkey '^I' complete-word
"#;

#[test]
fn no_completion_runs_what_was_typed() {
    let home = Home::new();
    for shell in SHELLS {
        for line in [
            "pushctl sub deploy",
            "pushctl sub deploy ",
            "pushctl sub rm ",
            "pushctl sub news deploy ",
            "pushctl rm deploy rm ",
            "pushctl pub deploy ",
            "pushctl stats deploy",
            "pushctl wait -c deploy",
            "pushctl sub -u deploy ",
            "pushctl sub $(touch ran)",
            "pushctl sub $(touch ran) ",
            "pushctl sub \"$(touch ran)",
            "pushctl sub `touch ran` ",
            "pushctl --url $(touch ran) sub ",
            "pushctl sub --url=$(touch ran) ",
            "pushctl sub --mode=$(touch ran)",
            "pushctl sub --cursor-file $(touch ran)/",
            "pushctl sub --cursor-file `touch ran`/",
            "pushctl sub --cursor-file=$(touch ran)/",
            "pushctl sub --cursor-file=/$(touch ran)/b/",
            "pushctl sub --cursor-file \"$(touch ran)/",
            "pushctl sub --cursor-file ${(e):-\\$(touch ran)}/",
            "pushctl sub --cursor-file *(e:'touch ran':)",
            "pushctl sub --cursor-file <(touch ran)",
            "pushctl check $(touch ran)/",
            "pushctl --config-file $(touch ran)/ sub ",
            "pushctl $(touch ran)/",
            "pushctl sub -H ",
            "pushctl sub a[$(touch ran)]",
            "pushctl $(touch ran) ",
            "pushctl sub ; deploy ",
        ] {
            // Lines that end a command complete something else.
            if line.contains(';') && shell != Shell::Fish {
                continue;
            }
            home.tab(shell, line);
            home.assert_nothing_ran(shell, line);
        }
    }
}

#[test]
fn a_token_command_of_a_typed_file_is_not_run_for_a_completion() {
    let home = Home::new();
    let url = &home.server.url;
    let config = format!(
        "default = \"x\"\n[servers.x]\nurl = \"{url}\"\ntoken_command = [\"touch\", \"ran\"]\n"
    );
    home.directory.write("typed.toml", &config);
    for shell in SHELLS {
        for line in [
            "pushctl sub --server x --config-file typed.toml ne",
            "pushctl --config-file=typed.toml --server=x sub ne",
        ] {
            assert_eq!(home.tab(shell, line).offered.len(), 2, "{shell:?}");
            home.assert_nothing_ran(shell, line);
        }
    }
}

#[test]
fn names_are_offered_wherever_the_line_wants_one() {
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
        // Names of options, and what terminals or shells would take for something else.
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
