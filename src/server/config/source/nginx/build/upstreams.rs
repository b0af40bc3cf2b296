//! `upstream` blocks: the groups of servers that `proxy_pass` of hooks refers to.

use std::sync::Arc;

use super::inner_block::InnerBlock;
use crate::server::config::model::units;
use crate::server::config::model::upstream::{Balancing, ServerAddress, Upstream, UpstreamServer};
use crate::server::config::source::Support;
use crate::server::config::source::nginx::nchan_unsupported;
use crate::server::config::source::nginx::parser::{Block, Directive};
use crate::server::config::source::nginx::report::Report;
use crate::server::config::{Expression, Upstreams, VariableNames};

/// Port of a server without one.
const DEFAULT_PORT: u16 = 80;
/// Supported directives.
const DIRECTIVES: [&str; 6] = [
    "hash",
    "ip_hash",
    "keepalive",
    "least_conn",
    "random",
    "server",
];
/// Directives without effect here, with the reason.
const IGNORED: [(&str, &str); 4] = [
    ("zone", "each shard tracks failures separately"),
    (
        "keepalive_requests",
        "connections are kept for any number of requests",
    ),
    (
        "keepalive_time",
        "connections are kept for 30 seconds after their last request",
    ),
    (
        "keepalive_timeout",
        "connections are kept for 30 seconds after their last request",
    ),
];

/// Reads the groups among the blocks of `http`; locations may refer to later groups of the file.
pub(in crate::server) fn read_all(
    blocks: &[InnerBlock<'_>],
    names: &VariableNames,
    report: &mut Report,
) -> Upstreams {
    let mut upstreams = Upstreams::new();
    for inner in blocks.iter().filter(|inner| inner.name == "upstream") {
        read(inner.directive, inner.block, names, &mut upstreams, report);
    }
    upstreams
}

/// Reads an `upstream` block and adds the group; one of Redis servers is marked as unsupported.
fn read(
    directive: &Directive,
    block: &Block,
    names: &VariableNames,
    upstreams: &mut Upstreams,
    report: &mut Report,
) {
    let name = directive
        .arguments
        .first()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .unwrap_or_default();
    let mut upstream = Upstream {
        name: name.to_ascii_lowercase(),
        servers: Vec::new(),
        balancing: Balancing::RoundRobin,
        keeps_state: true,
        keepalive: 0,
        unsupported: None,
    };
    let is_redis = block
        .directives
        .iter()
        .any(|inner| inner.name.starts_with("nchan_redis_"));
    let mut is_wrong = false;
    for inner in &block.directives {
        match entry(inner, names, &mut upstream, report) {
            Ok(support) => report.record(inner, support),
            Err(text) => {
                is_wrong = true;
                report.record(inner, Support::Invalid);
                report.mistake(inner.place, text);
            }
        }
    }
    if upstreams.contains_key(&upstream.name) {
        report.mistake(directive.place, format!("duplicate upstream \"{name}\""));
    } else if upstream.servers.is_empty() && !is_wrong && !is_redis {
        report.mistake(directive.place, "no servers are inside upstream");
    } else if !upstream.servers.is_empty() && upstream.servers.iter().all(|server| server.is_backup)
    {
        report.mistake(
            directive.place,
            format!("no servers in upstream \"{name}\""),
        );
    } else {
        if is_redis {
            upstream.unsupported = Some("an upstream of Redis servers".to_owned());
        }
        upstreams.insert(upstream.name.clone(), Arc::new(upstream));
    }
}

fn entry(
    directive: &Directive,
    names: &VariableNames,
    upstream: &mut Upstream,
    report: &mut Report,
) -> Result<Support, String> {
    let name = directive.name.as_str();
    if directive.block.is_some() {
        return Err(format!("directive \"{name}\" is not terminated by \";\""));
    }
    if let Some((_, reason)) = IGNORED.iter().find(|(known, _)| *known == name) {
        return Ok(Support::Ignored(reason));
    }
    if let Some(rule) = nchan_unsupported::rule_in_upstream(name) {
        if !rule.arguments.contains(&directive.arguments.len()) {
            return Err(wrong_count(name));
        }
        report.notice(
            directive.place,
            format!(
                "\"{name}\" is not supported: {}",
                nchan_unsupported::WITHOUT_REDIS
            ),
        );
        return Ok(Support::Unsupported);
    }
    if name.starts_with("nchan_") {
        return Err(format!("unknown directive \"{name}\""));
    }
    if !DIRECTIVES.contains(&name) {
        // Its influence on the choice of a server is unknown.
        upstream
            .unsupported
            .get_or_insert_with(|| format!("\"{name}\" in upstream \"{}\"", upstream.name));
        report.unsupported(directive.place, &format!("directive \"{name}\""));
        return Ok(Support::Unsupported);
    }
    apply(directive, names, upstream)?;
    Ok(Support::Supported)
}

/// Applies one of [`DIRECTIVES`].
fn apply(
    directive: &Directive,
    names: &VariableNames,
    upstream: &mut Upstream,
) -> Result<(), String> {
    let name = directive.name.as_str();
    match (name, directive.arguments.as_slice()) {
        ("server", [address, parameters @ ..]) => {
            let server = server(address, parameters)?;
            let is_hashed = matches!(
                upstream.balancing,
                Balancing::ClientAddress | Balancing::Key(_)
            );
            if server.is_backup && is_hashed {
                return Err("balancing method does not support parameter \"backup\"".to_owned());
            }
            upstream.servers.push(server);
        }
        ("ip_hash", []) => upstream.balancing = Balancing::ClientAddress,
        ("least_conn", []) => upstream.balancing = Balancing::LeastConnections,
        // Round robin spreads requests as evenly as a random choice.
        ("random", [] | [_] | [_, _]) => {}
        ("keepalive", [count]) => {
            let count = units::number(count)
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| *count > 0);
            upstream.keepalive = count.ok_or("invalid value in \"keepalive\" directive")?;
        }
        ("hash", [key]) => upstream.balancing = Balancing::Key(expression(key, names)?),
        ("hash", [key, consistent]) if consistent == b"consistent" => {
            upstream.balancing = Balancing::Key(expression(key, names)?)
        }
        ("hash", [_, other]) => {
            return Err(format!(
                "invalid parameter \"{}\"",
                String::from_utf8_lossy(other)
            ));
        }
        _ => return Err(wrong_count(name)),
    }
    Ok(())
}

