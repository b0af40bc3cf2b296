//! One recorded case against a fresh server: its steps in their order.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::client::{Client, Head};
use super::fields::{array, bytes, expect, idle, text, truth};
use super::matching::{Bindings, latin1, unhex};
use crate::support::{Server, frame_with};

/// Headers whose values differ between servers.
const OWN: [&str; 2] = ["server", "date"];

/// How long the recording waited for the head of a stream that the original withholds.
const WITHHELD: Duration = Duration::from_millis(400);

/// Runs the case; the error says which step differed and how.
pub(super) fn run(case: &Value) -> Result<(), String> {
    let header_file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/push-stream/header.txt"
    );
    let conf = format!(
        "# {}\n{}",
        text(&case["name"]),
        text(&case["nginx_conf"]).replace("{{HEADER_FILE}}", header_file)
    );
    let server = Server::try_with_conf(&conf, &[])?;
    let steps = case["steps"].as_array().ok_or("a case without steps")?;
    let strict = steps.iter().any(|step| step["op"] == "align_second");
    let mut replay = Replay {
        server,
        bindings: Bindings::new(strict),
        clients: HashMap::new(),
    };
    for (number, step) in steps.iter().enumerate() {
        let operation = step["op"].as_str().unwrap_or("exchange");
        replay
            .step(operation, step)
            .map_err(|error| format!("step {number} {operation} {error}"))?;
    }
    Ok(())
}

struct Replay {
    server: Server,
    bindings: Bindings,
    clients: HashMap<String, Client>,
}

impl Replay {
    fn step(&mut self, operation: &str, step: &Value) -> Result<(), String> {
        match operation {
            "exchange" => self.exchange(step),
            "open" | "ws_open" => self.open(step, operation == "ws_open"),
            "head" => {
                let client = self.client(step)?;
                let head = if let Some(early) = client.early.take() {
                    Some(early)
                } else {
                    client.head(Duration::from_secs(3))?
                };
                self.check_head(&step["response_head"], head.as_ref())
            }
            "read" => self.read(step),
            "gzip_read" => self.read_gzip(step),
            "ws_send" => self.send_frames(step),
            "ws_recv" => self.receive_frames(step),
            "raw" => self.raw(step),
            "raw_send" => self.client(step)?.send(&latin1(text(&step["data"]))),
            "shutdown_write" => {
                self.client(step)?.half_close();
                Ok(())
            }
            "eof" => {
                let client = self.client(step)?;
                client.wait_for_close();
                expect(&step["closed"], client.closed, "closed")
            }
            "close" => {
                self.clients.remove(text(&step["conn"]));
                pause(100);
                Ok(())
            }
            "reload" => {
                self.server.signal(rustix::process::Signal::HUP);
                pause(500);
                Ok(())
            }
            "sleep" => {
                pause(step["ms"].as_u64().ok_or("sleep without ms")?);
                Ok(())
            }
            "align_second" => {
                if !(20..250).contains(&millisecond()) {
                    pause(1050 - millisecond());
                }
                Ok(())
            }
            "next_second" => {
                pause(1050 - millisecond());
                Ok(())
            }
            _ => Err("is an operation that the runner does not know".to_owned()),
        }
    }

    fn client(&mut self, step: &Value) -> Result<&mut Client, String> {
        self.clients
            .get_mut(text(&step["conn"]))
            .ok_or_else(|| format!("no connection {}", step["conn"]))
    }

    fn connect(&self) -> Result<Client, String> {
        self.server.try_socket().map(Client::new)
    }

