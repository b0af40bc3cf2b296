//! The harness: a server under test, a raw client, websocket frames, and waiting with a deadline.
//!
//! Nothing here knows how the server works inside; it starts the built binary and speaks bytes.

mod backend;
mod connection;
mod directory;
mod message;
mod nginx;
mod relay;
mod reload;
mod server;
mod socket;
mod websocket;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use backend::{Reply, ScriptedBackend, next_request};
pub(crate) use connection::{Connection, Head, Response};
pub(crate) use directory::Directory;
pub(crate) use message::{Message, object};
pub(crate) use nginx::Nginx;
pub(crate) use relay::Relay;
pub(crate) use server::{Server, free_port, program};
pub(crate) use socket::Socket;
pub(crate) use websocket::{Frame, frame, frame_with, opcode};

/// No wait of a test lasts longer; a passing test never gets near it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The two header lines that every answer of a publisher or a subscriber carries.
pub(crate) const NO_CACHE: &str = "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n\
                                   Cache-Control: no-cache, no-store, must-revalidate\r\n";

/// Takes a turn among the tests that load the machine or count on its being idle.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A failed test leaves nothing behind that the next one could see.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks `condition` until it holds.
///
/// # Panics
/// After `DEADLINE`, with `what` was awaited.
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
