//! The start of `serve`: its announcement, and the limit of open files.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use rustix::process::{
    Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};

use crate::server::config::ListenAddress;

/// Prints the addresses on stdout and, for the built-in locations, commands to try them.
///
/// `hints` is `None` with a configuration file.
pub(super) fn announce(addresses: &[ListenAddress], hints: Option<Hints>) {
    let mut text = String::new();
    for address in addresses {
        text += &format!("listening on {address}\n");
    }
    if let (Some(hints), Some(address)) = (hints, addresses.first()) {
        let (mut option, base) = match address {
            ListenAddress::Tcp(address) => {
                (String::new(), format!("http://{}", connectable(*address)))
            }
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
        let is_tcp = option.is_empty();
        if hints.requires_password {
            option += "-u USER:PASSWORD ";
        }
        text += &format!(
            "publish:  curl {option}'{base}/pub?id=ch1' -d 'hello'\n\
             follow:   curl {option}-N '{base}/sub/ch1'\n"
        );
        if is_tcp {
            text += &format!("try it:   {base}/ in a browser\n");
        }
    }
    let mut stdout = std::io::stdout().lock();
    // A closed stdout is no reason not to serve.
    drop(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    );
}

/// Properties of the built-in locations that the printed commands depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hints {
    pub(super) requires_password: bool,
}

/// The address for clients on this machine: the unspecified address is replaced by loopback.
fn connectable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Warns of a configuration without push locations: every request gets 404 or a redirection.
pub(super) fn warn_without_endpoints(has_endpoints: bool) {
    if !has_endpoints {
        tracing::warn!(
            "no push locations: no server of the configuration has one (see pushctl check FILE)"
        );
    }
}

/// Warns of directives of --front-enforces that no push location has: they may be misspelt.
pub(super) fn warn_about_needless(front_enforces: &[String], left_to_front: &[String]) {
    for name in front_enforces
        .iter()
        .filter(|name| *name != "all" && !left_to_front.contains(name))
    {
        tracing::warn!("--front-enforces {name}: no push location of the configuration needs it");
    }
}

/// Descriptors that are not connections: listeners, runtimes, the log, a spare one.
const OWN_DESCRIPTORS: u64 = 32;

/// Raises the limit of open files to its maximum: every connection takes a descriptor. Logs how
/// many connections that allows, and warns if `--max-connections` is more.
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
        "starting: capacity is about {connections} connections"
    );
    if is_given && room < max_connections as u64 {
        tracing::warn!(
            "--max-connections {max_connections} is more than the limit of open files allows \
             (ulimit -n): further ones are rejected"
        );
    }
}

/// Makes the kernel send SIGTERM to this process when its parent ends.
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
