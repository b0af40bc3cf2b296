//! The start of `serve`: what it says, and how many descriptors it may have.

use std::io::Write;

use anyhow::Context;
use rustix::process::{
    Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};

use crate::server::config::ListenAddress;

/// Says on stdout where the server listens and, for the built-in locations, what to paste to try
/// it.
pub(super) fn announce(addresses: &[ListenAddress], is_builtin: bool) {
    let mut text = String::new();
    for address in addresses {
        text += &format!("listening on {address}\n");
    }
    if let (true, Some(address)) = (is_builtin, addresses.first()) {
        let (option, base) = match address {
            ListenAddress::Tcp(_) => (String::new(), address.to_string()),
            ListenAddress::Unix(path) => {
                let quoted = path.display().to_string().replace('\'', r"'\''");
                text += &format!(
                    "url:      unix:{} (for --url of pushctl's other commands)\n",
                    path.display()
                );
                (
                    format!("--unix-socket '{quoted}' "),
                    "http://localhost".to_owned(),
                )
            }
        };
        text += &format!(
            "publish:  curl {option}'{base}/pub?id=ch1' -d 'hello'\n\
             follow:   curl {option}-N '{base}/sub/ch1'\n"
        );
        if option.is_empty() {
            text += &format!("try it:   {base}/ in a browser\n");
        }
    }
    let mut stdout = std::io::stdout().lock();
    // Nobody may be reading, which is no reason not to serve.
    drop(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    );
}

/// Whoever asks gets 404 or a redirection everywhere: hardly what was meant.
pub(super) fn warn_without_endpoints(has_endpoints: bool) {
    if !has_endpoints {
        tracing::warn!(
            "no push location is served: the configuration has none in its servers (pushctl check \
             FILE shows them)"
        );
    }
}

/// Directives that are left to the front, and that no push location of the file has, may be
/// misspelt.
pub(super) fn warn_about_needless(front_enforces: &[String], left_to_front: &[String]) {
    for name in front_enforces
        .iter()
        .filter(|name| *name != "all" && !left_to_front.contains(name))
    {
        tracing::warn!("--front-enforces {name}: no push location of the configuration needs it");
    }
}

/// Descriptors that the server needs for itself: listeners, runtimes, the log, a spare one.
const OWN_DESCRIPTORS: u64 = 32;

/// Every connection takes a descriptor, so as many as the system allows are wanted. Says how many
/// connections that makes, and warns if somebody asked for more.
pub(super) fn raise_descriptor_limit(max_connections: usize, is_given: bool) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
        .is_err()
    {
        tracing::warn!(?current, ?maximum, "cannot raise the limit of open files");
    }
    let open_files = getrlimit(Resource::Nofile).current;
    let room = open_files.map_or(u64::MAX, |limit| limit.saturating_sub(OWN_DESCRIPTORS));
    let open_files = open_files.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let connections = room.min(max_connections as u64);
    tracing::info!(
        open_files,
        "starting: can hold about {connections} connections"
    );
    if is_given && room < max_connections as u64 {
        tracing::warn!(
            "--max-connections {max_connections} is more than the limit of open files allows \
             (ulimit -n): further ones are refused"
        );
    }
}

/// The kernel ends us with our parent, whatever ends that.
pub(super) fn follow_parent(parent: i32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .context("cannot follow the parent process")?;
    // It may have ended before that.
    anyhow::ensure!(
        getppid().is_some_and(|pid| pid.as_raw_nonzero().get() == parent),
        "the parent process is gone"
    );
    Ok(())
}
