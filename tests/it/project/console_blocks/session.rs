//! Runs the commands of a page: a shell for each, and one server.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::normalise;
use super::page::Step;
use crate::support::{Directory, free_port, program};

/// No command takes longer, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Beginnings of commands that do not end by themselves, unless they contain one of
/// [`ENDS`].
const RUNS_ON: &[&str] = &[
    "cargo run --release -- serve",
    "pushctl serve",
    "pushctl sub ",
    "pushctl stats --watch",
    "curl -N ",
    "tail -f ",
];
/// Options with which they end.
const ENDS: &[&str] = &[" --count ", " --help"];

/// `pushctl` on the path: `serve` without a configuration listens on the port of the session.
const PROGRAM: &str = r#"#!/bin/sh
case "$*" in
serve*onf*) ;;
serve | 'serve '*) set -- "$@" --listen 127.0.0.1:PORT ;;
esac
exec 'EXECUTABLE' "$@"
"#;

/// The commands of a page, one after another, in their directory.
pub(super) struct Session {
    directory: Directory,
    port: u16,
    background: Vec<Running>,
    problems: Vec<String>,
    commands: usize,
}

/// A command that runs.
struct Running {
    line: usize,
    command: String,
    expected: Option<String>,
    child: Child,
    output: PathBuf,
    is_server: bool,
}

/// Reports whether the command starts a server.
pub(super) fn is_server(command: &str) -> bool {
    runs_on(command) && command.contains(" serve")
}

/// Reports whether the command runs until it is interrupted.
pub(super) fn runs_on(command: &str) -> bool {
    RUNS_ON.iter().any(|start| command.starts_with(start))
        && !ENDS.iter().any(|option| command.contains(option))
}

impl Session {
    /// A directory with `pushctl`, and `cargo run` for it, on the path.
    pub(super) fn new() -> Self {
        let session = Self {
            directory: Directory::new("console"),
            port: free_port(),
            background: Vec::new(),
            problems: Vec::new(),
            commands: 0,
        };
        fs::create_dir(session.directory.path().join("bin")).expect("a new directory");
        let program = program().display().to_string();
        session.write(
            "bin/pushctl",
            &PROGRAM
                .replace("EXECUTABLE", &program)
                .replace("PORT", &session.port.to_string()),
        );
        session.write(
            "bin/cargo",
            "#!/bin/sh\n# run --release -- ARGUMENTS\nshift 3\nexec pushctl \"$@\"\n",
        );
        // The progress meter appears only where the output is not a terminal.
        session.write(".curlrc", "silent\nshow-error\n");
        session
    }

