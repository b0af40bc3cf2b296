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

/// Names under which Debian and others install it.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Nothing but the tests' own servers is looked up, and `*.test` is the loopback.
const HOSTS: &str = "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE \
                     127.0.0.1, EXCLUDE 0.0.0.0, EXCLUDE localhost";
/// No window, no sandbox (tests may run as root), no traffic of its own, and timers as in a window
/// that is looked at.
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
/// Its pipes are the descriptors 3 and 4. The folder goes when it has ended, also when the tests
/// were killed.
const SCRIPT: &str = r#"folder=$1; shift; "$@" 3<&0 4>&1 </dev/null >/dev/null 2>"$folder/stderr"; rm -rf "$folder""#;

/// Answers that somebody waits for, by the number of the command.
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
    /// When there is none, with how to install it.
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
            // The tests are over, or the browser fell: nobody is left to tell.
            let _ = child.wait();
        });
        let browser = Self {
            commands: Mutex::new((0, stdin)),
            waiting,
        };
        browser.send(None, "Browser.getVersion", &json!({}));
        browser
    }

    /// The result of a command; with a session it goes to the page of that session.
    ///
    /// # Panics
    /// When the browser refuses it, has ended, or says nothing for [`DEADLINE`].
    pub(super) fn send(&self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        let answer = self.begin(session, method, parameters);
        let answer = answer
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|error| panic!("{method} is not answered by Chromium: {error}"));
        assert!(
            answer.get("error").is_none(),
            "{method} {parameters}: {}",
            answer["error"]
        );
        answer["result"].clone()
    }

    fn begin(&self, session: Option<&str>, method: &str, parameters: &Value) -> Receiver<Value> {
        let (sender, receiver) = channel();
        let mut commands = self.commands.lock().expect("nobody panics with the lock");
        commands.0 += 1;
        let mut command = json!({"id": commands.0, "method": method, "params": parameters});
        session
            .into_iter()
            .for_each(|session| command["sessionId"] = session.into());
        self.waiting
            .lock()
            .expect("nobody panics with the lock")
            .insert(commands.0, sender);
        // Without a browser the answer does not come, which its receiver notices.
        let _ = commands.1.write_all(format!("{command}\0").as_bytes());
        receiver
    }
}

/// Gives answers to those who wait for them, until the browser has ended; then nobody waits any
/// more.
fn pass_on(stdout: ChildStdout, waiting: &Waiting) {
    for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
        let message: Value =
            serde_json::from_slice(&message).expect("the DevTools protocol is JSON");
        let id = message["id"].as_u64();
        let sender = id.and_then(|id| {
            waiting
                .lock()
                .expect("nobody panics with the lock")
                .remove(&id)
        });
        // Who waited may have given up.
        sender
            .into_iter()
            .for_each(|sender| drop(sender.send(message.clone())));
    }
    waiting.lock().expect("nobody panics with the lock").clear();
}
