//! The host name of this machine, as logs, statistics and `$hostname` show it.

use std::sync::OnceLock;

/// Returns the host name of this machine.
#[must_use]
pub(in crate::server) fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    })
}