    fn exchange(&mut self, step: &Value) -> Result<(), String> {
        let request = &step["request"];
        let method = text(&request["method"]);
        let name = step["conn"].as_str();
        let mut client = match name.and_then(|name| self.clients.remove(name)) {
            Some(client) => client,
            None => self.connect()?,
        };
        client.send(&self.request(request))?;
        let head = client.head(Duration::from_secs(5))?;
        let what = format!("{method} {}", text(&request["path"]));
        self.check_head(&step["response"], head.as_ref())
            .map_err(|error| format!("{what} {error}"))?;
        if let Some(head) = head {
            let body = client.body(method, head.status, Duration::from_secs(5))?;
            if let Some(published_at) = step["published_at"].as_str() {
                let date = head.headers.get("date").ok_or("no Date header")?;
                self.bindings
                    .bind(published_at.trim_matches(['{', '}']), date);
            }
            self.bindings
                .check(&step["response"]["body"], &body, &format!("{what} body"))?;
        }
        if let Some(name) = name {
            self.clients.insert(name.to_owned(), client);
        }
        Ok(())
    }

    fn open(&mut self, step: &Value, websocket: bool) -> Result<(), String> {
        let mut client = self.connect()?;
        client.send(&self.request(&step["request"]))?;
        let withheld = step["response_head"].is_null();
        let began = std::time::Instant::now();
        let head = client.head(if withheld {
            WITHHELD
        } else {
            Duration::from_secs(3)
        })?;
        if withheld && head.is_some() {
            // The original withholds the head of a stream until its first body byte; sending it at
            // once is accepted. The next step still begins as in the recording, because pings and
            // ends of streams are relative to it.
            std::thread::sleep(WITHHELD.saturating_sub(began.elapsed()));
            client.early = head;
        } else {
            self.check_head(&step["response_head"], head.as_ref())
                .map_err(|error| format!("{} {error}", text(&step["request"]["path"])))?;
        }
        if websocket {
            client.leave_http();
        }
        self.clients.insert(text(&step["conn"]).to_owned(), client);
        Ok(())
    }

    fn read(&mut self, step: &Value) -> Result<(), String> {
        let idle = idle(step);
        let client = self.client(step)?;
        let data = client.until_idle(idle)?;
        let ended = client.ended;
        self.bindings.check(&step["data"], &data, "data")?;
        let want = step["end"]
            .as_str()
            .is_some_and(|end| end.contains("last-chunk"));
        expect(&Value::Bool(want), ended, "the body has ended")
    }

    /// As `read`, of the received part of a body in gzip.
    fn read_gzip(&mut self, step: &Value) -> Result<(), String> {
        let idle = idle(step);
        let plain = self.client(step)?.unzipped_until_idle(idle)?;
        self.bindings.check(&step["data"], &plain, "data")
    }

    fn raw(&mut self, step: &Value) -> Result<(), String> {
        let name = text(&step["conn"]);
        if !self.clients.contains_key(name) {
            let client = self.connect()?;
            self.clients.insert(name.to_owned(), client);
        }
        let client = self.client(step)?;
        client.send(&latin1(text(&step["send"])))?;
        client.leave_http();
        let received = client.until_idle(Duration::from_millis(400))?;
        // The recording is raw here, so it contains the `Server` header.
        let want = text(&step["recv"]).replace(
            "Server: nginx/1.26.3\r\n",
            concat!("Server: pushctl/", env!("CARGO_PKG_VERSION"), "\r\n"),
        );
        let as_text: String = received.iter().map(|byte| char::from(*byte)).collect();
        self.bindings
            .check_text(&want, as_text.as_bytes(), "received")
    }

    fn send_frames(&mut self, step: &Value) -> Result<(), String> {
        let frames: Vec<Vec<u8>> = array(&step["frames"]).iter().map(client_frame).collect();
        let client = self.client(step)?;
        if step["byte_by_byte"] == true {
            for byte in frames.concat() {
                client.send(&[byte])?;
                pause(20);
            }
        } else if step["one_segment"] == false {
            for frame in frames {
                client.send(&frame)?;
                pause(50);
            }
        } else {
            client.send(&frames.concat())?;
        }
        Ok(())
    }

