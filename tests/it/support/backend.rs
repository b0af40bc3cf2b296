//! A scripted HTTP back-end for hooks and `auth_request`, which records its requests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::wait_until;

/// Reply to a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// These bytes; the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes, then the end of the connection.
    Last(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Silence,
}

impl Reply {
    /// A complete response.
    pub(crate) fn response(status: &str, headers: &str, body: &str) -> Self {
        Self::Bytes(
            format!(
                "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
        )
    }

    /// `200 OK` with a body.
    pub(crate) fn ok(body: &str) -> Self {
        Self::response("200 OK", "", body)
    }
}

type Handler = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

/// The back-end; its threads end with the process.
pub(crate) struct ScriptedBackend {
    /// `127.0.0.1:PORT`, or `unix:PATH`.
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl ScriptedBackend {
    /// Starts a back-end that passes head and body of every request to `reply`.
    pub(crate) fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(
            TcpListener::bind("127.0.0.1:0").expect("a port"),
            None,
            reply,
        )
    }

    /// The same at a port that was free.
    pub(crate) fn at(port: u16, reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(
            TcpListener::bind(("127.0.0.1", port)).expect("the port is free"),
            None,
            reply,
        )
    }

    /// The same over TLS.
    pub(crate) fn with_tls(
        tls: ServerConfig,
        reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::on(
            TcpListener::bind("127.0.0.1:0").expect("a port"),
            Some(Arc::new(tls)),
            reply,
        )
    }

    /// The same at a unix socket.
    pub(crate) fn at_path(
        path: &Path,
        reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let reply = Arc::new(reply) as Handler;
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                let reply = Arc::clone(&reply);
                std::thread::spawn(move || serve(stream, &log, &reply));
            }
        });
        Self {
            address: format!("unix:{}", path.display()),
            requests,
        }
    }

    fn on(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("its address").to_string();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let reply = Arc::new(reply) as Handler;
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                let reply = Arc::clone(&reply);
                let tls = tls.clone();
                std::thread::spawn(move || match tls {
                    Some(tls) => {
                        let connection =
                            ServerConnection::new(tls).expect("the settings are complete");
                        let name = |stream: &StreamOwned<ServerConnection, TcpStream>| {
                            stream.conn.server_name().map(str::to_owned)
                        };
                        serve_named(StreamOwned::new(connection, stream), &log, &reply, name);
                    }
                    None => serve(stream, &log, &reply),
                });
            }
        });
        Self { address, requests }
    }

    /// Takes the new requests: head and body. Over TLS the requested server name precedes each as
    /// `[NAME]`.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().expect("no thread panics"))
    }

    /// The number of requests that were not taken yet.
    pub(crate) fn request_count(&self) -> usize {
        self.requests.lock().expect("no thread panics").len()
    }

    /// Waits for the next request and takes all.
    pub(crate) fn wait(&self) -> Vec<String> {
        wait_until("the back-end has a request", || self.request_count() > 0);
        self.take()
    }
}

fn serve(stream: impl Read + Write, log: &Mutex<Vec<String>>, reply: &Handler) {
    serve_named(stream, log, reply, |_| None);
}

/// Serves the requests of a connection; the tests check broken ones.
fn serve_named<S: Read + Write>(
    mut stream: S,
    log: &Mutex<Vec<String>>,
    reply: &Handler,
    name: impl Fn(&S) -> Option<String>,
) {
    let mut read = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut read) {
        let sent = name(&stream).map_or_else(String::new, |name| format!("[{name}]"));
        log.lock().expect("no thread panics").push(sent + &request);
        match reply(&request) {
            Reply::Bytes(bytes) => {
                if stream
                    .write_all(&bytes)
                    .and_then(|()| stream.flush())
                    .is_err()
                {
                    return;
                }
            }
            Reply::Last(bytes) => {
                let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                return;
            }
            // Until the client disconnects.
            Reply::Silence => drop(stream.read_to_end(&mut read)),
        }
    }
}

/// Reads a request: its head and body. `read` keeps the bytes after it.
pub(crate) fn next_request(stream: &mut impl Read, read: &mut Vec<u8>) -> Option<String> {
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = super::find(read, b"\r\n\r\n").map(|at| at + 4) {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            let length = |line: &str| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .and_then(|text| text.trim().parse().ok())
            };
            let length: usize = head.lines().find_map(length).unwrap_or(0);
            if read.len() >= end + length {
                let request = read.drain(..end + length).collect::<Vec<u8>>();
                return Some(String::from_utf8_lossy(&request).into_owned());
            }
        }
        match stream.read(&mut piece) {
            Ok(count @ 1..) => read.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
