//! A pseudo terminal for the program, and an emulator of its screen.

use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command, Pts, Pty, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

/// Upper bound of every wait of a test, far above the usual duration.
const DEADLINE: Duration = Duration::from_secs(30);

/// A program on a separate terminal.
pub(crate) struct Terminal {
    pty: Arc<Pty>,
    // Kept open, so that the terminal outlives the program and its modes can be queried.
    pts: Pts,
    child: Child,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
}

impl Terminal {
    /// Starts the program with these arguments and variables; colours and UTF-8 are enabled unless
    /// the variables disable them.
    pub(crate) fn start(
        rows: u16,
        columns: u16,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let (pty, pts) = open().expect("the system has pseudo terminals");
        pty.resize(Size::new(rows, columns))
            .expect("a terminal can be resized");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pushctl")).args(args);
        for name in [
            "PUSHCTL_URL",
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
            "LC_ALL",
            "LC_CTYPE",
        ] {
            command = command.env_remove(name);
        }
        command = command
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .envs(variables.iter().copied());
        let child = command.spawn_borrowed(&pts).expect("the program starts");
        let pty = Arc::new(pty);
        let screen = Arc::new((Mutex::new(parser(rows, columns)), Condvar::new()));
        let output = Arc::clone(&pty);
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = (&*output).read(&mut bytes) {
                shown
                    .0
                    .lock()
                    .expect("no test fails with the lock")
                    .process(&bytes[..length]);
                shown.1.notify_all();
            }
        });
        Self {
            pty,
            pts,
            child,
            screen,
        }
    }

    /// Types.
    pub(crate) fn send(&self, keys: &str) {
        (&*self.pty)
            .write_all(keys.as_bytes())
            .expect("the terminal takes keys");
    }

    /// Waits until the screen is so.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let screen = self.screen.0.lock().expect("no test fails with the lock");
        let wait = self
            .screen
            .1
            .wait_timeout_while(screen, DEADLINE, |parser| !is_so(parser.screen()));
        let (parser, result) = wait.expect("no test fails with the lock");
        assert!(
            !result.timed_out(),
            "{what} does not come:\n{}",
            parser.screen().contents()
        );
    }

    /// Waits until the screen shows this text.
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text));
    }

    /// The screen as text.
    pub(crate) fn text(&self) -> String {
        self.screen
            .0
            .lock()
            .expect("no test fails with the lock")
            .screen()
            .contents()
    }

    /// Changes the size of the window.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        *self.screen.0.lock().expect("no test fails with the lock") = parser(rows, columns);
        self.pty
            .resize(Size::new(rows, columns))
            .expect("a terminal can be resized");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// True while lines are edited and keys are echoed, as a shell needs it.
    pub(crate) fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.pts).expect("it is a terminal").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the end; the terminal must be restored. Returns the exit code and the final
    /// screen.
    pub(crate) fn end(mut self) -> (i32, String) {
        let code = self
            .child
            .wait()
            .expect("it ends")
            .code()
            .expect("it ends by itself");
        // Written after all output of the program, so it is shown when that has been read.
        rustix::io::write(&self.pts, b"\x1b[?2004h").expect("the terminal is open");
        self.wait("the end of the output", vt100::Screen::bracketed_paste);
        self.wait("the normal screen with a cursor", |screen| {
            !screen.alternate_screen() && !screen.hide_cursor()
        });
        assert!(self.is_cooked(), "the terminal is left in raw mode");
        (code, self.text())
    }
}

fn parser(rows: u16, columns: u16) -> vt100::Parser {
    let size = |number| NonZeroU16::new(number).expect("a terminal has lines and columns");
    vt100::Parser::new(size(rows), size(columns), 0)
}
