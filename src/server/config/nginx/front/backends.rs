//! The servers of a file by the addresses that they listen on, and the address at which pushctl
//! serves each group of them.
//!
//! Servers that share an address are distinguished by their names; at another address the same
//! names may mean other servers.

use std::net::SocketAddr;

use super::super::super::ListenAddress;
use super::super::listen::{self, Listen};
use super::super::parser::{Block, Directive};
use super::source::{Text, head};

/// A server and the `listen` lines that belong to its group.
#[derive(Debug)]
pub(super) struct Member<'t> {
    pub(super) server: &'t Block,
    pub(super) listens: Vec<Vec<u8>>,
}

/// Servers that answer together at one address, or at several.
#[derive(Debug)]
pub(super) struct ServerGroup<'t> {
    /// One of the addresses.
    address: ListenAddress,
    pub(super) members: Vec<Member<'t>>,
    /// Place of the default server among the members.
    default: usize,
}

/// Where pushctl serves a group.
#[derive(Debug)]
pub(super) struct Backend<'t> {
    pub(super) group: ServerGroup<'t>,
    /// Name of the upstream.
    pub(super) name: String,
    address: String,
}

/// One `listen` of a server.
struct Line<'t> {
    server: &'t Block,
    listen: Listen,
    text: Vec<u8>,
}

/// The groups of a file, in the order of their first addresses.
pub(super) fn groups(http: &Block) -> Vec<ServerGroup<'_>> {
    let mut groups: Vec<ServerGroup<'_>> = Vec::new();
    for group in by_address(lines(http)) {
        let is_same = |other: &&mut ServerGroup<'_>| {
            let are_equal =
                |(one, other): (&Member<'_>, &Member<'_>)| std::ptr::eq(one.server, other.server);
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

fn lines(http: &Block) -> Vec<Line<'_>> {
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
            lines.push(Line {
                server,
                listen,
                text,
            });
        }
        lines.extend(listens.into_iter().map(|(listen, text)| Line {
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
fn by_address(lines: Vec<Line<'_>>) -> Vec<ServerGroup<'_>> {
    let mut groups: Vec<ServerGroup<'_>> = Vec::new();
    let (quic, tcp): (Vec<Line<'_>>, Vec<Line<'_>>) =
        lines.into_iter().partition(|line| line.listen.is_quic);
    for Line {
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
        group.members.push(Member {
            server,
            listens: vec![text],
        });
    }
    for Line { server, text, .. } in quic {
        let members = groups.iter_mut().flat_map(|group| &mut group.members);
        members
            .into_iter()
            .find(|member| std::ptr::eq(member.server, server))
            .into_iter()
            .for_each(|member| member.listens.push(text.clone()));
    }
    groups
}

/// Gives each group with push locations an address: the given one, and the next ones after it.
pub(super) fn assign<'t>(
    groups: Vec<ServerGroup<'t>>,
    address: &str,
    has_push: impl Fn(&Block) -> bool,
) -> Vec<Backend<'t>> {
    let taken: Vec<u16> = groups
        .iter()
        .filter_map(|group| port(&group.address))
        .collect();
    let mut backends: Vec<Backend<'t>> = Vec::new();
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
        backends.push(Backend {
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

/// How pushctl is started, and the upstreams.
pub(super) fn header(
    text: &mut Text,
    backends: &[Backend<'_>],
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
        "# Without --real-ip-from every client has the address of nginx there, and rules \
                  and logs see that.",
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
    for Backend { name, address, .. } in backends {
        text.line(
            0,
            format!("\nupstream {name} {{\n    server {address};\n    keepalive 32;\n}}"),
        );
    }
}

/// The options of `serve`.
fn options(backends: &[Backend<'_>], is_single: bool, guards: &[String]) -> String {
    let mut words = Vec::new();
    for Backend { group, address, .. } in backends {
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

/// A word of a shell, on one line.
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
