//! One recorded case against a fresh server: its steps in their order.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;

use super::backend::Backend;
use super::clock::{align_second, now, pause};
use super::conn::{Conn, Response};
use super::frames::{client_frame, inflate};
use super::matching::{Bindings, blob};
use crate::support::Server;

/// Time limit of a response: the machine may be busy with other cases.
const PATIENCE: Duration = Duration::from_secs(8);
/// Time within which unexpected data is detected.
const QUIET: Duration = Duration::from_millis(600);

struct Replay<'a> {
    server: Server,
    backend: Backend,
    bindings: Bindings,
    conns: HashMap<&'a str, Conn>,
    has_defect: bool,
    /// Second of the last message that was published.
    published: u64,
}

/// Runs the case; the error says which step differed and how.
pub(super) fn run(case: &Value) -> Result<(), String> {
    let backend = Backend::start();
    let conf = text(&case["nginx_conf"]).replace("{{BACKEND_PORT}}", &backend.port.to_string());
    let server = Server::try_with_conf(&conf, &[])?;
    let steps = case["steps"].as_array().ok_or("a case without steps")?;
    let defect = case["defect"].as_str().unwrap_or_default();
    let free = free_steps(defect);
    let later = later_steps(steps);
    let has_defect = !defect.is_empty();
    let mut replay = Replay {
        server,
        backend,
        bindings: Bindings::default(),
        conns: HashMap::new(),
        has_defect,
        published: 0,
    };
    align_second();
    for (number, step) in steps.iter().enumerate() {
        while later.contains(&number) && now().as_secs() <= replay.published {
            pause(5);
        }
        if publishes(step) {
            replay.published = now().as_secs();
        }
        let result = replay.step(step);
        if !free.contains(&number) {
            let what = format!(
                "{} {}",
                text(&step["op"]),
                text(&step["request"]["path"])
                    .chars()
                    .take(60)
                    .collect::<String>()
            );
            result.map_err(|error| format!("step {number} {what}: {error}"))?;
        }
    }
    Ok(())
}

/// The steps that the original handles incorrectly: `step 3: ...`, `steps 0-2, 5: ...`.
fn free_steps(defect: &str) -> HashSet<usize> {
    let numbers = Regex::new(r"^steps? ([\d, -]+):").expect("a valid expression");
    let Some(found) = numbers.captures(defect) else {
        return HashSet::new();
    };
    let ranges = found[1].split(',').map(|range| {
        range
            .trim()
            .split_once('-')
            .unwrap_or((range.trim(), range.trim()))
            .to_owned()
    });
    let number = |text: &str| text.trim().parse::<usize>().unwrap_or(usize::MAX);
    ranges
        .flat_map(|(from, to)| number(from)..=number(to))
        .collect()
}

/// The publishing steps that must be in a new second: the last ones before a new name of a second.
fn later_steps(steps: &[Value]) -> HashSet<usize> {
    let name = Regex::new(r":T(\d+)\}\}").expect("a valid expression");
    let mut later = HashSet::new();
    let mut last = 0;
    let mut seen = HashSet::from(["1".to_owned()]);
    for (number, step) in steps.iter().enumerate() {
        if publishes(step) {
            last = number;
        }
        let names: HashSet<String> = name
            .captures_iter(&step.to_string())
            .map(|found| found[1].to_owned())
            .collect();
        if !names.is_subset(&seen) {
            later.insert(last);
            seen.extend(names);
        }
    }
    later
}

fn publishes(step: &Value) -> bool {
    step["op"] == "ws_send" || matches!(text(&step["request"]["method"]), "POST" | "PUT")
}

