//! Timeouts that nginx has for each server and pushctl for the whole process: selects the value
//! that applies, and reports servers that differ.

use std::time::Duration;

use crate::server::config::ConnectionLimits;
use crate::server::config::source::nginx::files::SourcePlace;
use crate::server::config::source::nginx::parser::{Block, Directive};
use crate::server::config::source::nginx::report::Report;

/// Accessor of a timeout.
type Timeout = fn(&mut ConnectionLimits) -> &mut Duration;

/// The directives with the timeouts that they set.
const TIMEOUTS: [(&str, Timeout); 4] = [
    ("client_header_timeout", |limits| &mut limits.header_timeout),
    ("client_body_timeout", |limits| &mut limits.body_timeout),
    ("keepalive_timeout", |limits| &mut limits.keepalive_timeout),
    ("send_timeout", |limits| &mut limits.send_timeout),
];

/// The timeouts of one server.
#[derive(Debug)]
pub(in crate::server) struct Timeouts {
    /// The limits of the server, with those of `http`.
    limits: ConnectionLimits,
    /// Places of the server's directives, in the order of [`TIMEOUTS`].
    places: [Option<SourcePlace>; TIMEOUTS.len()],
}

impl Timeouts {
    /// The timeouts of the server with this block.
    pub(in crate::server) fn new(block: &Block, limits: ConnectionLimits) -> Self {
        let place = |name| {
            block
                .directives
                .iter()
                .find(|directive| directive.name == name)
                .map(|directive| directive.place)
        };
        Self {
            limits,
            places: TIMEOUTS.map(|(name, _)| place(name)),
        }
    }
}

/// The limits of the process: of each timeout, the value of the last server that sets it, or else
/// that of `http`.
pub(in crate::server) fn shared(
    http: ConnectionLimits,
    mut servers: Vec<Timeouts>,
    report: &mut Report,
) -> ConnectionLimits {
    let mut limits = http;
    for (number, (name, timeout)) in TIMEOUTS.iter().enumerate() {
        let last = servers
            .iter_mut()
            .rev()
            .find_map(|server| Some((server.places[number]?, *timeout(&mut server.limits))));
        let Some((place, time)) = last else { continue };
        *timeout(&mut limits) = time;
        if servers
            .iter_mut()
            .any(|server| *timeout(&mut server.limits) != time)
        {
            report.notice(
                place,
                format!(
                    "pushctl has one \"{name}\" for all servers: this value is used, not those of \
                     other servers"
                ),
            );
        }
    }
    limits
}

/// Reports a directive, or an argument, that has no effect.
pub(in crate::server) fn check(directive: &Directive, in_location: bool, report: &mut Report) {
    let name = directive.name.as_str();
    if !TIMEOUTS.iter().any(|(known, _)| *known == name) {
        return;
    }
    if in_location {
        report.notice(
            directive.place,
            format!("\"{name}\" has an effect in http and server blocks only"),
        );
    } else if directive.arguments.len() > 1 {
        report.notice(
            directive.place,
            format!(
                "the second argument of \"{name}\" has no effect: no header \"Keep-Alive\" is sent"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::server::config::source::parse;

    /// The `send_timeout` of the process in seconds, and the notices.
    fn loaded(http: &str, servers: &[&str]) -> (u64, Vec<String>) {
        let servers: String = servers
            .iter()
            .map(|content| format!("server {{ listen 9103;\n{content} }}\n"))
            .collect();
        let parsed = parse(
            "conf",
            format!("events {{}} http {{ {http}\n{servers}}}").as_bytes(),
        )
        .expect("a valid configuration");
        (
            parsed.config.limits.send_timeout.as_secs(),
            parsed.notices.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn different_timeouts_of_servers_are_reported() {
        let text = "pushctl has one \"send_timeout\" for all servers: this value is used, not \
                    those of other servers";
        let at = |line: usize| vec![format!("conf:{line}: {text}")];
        for (http, servers, expected) in [
            (
                "",
                &["send_timeout 5s;", "send_timeout 6s;"][..],
                (6, at(5)),
            ),
            ("", &["send_timeout 5s;", ""], (5, at(3))),
            ("send_timeout 7s;", &["send_timeout 5s;", ""], (5, at(3))),
            ("send_timeout 7s;", &["send_timeout 5s;"], (5, vec![])),
            ("send_timeout 7s;", &["", ""], (7, vec![])),
            ("send_timeout 7s;", &["send_timeout 7s;", ""], (7, vec![])),
            (
                "",
                &["send_timeout 5s;", "send_timeout 5000ms;"],
                (5, vec![]),
            ),
        ] {
            assert_eq!(loaded(http, servers), expected, "{http} {servers:?}");
        }
        let names = [
            "client_header_timeout",
            "client_body_timeout",
            "keepalive_timeout",
        ];
        let one = names.map(|name| format!("{name} 1s;")).concat();
        let other = names.map(|name| format!("{name} 2s;")).concat();
        assert_eq!(loaded("", &[&one, &other]).1.len(), names.len());
    }

    #[test]
    fn the_second_time_of_keepalive_timeout_has_no_effect() {
        let text = "conf:1: the second argument of \"keepalive_timeout\" has no effect: no header \
                    \"Keep-Alive\" is sent";
        assert_eq!(loaded("keepalive_timeout 20s 15s;", &[""]).1, [text]);
        assert!(loaded("keepalive_timeout 20s;", &[""]).1.is_empty());
        assert!(
            parse(
                "conf",
                b"events {} http { keepalive_timeout 20s x; server { listen 9103; } }"
            )
            .is_err()
        );
    }
}