    fn receive_frames(&mut self, step: &Value) -> Result<(), String> {
        let idle = idle(step);
        let client = self.client(step)?;
        let frames = client.frames(idle)?;
        let closed = client.closed;
        let want = array(&step["frames"]);
        if frames.len() != want.len() {
            return Err(format!(
                "{} frames, want {}: {frames:?}",
                frames.len(),
                want.len()
            ));
        }
        for (frame, want) in frames.iter().zip(want) {
            if frame.header != unhex(text(&want["header_hex"])) {
                return Err(format!(
                    "frame header {:02x?}, want {}",
                    frame.header, want["header_hex"]
                ));
            }
            let payload = &want["payload"];
            match payload["close_code"].as_u64() {
                Some(code) => {
                    let got = frame
                        .payload
                        .get(..2)
                        .map(|bytes| u64::from(u16::from_be_bytes([bytes[0], bytes[1]])));
                    if got != Some(code) {
                        return Err(format!("close code {got:?}, want {code}"));
                    }
                    self.bindings
                        .check(&payload["reason"], &frame.payload[2..], "close reason")?;
                }
                None => self.bindings.check(payload, &frame.payload, "payload")?,
            }
        }
        expect(&Value::Bool(!step["end"].is_null()), closed, "closed")
    }

    fn request(&mut self, request: &Value) -> Vec<u8> {
        if let Some(raw) = request["raw"].as_str() {
            return latin1(&self.bindings.fill(raw));
        }
        let version = request["version"].as_str().unwrap_or("1.1");
        let mut head = format!(
            "{} {} HTTP/{version}\r\n",
            text(&request["method"]),
            self.bindings.fill(text(&request["path"]))
        );
        let headers: Vec<(String, String)> = array(&request["headers"])
            .iter()
            .map(|header| {
                (
                    text(&header[0]).to_owned(),
                    self.bindings.fill(text(&header[1])),
                )
            })
            .collect();
        let has = |wanted: &str| {
            headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        if version == "1.1" && !has("host") {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = bytes(&request["body"]);
        if let Some(body) = &body
            && !has("content-length")
            && !has("transfer-encoding")
        {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut all = latin1(&(head + "\r\n"));
        all.extend(body.unwrap_or_default());
        all
    }

    fn check_head(&mut self, want: &Value, got: Option<&Head>) -> Result<(), String> {
        let got = match (want.is_null(), got) {
            (true, None) => return Ok(()),
            (true, Some(got)) => return Err(format!("expected no response head, got {got:?}")),
            (false, None) => return Err(format!("no response head, want {}", want["status"])),
            (false, Some(got)) => got,
        };
        let status = want["status"].as_u64().unwrap_or_default();
        let reason = text(&want["reason"]);
        if (got.status, got.reason.as_str()) != (status, reason) {
            return Err(format!(
                "status {} {}, want {status} {reason}; {:?}",
                got.status, got.reason, got.headers
            ));
        }
        let headers = want["headers"]
            .as_object()
            .ok_or("a response without headers")?;
        for (name, value) in headers {
            let value_got = got
                .headers
                .get(&name.to_ascii_lowercase())
                .ok_or_else(|| format!("header {name} is missing: {got:?}"))?;
            self.bindings
                .check(value, value_got.as_bytes(), &format!("header {name}"))?;
        }
        let known = |name: &String| {
            OWN.contains(&name.as_str()) || headers.keys().any(|key| key.eq_ignore_ascii_case(name))
        };
        let extra: Vec<&String> = got.headers.keys().filter(|name| !known(name)).collect();
        if extra.is_empty() {
            Ok(())
        } else {
            Err(format!("headers {extra:?} too many: {got:?}"))
        }
    }
}

fn client_frame(frame: &Value) -> Vec<u8> {
    let number = |key: &str| {
        u8::try_from(frame[key].as_u64().unwrap_or_default())
            .expect("a recorded frame's bits fit a byte")
    };
    let fin = if truth(&frame["fin"]) { 0x80 } else { 0 };
    let mask = truth(&frame["masked"]).then_some([0x0a, 0x0b, 0x0c, 0x0d]);
    frame_with(
        fin | number("rsv") << 4 | number("opcode"),
        &bytes(&frame["payload"]).unwrap_or_default(),
        mask,
    )
}

/// These pauses are part of the recording; no result depends on them.
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

fn millisecond() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| u64::from(now.subsec_millis()))
}