impl<'a> Replay<'a> {
    fn step(&mut self, step: &'a Value) -> Result<(), String> {
        match step["op"].as_str().unwrap_or("request") {
            "request" => self.request(step),
            "raw_request" => {
                let mut conn = self.connect()?;
                conn.send(text(&step["bytes"]).as_bytes());
                self.check_response(&step["response"], &mut conn, "GET")
            }
            "send" => {
                let request = self.request_bytes(&step["request"])?;
                let conn = self.conn(step)?;
                conn.send(&request);
                conn.waiting += 1;
                conn.until(
                    Duration::from_millis(step["expect_pending_ms"].as_u64().unwrap_or(0)),
                    |_| false,
                );
                let came = !conn.buffer.is_empty() || conn.is_over;
                if came && conn.waiting == 1 {
                    Err(format!(
                        "should be held, got {:?}",
                        String::from_utf8_lossy(&conn.buffer)
                    ))
                } else {
                    Ok(())
                }
            }
            "send_more" => {
                let request = self.request_bytes(&step["request"])?;
                let conn = self.conn(step)?;
                conn.send(&request);
                conn.waiting += 1;
                Ok(())
            }
            "recv" => {
                let mut conn = self
                    .conns
                    .remove(text(&step["conn"]))
                    .ok_or("no such connection")?;
                conn.waiting = conn.waiting.saturating_sub(1);
                let result = self.check_response(&step["response"], &mut conn, "GET");
                self.conns.insert(text(&step["conn"]), conn);
                result
            }
            "client_close" => {
                self.conns.remove(text(&step["conn"]));
                pause(200);
                Ok(())
            }
            "stream_open" => self.stream_open(step),
            "stream_recv" => self.arrives(step, &step["body_more"], &step["connection_open"]),
            "ws_open" => {
                let mut conn = self.connect()?;
                conn.send(&self.request_bytes(&step["request"])?);
                let result = self.check_response(&step["response"], &mut conn, "GET");
                self.conns.insert(text(&step["conn"]), conn);
                result
            }
            "ws_send" => {
                let frame = client_frame(&step["frame"]);
                self.conn(step)?.send(&frame);
                Ok(())
            }
            "ws_recv" => self.receive_frame(step),
            "expect_tcp_closed" => {
                let is_wanted = step["closed"] == true;
                let conn = self.conn(step)?;
                conn.until(if is_wanted { PATIENCE } else { QUIET }, |_| false);
                if conn.is_over == is_wanted {
                    Ok(())
                } else {
                    Err(format!("closed: {}", conn.is_over))
                }
            }
            "backend" => {
                self.backend.answer(text(&step["path"]), &step["respond"]);
                Ok(())
            }
            "backend_saw" => self.backend_saw(&step["requests"]),
            "sleep" => {
                pause(step["ms"].as_u64().unwrap_or(0));
                Ok(())
            }
            "align_second" => {
                align_second();
                Ok(())
            }
            other => Err(format!("an unknown step {other}")),
        }
    }

    fn connect(&self) -> Result<Conn, String> {
        Ok(Conn::new(self.server.try_socket()?))
    }

    fn conn(&mut self, step: &'a Value) -> Result<&mut Conn, String> {
        let name = text(&step["conn"]);
        if !self.conns.contains_key(name) {
            let conn = self.connect()?;
            self.conns.insert(name, conn);
        }
        self.conns
            .get_mut(name)
            .ok_or_else(|| "no such connection".to_owned())
    }

