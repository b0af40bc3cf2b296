//! Log lines for panics: place in the code and message, without data of clients.

use std::collections::BTreeMap;
use std::panic::PanicHookInfo;

use parking_lot::Mutex;

use super::log_throttle::LogThrottle;

/// Maximum number of logged bytes of a panic message.
const MAX_MESSAGE_BYTES: usize = 160;

/// Name of the thread that builds lists of channels.
pub(in crate::server) const LISTS_THREAD: &str = "lists";

/// Rate limits by place in the code: a client that can trigger a panic can do so repeatedly.
static LINES: Mutex<BTreeMap<String, LogThrottle>> = Mutex::new(BTreeMap::new());

/// Installs a hook that logs the panics of this process, at most once per second for each place in
/// the code.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let mut due = None;
        LINES
            .lock()
            .entry(place.clone())
            .or_insert(LogThrottle::new())
            .warn(|suppressed| due = Some(suppressed));
        if let Some(suppressed) = due {
            log(info, &place, suppressed);
        }
    }));
}

fn log(info: &PanicHookInfo<'_>, place: &str, suppressed: u64) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let consequence = match thread {
        LISTS_THREAD => "the request for the list fails with 500; ",
        thread if thread.starts_with("shard-") => {
            "the connection is closed, others are not affected; "
        }
        _ => "",
    };
    tracing::error!(
        place,
        thread,
        suppressed,
        "panic: {}; {consequence}please report this",
        message(info)
    );
}

/// The panic message up to the first quoted text, which may be data of a client.
fn message(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    unquoted(message.unwrap_or("no message"))
}

fn unquoted(message: &str) -> String {
    // `expect` and `unwrap` append an error behind a colon; its text may contain such data, too.
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
    fn data_of_clients_is_not_logged() {
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
