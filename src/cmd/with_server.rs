//! `pushctl with-server`: a broker for as long as a command runs.
//!
//! The broker is a child process of the same program in its own process group, so that Ctrl-C in a
//! terminal ends the command first. It gets SIGTERM when the command has ended, and from the kernel
//! when this process ends (`serve --parent`). The token in the environment belongs to another
//! server, so neither the broker nor the command inherits it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child as Broker, Command as Program, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use super::exit::Usage;
use super::output;
use super::profile::{TOKEN_VARIABLE, URL_VARIABLE};

macro_rules! examples {
    () => {
        "Examples:
  pushctl with-server -- ./integration-tests.sh
  pushctl with-server --max-channels 10 -- sh -c 'pushctl pub a x'
  pushctl with-server --nginx-conf push.conf --listen 127.0.0.1:0 -- pytest"
    };
}

macro_rules! codes {
    () => {
        "\
Exit codes: that of the command, 128+N if signal N ended it, and
  125  the options of the broker are invalid, it could not be started, or it
       ended before the command
  126  the command could not be started
  127  the command was not found"
    };
}

/// Arguments of `with-server`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = concat!(examples!(), "\n\n", codes!()),
    override_usage = "pushctl with-server [OPTIONS OF SERVE] -- COMMAND [ARGUMENTS]..."
)]
pub struct Args {
    /// Options of 'pushctl serve', '--', and the command to run
    ///
    /// The default of --listen is a free port of 127.0.0.1. The command finds the URL of the broker
    /// in PUSHCTL_URL.
    #[arg(
        value_name = "[OPTIONS OF SERVE --] COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<OsString>,
}

impl Args {
    /// Options of the broker, and the command. The command never begins with a hyphen, options
    /// always do.
    fn split(&self) -> Result<(&[OsString], &[OsString]), Usage> {
        if self
            .words
            .first()
            .is_some_and(|word| !word.as_encoded_bytes().starts_with(b"-"))
        {
            return Ok((&[], &self.words));
        }
        let end = self
            .words
            .iter()
            .position(|word| word == "--")
            .unwrap_or(self.words.len());
        match self.words.get(end + 1..) {
            Some(command) if !command.is_empty() => Ok((&self.words[..end], command)),
            _ => Err(Usage(
                "missing COMMAND (usage: pushctl with-server [OPTIONS OF SERVE] -- COMMAND \
                 [ARGUMENTS])"
                    .to_owned(),
            )),
        }
    }
}

/// The broker could not be started, or ended before the command.
const BROKER_FAILED: u8 = 125;
/// Exit codes of shells.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;
/// Added to the number of the signal that ended the command.
const BY_SIGNAL: u8 = 128;
/// Time limit for the broker to stop, longer than its --grace.
const BROKER_END: Duration = Duration::from_secs(10);

/// Starts the broker, runs the command, stops the broker, and returns the exit code of the command.
/// The options are checked with `program`, the command line of this program.
///
/// # Errors
/// When the options are invalid.
pub async fn run(args: Args, program: clap::Command) -> anyhow::Result<u8> {
    let (options, command) = args.split()?;
    let mut words: Vec<OsString> = vec!["pushctl".into(), "serve".into()];
    words.extend(options.iter().cloned());
    // Reports invalid options before anything is started.
    if let Err(error) = program.try_get_matches_from(&words) {
        let text = error.render().to_string();
        output::report_lines(text.trim_start_matches("error: ").trim_end());
        return Ok(BROKER_FAILED);
    }
    let mut signals = Forwarded::new()?;
    let (mut broker, url) = match start(options) {
        Ok(started) => started,
        Err(error) => {
            output::note(format_args!("{error:#}"));
            return Ok(BROKER_FAILED);
        }
    };
    let (program, arguments) = command
        .split_first()
        .expect("split() returns a command that is not empty");
    let code = match Command::new(program)
        .args(arguments)
        .env(URL_VARIABLE, &url)
        .env_remove(TOKEN_VARIABLE)
        .spawn()
    {
        Ok(mut child) => code_of(signals.wait(&mut child).await?),
        Err(error) => {
            output::note(format_args!("cannot run '{}': {error}", program.display()));
            if error.kind() == std::io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                CANNOT_RUN
            }
        }
    };
    let early = broker
        .try_wait()
        .context("cannot get the status of the broker")?;
    if let Some(status) = early {
        output::note(format_args!(
            "the broker ended before the command: {status}"
        ));
        return Ok(if code == 0 { BROKER_FAILED } else { code });
    }
    end(broker).await;
    Ok(code)
}