    /// Writes an executable file, with the port of the server for 8080, 9080 and `PORT`.
    pub(super) fn write(&self, name: &str, text: &str) {
        let text = text
            .replace(":8080", ":PORT")
            .replace(":PORT", &format!(":{}", self.port));
        let path = self.directory.write(name, &self.localise(&text));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path, mode).expect("the file is the test's own");
    }

    /// Runs a command: to its end, or in the background until the session is finished.
    pub(super) fn run(&mut self, step: &Step) {
        let is_server = is_server(&step.command);
        if is_server {
            self.end_background();
        }
        let counts = self.counts();
        let mut running = self.start(step, is_server);
        if runs_on(&step.command) {
            let end = Instant::now() + DEADLINE;
            while running.is_running() && !self.is_ready(&running, counts) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.background.push(running);
            return;
        }
        let status = running.wait();
        let problem = match status {
            None => Some("does not end".to_owned()),
            Some(status) if step.output.is_none() && !status.success() => {
                Some(format!("ends with {status}"))
            }
            Some(_) => None,
        };
        self.check(&running, problem);
    }

    /// Ends what runs and returns what differed, each with its line.
    pub(super) fn finish(mut self) -> Vec<String> {
        self.end_background();
        std::mem::take(&mut self.problems)
    }

    /// The text with the server's port, and with the configuration of the page's directory for
    /// that of the machine.
    fn localise(&self, text: &str) -> String {
        text.replace(":9080", &format!(":{}", self.port))
            .replace("/etc/nginx/", "")
    }

    fn start(&mut self, step: &Step, is_server: bool) -> Running {
        self.commands += 1;
        let directory = self.directory.path();
        let output = directory.join(format!(".output-{}", self.commands));
        let file = File::create(&output).expect("a new file");
        let path = std::env::var("PATH").expect("the tests have a path");
        let child = Command::new("bash")
            .args(["-c", &self.localise(&step.command)])
            .current_dir(directory)
            .env("PATH", format!("{0}/bin:{0}:{path}", directory.display()))
            .env("HOME", directory)
            .env("PUSHCTL_URL", format!("http://127.0.0.1:{}", self.port))
            .env("LC_ALL", "C.UTF-8")
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a descriptor"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .expect("bash is installed");
        Running {
            line: step.line,
            command: step.command.clone(),
            expected: step.output.clone(),
            child,
            output,
            is_server,
        }
    }

    /// Reports whether a command of the background has done what the next ones build on: the server
    /// answers, a follower is counted, or something is published or printed.
    fn is_ready(&self, running: &Running, before: Option<Counts>) -> bool {
        let counts = self.counts();
        if running.is_server {
            return counts.is_some();
        }
        match (before, counts) {
            (Some(before), Some(now)) => {
                now.subscribers > before.subscribers
                    || now.published > before.published
                    || !running.text().is_empty()
            }
            _ => false,
        }
    }

    /// The counters of the server, if it answers.
    fn counts(&self) -> Option<Counts> {
        let url = format!("http://127.0.0.1:{}/channels-stats", self.port);
        let output = Command::new("curl")
            .args(["-s", "-m", "5", &url])
            .output()
            .expect("curl is installed");
        if !output.status.success() {
            return None;
        }
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let count = |name: &str| value[name].as_u64().unwrap_or_default();
        Some(Counts {
            subscribers: count("subscribers"),
            published: count("published_messages"),
        })
    }

    /// Ends the commands of the background, the server last, and compares what they printed.
    fn end_background(&mut self) {
        let mut background = std::mem::take(&mut self.background);
        background.sort_by_key(|running| running.is_server);
        for mut running in background {
            let expected = running
                .expected
                .as_ref()
                .map(|text| normalise(text, self.port));
            let end = Instant::now() + Duration::from_secs(10);
            while let Some(expected) = &expected
                && running.is_running()
                && normalise(&running.text(), self.port) != *expected
                && Instant::now() < end
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            // 11: the followed channel was deleted by another command of the page.
            let problem = match running
                .child
                .try_wait()
                .expect("the child is the session's own")
            {
                Some(status) if !matches!(status.code(), Some(0 | 11)) => {
                    Some(format!("ends with {status}"))
                }
                _ => None,
            };
            self.check(&running, problem);
            running.end();
        }
    }

    /// Compares what a command printed with what the page shows.
    fn check(&mut self, running: &Running, problem: Option<String>) {
        let text = normalise(&running.text(), self.port);
        let expected = running
            .expected
            .as_ref()
            .map(|text| normalise(text, self.port));
        let problem = match (problem, expected) {
            (Some(problem), _) => format!("{problem}\n{text}"),
            (None, Some(expected)) if expected != text => {
                format!("should print\n{expected}\nbut prints\n{text}")
            }
            _ => return,
        };
        self.problems
            .push(format!("{}: {}: {problem}", running.line, running.command));
    }
}

/// Counters of the server.
#[derive(Clone, Copy)]
struct Counts {
    subscribers: u64,
    published: u64,
}

impl Running {
    fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the child is the session's own")
            .is_none()
    }

    /// What it has printed.
    fn text(&self) -> String {
        let bytes = fs::read(&self.output).expect("the output is a file");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for its end; `None` after the deadline.
    fn wait(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            let status = self
                .child
                .try_wait()
                .expect("the child is the session's own");
            if status.is_some() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Ends it with everything that it has started.
    fn end(&mut self) {
        if self.is_running() {
            self.signal(Signal::TERM);
            let end = Instant::now() + Duration::from_secs(10);
            while self.is_running() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        // An error means that all processes of the group have ended.
        let _ = kill_process_group(Pid::from_raw(id).expect("not zero"), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
