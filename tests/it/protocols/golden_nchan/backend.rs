//! The HTTP back-end of a case: responds to each path as recorded, and records its requests.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The back-end of a case; its threads end with the process.
pub(super) struct Backend {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Value>>,
    log: Mutex<Vec<Value>>,
}

impl Backend {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the back-end");
        let port = listener
            .local_addr()
            .expect("the address of the back-end")
            .port();
        let shared = Arc::<Shared>::default();
        let for_all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&for_all);
                // Broken connections are checked by the case.
                std::thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Self { port, shared }
    }

    /// From now on `path` is answered so.
    pub(super) fn answer(&self, path: &str, respond: &Value) {
        self.shared
            .answers
            .lock()
            .expect("no thread panics")
            .insert(path.to_owned(), respond.clone());
        self.shared.log.lock().expect("no thread panics").clear();
    }

    /// Takes the new requests, at least `count` if they arrive in time, after a short wait for
    /// further ones.
    pub(super) fn take(&self, count: usize) -> Vec<Value> {
        let end = Instant::now() + Duration::from_secs(4);
        while self.shared.log.lock().expect("no thread panics").len() < count
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        std::mem::take(&mut *self.shared.log.lock().expect("no thread panics"))
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut words = first.split_whitespace();
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let mut headers = BTreeMap::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap_or(0);
            }
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        headers.remove("host");
        headers.remove("connection");
        let seen = json!({ "method": method, "path": target, "headers": headers,
            "body": String::from_utf8_lossy(&body) });
        shared.log.lock().expect("no thread panics").push(seen);
        let path = target.split('?').next().unwrap_or_default();
        let response = shared
            .answers
            .lock()
            .expect("no thread panics")
            .get(path)
            .cloned();
        let response =
            response.unwrap_or_else(|| json!({ "status": 200, "headers": {}, "body": "" }));
        let Some(status) = response["status"].as_u64() else {
            return Ok(());
        };
        let body = response["body"].as_str().unwrap_or_default();
        let mut head = format!("HTTP/1.1 {status} X\r\n");
        for (name, value) in response["headers"].as_object().into_iter().flatten() {
            head.push_str(&format!(
                "{name}: {}\r\n",
                value.as_str().unwrap_or_default()
            ));
        }
        let has_body = !matches!(status, 204 | 304);
        if has_body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut writer = stream;
        writer.write_all(format!("{head}\r\n{}", if has_body { body } else { "" }).as_bytes())?;
    }
}