fn code_of(status: ExitStatus) -> u8 {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => i32::from(BY_SIGNAL) + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(1)
}

/// Starts the broker and returns it with its URL.
fn start(options: &[OsString]) -> anyhow::Result<(Broker, String)> {
    use std::os::unix::process::CommandExt as _;
    let has_listen = options.iter().any(|option| {
        let option = option.to_string_lossy();
        option.starts_with("--listen") || (option.starts_with("-l") && !option.starts_with("--"))
    });
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let mut serve = Program::new(program);
    serve.env_remove(TOKEN_VARIABLE);
    serve
        .arg("serve")
        .args(options)
        .arg("--parent")
        .arg(getpid().as_raw_nonzero().to_string());
    if !has_listen {
        serve.args(["--listen", "127.0.0.1:0"]);
    }
    // Only the output of the command matters; options and the environment override this.
    if std::env::var_os("PUSHCTL_LOG").is_none() {
        serve.env("PUSHCTL_LOG", "warn");
    }
    let mut broker = serve
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot start the broker")?;
    let mut stdout = BufReader::new(broker.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout
        .read_line(&mut line)
        .context("cannot read the output of the broker")?;
    // Its further output is ignored; the pipe stays open, so that writing does not fail.
    broker.stdout = Some(stdout.into_inner());
    match line.trim_end().strip_prefix("listening on ") {
        // Absolute, because the command may change its directory.
        Some(url) => match url.strip_prefix("unix:").map(std::path::absolute) {
            Some(path) => Ok((
                broker,
                format!(
                    "unix:{}",
                    path.context("cannot get the path of the socket of the broker")?
                        .display()
                ),
            )),
            None => Ok((broker, url.to_owned())),
        },
        None => {
            let status = broker.wait().context("cannot wait for the broker")?;
            anyhow::bail!("the broker did not start: {status}")
        }
    }
}

fn kill(broker: &Broker, signal: Signal) -> std::io::Result<()> {
    Ok(kill_process(Pid::from_child(broker), signal)?)
}

/// Stops the broker; kills it after a time limit.
async fn end(mut broker: Broker) {
    // It may have ended already.
    let _ = kill(&broker, Signal::TERM);
    let ended = tokio::task::spawn_blocking({
        let pid = Pid::from_child(&broker);
        move || {
            rustix::process::waitid(
                rustix::process::WaitId::Pid(pid),
                rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
            )
        }
    });
    if tokio::time::timeout(BROKER_END, ended).await.is_err() {
        let _ = broker.kill();
    }
    let _ = broker.wait();
}

/// Signals that are forwarded to the command.
struct Forwarded {
    interrupt: Signals,
    quit: Signals,
    terminate: Signals,
    hangup: Signals,
}

impl Forwarded {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the end of `child`, and forwards signals to it.
    async fn wait(&mut self, child: &mut Child) -> anyhow::Result<ExitStatus> {
        loop {
            let signal = tokio::select! {
                status = child.wait() => return status.context("cannot wait for the command"),
                _ = self.interrupt.recv() => Signal::INT,
                _ = self.quit.recv() => Signal::QUIT,
                _ = self.terminate.recv() => Signal::TERM,
                _ = self.hangup.recv() => Signal::HUP,
            };
            // A terminal sends these to the whole process group, so the command gets them anyway.
            if matches!(signal, Signal::INT | Signal::QUIT) && is_in_foreground() {
                continue;
            }
            if let Some(pid) = child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw)
            {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// True if Ctrl-C in the terminal reaches the command directly.
fn is_in_foreground() -> bool {
    File::open("/dev/tty")
        .is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}