fn wrong_count(name: &str) -> String {
    format!("invalid number of arguments in \"{name}\" directive")
}

fn expression(text: &[u8], names: &VariableNames) -> Result<Expression, String> {
    Expression::parse_with(text, names).map_err(|error| error.to_string())
}

fn server(address: &[u8], parameters: &[Vec<u8>]) -> Result<UpstreamServer, String> {
    let text = std::str::from_utf8(address).map_err(|_| "invalid host in upstream".to_owned())?;
    let mut server = UpstreamServer::new(ServerAddress::parse(text, DEFAULT_PORT)?);
    for parameter in parameters {
        let invalid = || {
            format!(
                "invalid parameter \"{}\"",
                String::from_utf8_lossy(parameter)
            )
        };
        let (name, value) =
            parameter.split_at(memchr::memchr(b'=', parameter).unwrap_or(parameter.len()));
        let number = || {
            value
                .get(1..)
                .and_then(units::number)
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(invalid)
        };
        match (name, value) {
            (b"weight", [b'=', ..]) => {
                server.weight = number()
                    .ok()
                    .filter(|weight| *weight > 0)
                    .ok_or_else(invalid)?
            }
            (b"max_fails", [b'=', ..]) => server.max_fails = number()?,
            (b"max_conns", [b'=', ..]) => {
                server.max_connections = Some(number()?).filter(|most| *most > 0)
            }
            (b"fail_timeout", [b'=', time @ ..]) => {
                server.fail_timeout = units::time(time, false).ok_or_else(invalid)?
            }
            (b"backup", []) => server.is_backup = true,
            (b"down", []) => server.is_down = true,
            _ => return Err(invalid()),
        }
    }
    Ok(server)
}
