//! The servers of a file by the addresses that they listen on, and the address at which pushctl
//! serves each group of them.
//!
//! Servers that share an address are distinguished by their names; at another address the same
//! names may mean other servers.

use std::net::SocketAddr;

use super::source::{Text, head};
use crate::server::config::ListenAddress;
use crate::server::config::source::nginx::listen;
use crate::server::config::source::nginx::listen::Listen;
use crate::server::config::source::nginx::parser::{Block, Directive};

/// A server and the `listen` lines that belong to its group.
#[derive(Debug)]
pub(super) struct GroupMember<'t> {
    pub(super) server: &'t Block,
    pub(super) listens: Vec<Vec<u8>>,
}

/// Servers that share one address, or several.
#[derive(Debug)]
pub(super) struct ServerGroup<'t> {
    /// One of the addresses.
    address: ListenAddress,
    pub(super) members: Vec<GroupMember<'t>>,
    /// Index of the default server in `members`.
    default: usize,
}

/// The address at which pushctl serves a group.
#[derive(Debug)]
pub(super) struct FrontUpstream<'t> {
    pub(super) group: ServerGroup<'t>,
    /// Name of the upstream.
    pub(super) name: String,
    address: String,
}

/// One `listen` of a server.
struct ListenLine<'t> {
    server: &'t Block,
    listen: Listen,
    text: Vec<u8>,
}

/// The groups of a file, in the order of their first addresses.
pub(super) fn groups(http: &Block) -> Vec<ServerGroup<'_>> {
    let mut groups: Vec<ServerGroup<'_>> = Vec::new();
    for group in by_address(lines(http)) {
        let is_same = |other: &&mut ServerGroup<'_>| {
            let are_equal = |(one, other): (&GroupMember<'_>, &GroupMember<'_>)| {
                std::ptr::eq(one.server, other.server)
            };
            other.default == group.default
                && other.members.len() == group.members.len()
                && other.members.iter().zip(&group.members).all(are_equal)
        };
        match groups.iter_mut().find(is_same) {
            Some(same) => {
                let pairs = same.members.iter_mut().zip(group.members);
                pairs.for_each(|(member, further)| member.listens.extend(further.listens));
            }
            None => groups.push(group),
        }
    }
    groups
}

fn lines(http: &Block) -> Vec<ListenLine<'_>> {
    let mut lines = Vec::new();
    let servers = http
        .directives
        .iter()
        .filter(|directive| directive.name == "server");
    for server in servers.filter_map(|directive| directive.block.as_ref()) {
        let listens = server
            .directives
            .iter()
            .filter(|directive| directive.name == "listen");
        let listens: Vec<_> = listens.flat_map(listens_with_texts).collect();
        if listens.is_empty() {
            let listen = listen::fallback();
            let text = format!("listen {};", listen.text).into_bytes();
            lines.push(ListenLine {
                server,
                listen,
                text,
            });
        }
        lines.extend(listens.into_iter().map(|(listen, text)| ListenLine {
            server,
            listen,
            text,
        }));
    }
    lines
}

/// The addresses of a `listen`, each as a separate line.
fn listens_with_texts(line: &Directive) -> Vec<(Listen, Vec<u8>)> {
    let listens = listen::parse(&line.arguments).unwrap_or_default();
    let is_range = listens.len() > 1;
    let with_text = |listen: Listen| match &listen.address {
        ListenAddress::Tcp(address) if is_range => {
            let mut single = line.clone();
            single.arguments[0] = address.to_string().into_bytes();
            (listen, [head(&single), b";".to_vec()].concat())
        }
        _ => (listen, [head(line), b";".to_vec()].concat()),
    };
    listens.into_iter().map(with_text).collect()
}