    fn request_bytes(&self, request: &Value) -> Result<Vec<u8>, String> {
        let version = request["http_version"].as_str().unwrap_or("1.1");
        let mut head = format!(
            "{} {} HTTP/{version}\r\nHost: t\r\n",
            text(&request["method"]),
            self.bindings.fill(text(&request["path"]))?
        );
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            head.push_str(&format!("{name}: {}\r\n", self.bindings.fill(text(value))?));
        }
        let body = if request["body"].is_null() {
            None
        } else {
            Some(blob(&request["body"]))
        };
        if let Some(body) = &body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        Ok([(head + "\r\n").as_bytes(), &body.unwrap_or_default()].concat())
    }

    fn request(&mut self, step: &Value) -> Result<(), String> {
        let mut conn = self.connect()?;
        conn.send(&self.request_bytes(&step["request"])?);
        let method = text(&step["request"]["method"]);
        if step["response"].is_string() {
            let got = conn.response(method, QUIET)?;
            return got.map_or(Ok(()), |got| Err(format!("want no response, got {got:?}")));
        }
        self.check_response(&step["response"], &mut conn, method)
    }

    fn check_response(
        &mut self,
        want: &Value,
        conn: &mut Conn,
        method: &str,
    ) -> Result<(), String> {
        let got: Response = conn
            .response(method, PATIENCE)?
            .ok_or_else(|| format!("no response, want {}", want["status"]))?;
        self.bindings
            .check_head(want, &got, (method, self.has_defect))?;
        self.bindings.check(&want["body"], &got.body, "body")
    }

    fn stream_open(&mut self, step: &'a Value) -> Result<(), String> {
        let mut conn = self.connect()?;
        conn.send(&self.request_bytes(&step["request"])?);
        let want = &step["response"];
        let got = conn.head(PATIENCE)?.ok_or("no response head")?;
        self.conns.insert(text(&step["conn"]), conn);
        self.bindings
            .check_head(want, &got, ("GET", self.has_defect))?;
        self.arrives(step, &want["body_so_far"], &want["connection_open"])
    }

    /// The bytes of a stream, exactly these, and whether the connection is open after them.
    fn arrives(&mut self, step: &'a Value, want: &Value, is_open: &Value) -> Result<(), String> {
        let is_open = is_open == true;
        let mut conn = self
            .conns
            .remove(text(&step["conn"]))
            .ok_or("no such connection")?;
        let begin = Instant::now();
        let mut result = Err(String::new());
        while result.is_err() && begin.elapsed() < PATIENCE {
            let came = conn.buffer.len();
            conn.until(Duration::from_millis(50), |buffer| buffer.len() > came);
            // Allows unexpected data to arrive.
            if begin.elapsed() < Duration::from_millis(150) {
                continue;
            }
            result = if conn.is_over == is_open {
                Err(format!(
                    "the connection is {}open",
                    if conn.is_over { "not " } else { "" }
                ))
            } else {
                self.bindings
                    .clone()
                    .check(want, &conn.buffer, "stream")
                    .map_err(|error| error + &format!(", open: {}", !conn.is_over))
            };
        }
        if result.is_ok() {
            self.bindings.check(want, &conn.buffer, "stream")?;
            conn.buffer.clear();
        }
        self.conns.insert(text(&step["conn"]), conn);
        result
    }

    fn receive_frame(&mut self, step: &'a Value) -> Result<(), String> {
        let want = &step["frame"];
        let has_defect = self.has_defect;
        let within = Duration::from_millis(step["within_ms"].as_u64().unwrap_or(0));
        let conn = self.conn(step)?;
        if let Some(nothing) = want.as_str() {
            let got = conn.frame(within);
            let is_right = got.is_none() && conn.is_over == (nothing == "{{TCP_CLOSED}}");
            return if is_right {
                Ok(())
            } else {
                Err(format!(
                    "want {nothing}, got {got:?} (closed: {})",
                    conn.is_over
                ))
            };
        }
        let got = conn
            .frame(PATIENCE)
            .ok_or_else(|| format!("no frame (closed: {}), want {want}", conn.is_over))?;
        let mut is_part = false;
        if let Some(code) = want["close_code"].as_u64() {
            let reason = text(&want["reason"]);
            let (got_code, got_reason) = got.payload.split_at(got.payload.len().min(2));
            // The recorded reason is cut short.
            is_part = has_defect && got_reason.starts_with(reason.as_bytes());
            if got_code != u16::try_from(code).unwrap_or(0).to_be_bytes()
                || (got_reason != reason.as_bytes() && !is_part)
            {
                return Err(format!("want close {code} {reason:?}, got {got:?}"));
            }
        } else if want["rsv1"] == 1 {
            // Another compressor may choose other bytes.
            is_part = true;
            if inflate(&got.payload) != inflate(&blob(&want["payload"])) {
                return Err(format!("want {want}, got {got:?}"));
            }
        } else {
            self.bindings
                .check(&want["payload"], &got.payload, "payload")?;
        }
        let header: String = got
            .header
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let length = if is_part { 2 } else { 20 };
        let cut = |text: &str| text[..text.len().min(length)].to_owned();
        if cut(&header) == cut(text(&want["header_hex"])) {
            Ok(())
        } else {
            Err(format!(
                "want frame header {}, got {header}",
                want["header_hex"]
            ))
        }
    }

    fn backend_saw(&mut self, requests: &Value) -> Result<(), String> {
        let want: Value = serde_json::from_str(&self.bindings.fill(&requests.to_string())?)
            .map_err(|error| error.to_string())?;
        let mut want = want.as_array().cloned().unwrap_or_default();
        for request in &mut want {
            let headers = request["headers"].as_object().cloned().unwrap_or_default();
            request["headers"] = headers
                .into_iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect();
        }
        let got = self.backend.take(want.len());
        if got == want {
            Ok(())
        } else {
            Err(format!(
                "the back-end saw\n   want {want:?}\n   got  {got:?}"
            ))
        }
    }
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
