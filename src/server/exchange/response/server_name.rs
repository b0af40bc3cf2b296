//! The name of the server in its responses.

use std::sync::atomic::{AtomicBool, Ordering};

/// `server_tokens off`
static HIDES_VERSION: AtomicBool = AtomicBool::new(false);

/// Sets whether responses omit the version of the server.
pub fn set_version_hidden(is_hidden: bool) {
    HIDES_VERSION.store(is_hidden, Ordering::Relaxed);
}

/// Value of the `Server` header.
pub(in crate::server) fn server_name() -> &'static str {
    if HIDES_VERSION.load(Ordering::Relaxed) {
        "pushctl"
    } else {
        concat!("pushctl/", env!("CARGO_PKG_VERSION"))
    }
}

/// Server name on error pages. As long as `nginx/1.26.3`, so that the pages have the length of the
/// recorded ones.
pub(super) fn server_name_on_pages() -> &'static str {
    if HIDES_VERSION.load(Ordering::Relaxed) {
        "pushctl"
    } else {
        concat!(
            "pushctl v",
            env!("CARGO_PKG_VERSION_MAJOR"),
            ".",
            env!("CARGO_PKG_VERSION_MINOR")
        )
    }
}