/// One group for each address. A UDP port for HTTP/3 belongs to the first group of its server.
fn by_address(lines: Vec<ListenLine<'_>>) -> Vec<ServerGroup<'_>> {
    let mut groups: Vec<ServerGroup<'_>> = Vec::new();
    let (quic, tcp): (Vec<ListenLine<'_>>, Vec<ListenLine<'_>>) =
        lines.into_iter().partition(|line| line.listen.is_quic);
    for ListenLine {
        server,
        listen,
        text,
    } in tcp
    {
        let at = groups
            .iter()
            .position(|group| group.address == listen.address)
            .unwrap_or(groups.len());
        if at == groups.len() {
            groups.push(ServerGroup {
                address: listen.address,
                members: Vec::new(),
                default: 0,
            });
        }
        let group = &mut groups[at];
        if listen.is_default {
            group.default = group.members.len();
        }
        group.members.push(GroupMember {
            server,
            listens: vec![text],
        });
    }
    for ListenLine { server, text, .. } in quic {
        let members = groups.iter_mut().flat_map(|group| &mut group.members);
        members
            .into_iter()
            .find(|member| std::ptr::eq(member.server, server))
            .into_iter()
            .for_each(|member| member.listens.push(text.clone()));
    }
    groups
}

/// Assigns an address to each group with push locations: the given one to the first, the following
/// ports to the others.
pub(super) fn assign<'t>(
    groups: Vec<ServerGroup<'t>>,
    address: &str,
    has_push: impl Fn(&Block) -> bool,
) -> Vec<FrontUpstream<'t>> {
    let taken: Vec<u16> = groups
        .iter()
        .filter_map(|group| port(&group.address))
        .collect();
    let mut backends: Vec<FrontUpstream<'t>> = Vec::new();
    let mut offset = 0;
    for group in groups
        .into_iter()
        .filter(|group| group.members.iter().any(|member| has_push(member.server)))
    {
        let number = backends.len() + 1;
        let address = loop {
            let candidate = following(address, offset);
            offset += 1;
            let is_taken = number > 1
                && candidate
                    .rsplit(':')
                    .next()
                    .and_then(|port| port.parse().ok())
                    .is_some_and(|port| taken.contains(&port));
            if !is_taken {
                break candidate;
            }
        };
        let name = if number == 1 {
            "pushctl".to_owned()
        } else {
            format!("pushctl_{number}")
        };
        backends.push(FrontUpstream {
            group,
            name,
            address,
        });
    }
    backends
}

fn port(address: &ListenAddress) -> Option<u16> {
    match address {
        ListenAddress::Tcp(address) => Some(address.port()),
        ListenAddress::Unix(_) => None,
    }
}

/// The address with `offset` added to its port; of a unix socket, the path with a number.
fn following(address: &str, offset: u16) -> String {
    if offset == 0 {
        return address.to_owned();
    }
    match address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
    {
        Some((host, port)) if !address.starts_with("unix:") => {
            format!("{host}:{}", port.wrapping_add(offset))
        }
        _ => format!("{address}.{}", offset + 1),
    }
}

/// Writes the options with which pushctl is started, as a comment, and the upstreams.
pub(super) fn header(
    text: &mut Text,
    backends: &[FrontUpstream<'_>],
    is_single: bool,
    guards: &[String],
) {
    text.line(
        0,
        "# For the http block of the nginx in front of pushctl, which runs with the same file and",
    );
    text.line(0, format!("#     {}", options(backends, is_single, guards)));
    text.line(
        0,
        "# Without --real-ip-from, every client has the address of nginx, in rules and in logs.",
    );
    if !guards.is_empty() {
        text.line(
            0,
            "# The directives that --front-enforces names are in force here only: pushctl \
                      accepts requests to their",
        );
        text.line(
            0,
            "# locations from the address of --real-ip-from, and rejects others.",
        );
    }
    text.line(
        0,
        "map $http_upgrade $pushctl_connection {\n    default upgrade;\n    '' '';\n}",
    );
    for FrontUpstream { name, address, .. } in backends {
        text.line(
            0,
            format!("\nupstream {name} {{\n    server {address};\n    keepalive 32;\n}}"),
        );
    }
}

/// The options of `serve`.
fn options(backends: &[FrontUpstream<'_>], is_single: bool, guards: &[String]) -> String {
    let mut words = Vec::new();
    for FrontUpstream { group, address, .. } in backends {
        let listen = if is_single {
            address.clone()
        } else {
            format!("{}={address}", shown(&group.address))
        };
        words.push(format!("--listen {}", word(&listen)));
    }
    let first = backends
        .first()
        .map_or("127.0.0.1", |backend| backend.address.as_str());
    words.push(format!("--real-ip-from {}", front_of(first)));
    if !guards.is_empty() {
        let is_plain = |name: &String| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let names = if guards.iter().all(is_plain) {
            guards.join(",")
        } else {
            "all".to_owned()
        };
        words.push(format!("--front-enforces {names}"));
    }
    words.join(" ")
}

/// The address from which the front connects to this one.
fn front_of(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        _ if address.starts_with("unix:") => "unix:".to_owned(),
        Ok(address) if address.ip().is_loopback() => address.ip().to_string(),
        _ => "ADDRESS_OF_NGINX".to_owned(),
    }
}

fn shown(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// A word quoted for the shell, on one line.
fn word(text: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "/._-:=[]".contains(character);
    if text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!(
            "'{}'",
            text.replace(char::is_control, "?").replace('\'', "'\\''")
        )
    }
}
