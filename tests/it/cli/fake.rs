//! A server with scripted answers, as recorded from the original module, and the program run
//! against it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

/// The `Date` of every response.
pub(crate) const DATE: &str = "Sat, 21 Nov 2026 00:19:20 GMT";
/// Upper bound of every wait of a test, far above the usual duration.
const DEADLINE: Duration = Duration::from_secs(20);

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET /ev/a`
    pub(crate) line: String,
    /// Header lines.
    headers: Vec<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Scripted reaction to a request.
pub(crate) enum Reply {
    /// Sends this and reads the next request of the connection.
    Send(String),
    /// Sends this and closes the connection.
    Close(String),
    /// Sends this and leaves the connection open until the client closes it.
    Hold(String),
    /// Accepts the websocket, sends these bytes and closes the connection.
    Upgrade(Vec<u8>),
    /// Sends this and leaves the connection to a subscribers' list.
    Keep(String, Arc<Mutex<Vec<TcpStream>>>),
}

/// A running server. It answers `HEAD` and `OPTIONS`, which query the clock and the dialect,
/// without recording them.
pub(crate) struct Fake {
    /// For `--url`.
    pub(crate) url: String,
    seen: Arc<Recorded>,
}

impl Fake {
    /// Starts a server whose replies are computed by `script` from the request and the number of
    /// earlier requests.
    pub(crate) fn start(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let seen = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let fake = Self {
            url,
            seen: Arc::clone(&seen),
        };
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let script = Arc::clone(&script);
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(socket, &*script, &seen));
            }
        });
        fake
    }

    /// Starts a server with one reply to all requests.
    pub(crate) fn always(response: &str) -> Self {
        let response = response.to_owned();
        Self::start(move |_, _| Reply::Send(response.clone()))
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen
            .0
            .lock()
            .expect("no test fails with the lock")
            .clone()
    }

    /// Waits for `count` requests.
    pub(crate) fn wait_for(&self, count: usize) {
        let seen = self.seen.0.lock().expect("no test fails with the lock");
        let (seen, _) = self
            .seen
            .1
            .wait_timeout_while(seen, DEADLINE, |seen| seen.len() < count)
            .expect("no test fails with the lock");
        assert!(seen.len() >= count, "only {} requests came", seen.len());
    }

    /// Runs the program with `--url` of this server and waits for its end.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        run(&[&["--url", self.url.as_str()], args].concat(), b"")
    }

    /// Runs the program with a time limit, the value of `option`, which is returned as well. The
    /// limit is raised until the program has received all data (`has_come`), since a busy machine
    /// may need longer.
    pub(crate) fn run_for(
        &self,
        args: &[&str],
        option: &str,
        has_come: impl Fn(&Outcome) -> bool,
    ) -> (Outcome, &'static str) {
        let mut limits = ["500ms", "2s", "8s"].iter();
        loop {
            let limit = limits.next().unwrap_or(&"30s");
            let outcome = self.run(&[args, &[option, limit]].concat());
            if has_come(&outcome) || *limit == "30s" {
                return (outcome, limit);
            }
        }
    }

    /// Starts the program with `--url` of this server.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts")
    }

    /// The program with `--url` of this server, not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        command(&[&["--url", self.url.as_str()], args].concat())
    }
}

/// Computes a reply from a request and the number of earlier ones.
type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// Recorded requests, and the signal that there is a new one.
type Recorded = (Mutex<Vec<Request>>, Condvar);

fn serve(mut socket: TcpStream, script: &Script, seen: &Recorded) {
    let mut reader = BufReader::new(socket.try_clone().expect("a socket can be cloned"));
    while let Some(request) = read(&mut reader) {
        if request.line.starts_with("OPTIONS ") {
            // The module's response, which distinguishes it from nchan.
            let response = format!("HTTP/1.1 200 OK\r\nDate: {DATE}\r\nContent-Length: 0\r\n\r\n");
            if socket.write_all(response.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        if request.line.starts_with("HEAD ") {
            let head =
                format!("HTTP/1.1 405 Not Allowed\r\nDate: {DATE}\r\nContent-Length: 0\r\n\r\n");
            socket.write_all(head.as_bytes()).expect("the client reads");
            continue;
        }
        let number = {
            let mut all = seen.0.lock().expect("no test fails with the lock");
            all.push(request.clone());
            all.len() - 1
        };
        let reply = script(&request, number);
        seen.1.notify_all();
        // The client may have disconnected, on purpose in some tests.
        let bytes = match &reply {
            Reply::Send(text) | Reply::Close(text) | Reply::Hold(text) | Reply::Keep(text, _) => {
                text.clone().into_bytes()
            }
            Reply::Upgrade(frames) => [upgrade(&request).as_bytes(), frames].concat(),
        };
        if socket.write_all(&bytes).is_err() {
            return;
        }
        match reply {
            Reply::Send(_) => {}
            Reply::Close(_) | Reply::Upgrade(_) => return,
            Reply::Hold(_) => {
                let _ = reader.read_to_end(&mut Vec::new());
                return;
            }
            Reply::Keep(_, list) => {
                list.lock()
                    .expect("no test fails with the lock")
                    .push(socket);
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let line = lines.remove(0).trim_end_matches(" HTTP/1.1").to_owned();
    let mut request = Request {
        line,
        headers: lines,
        body: Vec::new(),
    };
    let length = request
        .header("Content-Length")
        .map_or(0, |length| length.parse().expect("a number"));
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// The module's response to a websocket handshake (RFC 6455, section 4.2.2).
fn upgrade(request: &Request) -> String {
    let key = request
        .header("Sec-WebSocket-Key")
        .expect("a websocket handshake")
        .to_owned()
        + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let accept = base64::engine::general_purpose::STANDARD.encode(Sha1::digest(key.as_bytes()));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// A short unmasked frame that is complete.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len())
        .ok()
        .filter(|length| *length < 126)
        .map_or(vec![126, 0, payload.len() as u8], |length| vec![length]);
    [&[0x80 | opcode], length.as_slice(), payload].concat()
}

/// A 200 with `body` and further header lines, each with its line break.
pub(crate) fn ok(headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nDate: {DATE}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A response without body, with further header lines (each with CRLF).
pub(crate) fn status(line: &str, headers: &str) -> String {
    format!("HTTP/1.1 {line}\r\nDate: {DATE}\r\n{headers}Content-Length: 0\r\n\r\n")
}

/// A rejection with the module's explanation.
pub(crate) fn refused(line: &str, explain: &str) -> String {
    status(line, &format!("X-Nginx-PushStream-Explain: {explain}\r\n"))
}

/// The head of an endless response and its first chunks.
pub(crate) fn chunked(chunks: &[&str]) -> String {
    let mut text = format!(
        "HTTP/1.1 200 OK\r\nDate: {DATE}\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    for chunk in chunks {
        text.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }
    text
}

/// An object of the template of the module's JavaScript client, in which nothing is escaped.
pub(crate) fn object(id: i64, channel: &str, text: &str, second: u32, tag: u32) -> String {
    format!(
        "{{\"id\":{id},\"channel\":\"{channel}\",\"text\":\"{text}\",\"tag\":\"{tag}\",\
         \"time\":\"Sat, 21 Nov 2026 00:19:{second:02} GMT\",\"eventid\":\"\"}}"
    )
}

/// How the program ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs the program with that standard input and waits for its end.
pub(crate) fn run(args: &[&str], input: &[u8]) -> Outcome {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may end without reading.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    Outcome {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).expect("it writes UTF-8 here"),
        stderr: String::from_utf8(output.stderr).expect("it writes UTF-8"),
    }
}

/// The command, not started, with an environment free of `pushctl` variables.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushctl"));
    command
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // The configuration of the user who runs the tests must not have an effect.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    for name in [
        "PUSHCTL_URL",
        "PUSHCTL_SERVER",
        "PUSHCTL_TOKEN",
        "PUSHCTL_CONFIG",
        "PUSHCTL_SERVE_CONFIG",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(name);
    }
    command
}
