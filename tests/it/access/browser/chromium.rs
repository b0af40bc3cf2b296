//! The browser process: started once, spoken to over a pair of pipes in the DevTools protocol.
//!
//! Chromium ends when its pipe is closed, so it ends with the test binary, however that ends.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

use crate::support::{DEADLINE, Directory};

/// Names of the Chromium executable in Debian and elsewhere.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Only the servers of the tests are resolved; `*.test` is the loopback address.
const HOSTS: &str = "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE \
                     127.0.0.1, EXCLUDE 0.0.0.0, EXCLUDE localhost";
/// Headless, without sandbox (tests may run as root) and background traffic, with the timers of a
/// visible window.
const ARGUMENTS: [&str; 17] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--lang=en-US",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    HOSTS,
];
/// The pipes are descriptors 3 and 4. The profile folder is removed when the browser exits, even if
/// the tests were killed.
const SCRIPT: &str = "folder=$1; shift; \"$@\" 3<&0 4>&1 </dev/null >/dev/null \
     2>\"$folder/stderr\"; rm -rf \
     \"$folder\"";

/// Pending responses by command number.
type Waiting = Arc<Mutex<HashMap<u64, Sender<Value>>>>;

/// The running browser.
pub(super) struct Chromium {
    commands: Mutex<(u64, ChildStdin)>,
    waiting: Waiting,
}

impl Chromium {
    /// The browser that all tests share.
    ///
    /// # Panics
    /// If it is missing, with the command that installs it.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Chromium> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let is_there = |name: &&&str| {
            std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
            })
        };
        let program = PROGRAMS.iter().find(is_there).unwrap_or_else(|| {
            panic!(
                "the browser tests need Chromium: run tests/run --install, or `apt-get install \
                    chromium` (looked for {PROGRAMS:?})"
            )
        });
        let folder = Directory::new("chromium").keep();
        let mut command = Command::new("bash");
        command
            .args(["-c", SCRIPT, "chromium"])
            .arg(&folder)
            .arg(program)
            .args(ARGUMENTS);
        command
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", folder.display()))
            .arg("about:blank");
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let mut child = child.expect("bash is there");
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let waiting = Waiting::default();
        let answers = Arc::clone(&waiting);
        std::thread::spawn(move || {
            pass_on(stdout, &answers);
            // The tests have ended, or the browser has crashed: there is no receiver.
            let _ = child.wait();
        });
        let browser = Self {
            commands: Mutex::new((0, stdin)),
            waiting,
        };
        browser.send(None, "Browser.getVersion", &json!({}));
        browser
    }

    /// Result of a command, sent to the page of `session` if there is one.
    ///
    /// # Panics
    /// If the browser rejects the command, has exited, or does not respond within [`DEADLINE`].
    pub(super) fn send(&self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        let response = self.begin(session, method, parameters);
        let response = response
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|error| panic!("{method} is not answered by Chromium: {error}"));
        assert!(
            response.get("error").is_none(),
            "{method} {parameters}: {}",
            response["error"]
        );
        response["result"].clone()
    }

    fn begin(&self, session: Option<&str>, method: &str, parameters: &Value) -> Receiver<Value> {
        let (sender, receiver) = channel();
        let mut commands = self
            .commands
            .lock()
            .expect("no thread panics with the lock");
        commands.0 += 1;
        let mut command = json!({"id": commands.0, "method": method, "params": parameters});
        session
            .into_iter()
            .for_each(|session| command["sessionId"] = session.into());
        self.waiting
            .lock()
            .expect("no thread panics with the lock")
            .insert(commands.0, sender);
        // Without a browser the receiver sees a closed channel.
        let _ = commands.1.write_all(format!("{command}\0").as_bytes());
        receiver
    }
}

/// Dispatches responses until the browser exits; then drops all pending ones.
fn pass_on(stdout: ChildStdout, waiting: &Waiting) {
    for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
        let message: Value =
            serde_json::from_slice(&message).expect("the DevTools protocol is JSON");
        let id = message["id"].as_u64();
        let sender = id.and_then(|id| {
            waiting
                .lock()
                .expect("no thread panics with the lock")
                .remove(&id)
        });
        // The receiver may have timed out.
        sender
            .into_iter()
            .for_each(|sender| drop(sender.send(message.clone())));
    }
    waiting
        .lock()
        .expect("no thread panics with the lock")
        .clear();
}
