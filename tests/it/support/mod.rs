//! The harness: a server under test, a raw client, websocket frames, and waiting with a deadline.
//!
//! It starts the built binary and depends on the wire format only.

mod backend;
mod child_output;
mod connection;
mod directory;
mod message;
mod nginx;
mod nginx_comparison;

mod ports;
mod relay;
mod reload;
mod response;
mod server;
mod socket;
mod websocket;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use backend::{Reply, ScriptedBackend, next_request};
pub(crate) use connection::Connection;
pub(crate) use directory::Directory;
pub(crate) use message::{Message, object};
pub(crate) use nginx::Nginx;
pub(crate) use nginx_comparison::{
    ComparedRequest, SERVER_ON_PAGES, comparable, compare, compare_with,
};
pub(crate) use ports::free_port;
pub(crate) use relay::Relay;
pub(crate) use response::{Head, Response};
pub(crate) use server::{Server, program};
pub(crate) use socket::Socket;
pub(crate) use websocket::{Frame, frame, frame_with, opcode};

/// Upper bound of every wait of a test, far above the usual duration.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The two header lines of every publisher and subscriber response.
pub(crate) const NO_CACHE: &str = "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n\
                                   Cache-Control: no-cache, no-store, must-revalidate\r\n";

/// Takes a turn among the tests that load the machine or count on its being idle.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A failed test leaves no state for the next one.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls `condition` until it holds.
///
/// # Panics
/// After `DEADLINE`, with `what`.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(
            Instant::now() < end,
            "waited {DEADLINE:?} in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A configuration with directives at the http level and with locations.
pub(crate) fn conf(http: &str, locations: &str) -> String {
    format!(
        "events {{}}\nhttp {{\n{http}\nserver {{\nlisten 127.0.0.1:{{{{PORT}}}};\n{locations}\n}}\n\
         }}\n"
    )
}

/// Bytes as readable text, for messages of failed tests.
pub(crate) fn show(bytes: &[u8]) -> String {
    const MOST: usize = 2000;
    let text = bytes[..bytes.len().min(MOST)].escape_ascii().to_string();
    if bytes.len() > MOST {
        format!("{text}... ({} bytes)", bytes.len())
    } else {
        text
    }
}

/// Where `needle` first occurs in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len())
        .position(|window| window == needle)
}
