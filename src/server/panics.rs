//! What a panic leaves in the log: a line that says where and what, and nothing of anybody's data.

use std::collections::BTreeMap;
use std::panic::PanicHookInfo;

use parking_lot::Mutex;

use super::log_throttle::LogThrottle;

/// Most bytes of a panic's message that are logged.
const MAX_MESSAGE_BYTES: usize = 160;

/// Name of the thread that makes lists of channels.
pub(super) const LISTS_THREAD: &str = "lists";

/// The lines of each place in the code: whoever found a way to its panic can come again and again.
static LINES: Mutex<BTreeMap<String, LogThrottle>> = Mutex::new(BTreeMap::new());

/// Logs panics of this process from now on; of one place in the code at most once in a second.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let mut due = None;
        LINES
            .lock()
            .entry(place.clone())
            .or_insert(LogThrottle::new())
            .warn(|left_out| due = Some(left_out));
        if let Some(left_out) = due {
            log(info, &place, left_out);
        }
    }));
}

fn log(info: &PanicHookInfo<'_>, place: &str, left_out: u64) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let consequence = match thread {
        LISTS_THREAD => "its list is answered with 500; ",
        thread if thread.starts_with("shard-") => "its connection is dropped, the others go on; ",
        _ => "",
    };
    tracing::error!(
        place,
        thread,
        left_out,
        "panic: {}; {consequence}please report this",
        message(info)
    );
}

/// The message up to the first quoted text: what stands in quotes may have come from a client.
fn message(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    unquoted(message.unwrap_or("no message"))
}

fn unquoted(message: &str) -> String {
    // `expect` and `unwrap` append the error, whose text is anybody's guess.
    let end = message
        .find(['"', '\'', '`', '\n', '{', ':'])
        .unwrap_or(message.len())
        .min(MAX_MESSAGE_BYTES);
    message[..message.floor_char_boundary(end)]
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_of_a_client_is_not_logged() {
        for (message, logged) in [
            ("index out of bounds", "index out of bounds"),
            (
                "byte index 1 is not a char boundary; it is inside 'e' of `secret`",
                "byte index 1 is not a char boundary; it is inside",
            ),
            ("a valid value: Error { text: \"secret\" }", "a valid value"),
            ("fault at \"delivery\"", "fault at"),
        ] {
            assert_eq!(unquoted(message), logged);
        }
        assert_eq!(unquoted(&"\u{e9}".repeat(200)).len(), MAX_MESSAGE_BYTES);
    }
}
