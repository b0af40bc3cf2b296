//! `pushctl check --front`: nginx in front of pushctl, which keeps TLS, proxying and everything else that pushctl is not.

use std::net::IpAddr;
use std::sync::Arc;

use crate::server::config::{Config, Endpoint, ListenAddress, Location, Pattern, VirtualServer, WebSettings};

/// What every forwarded location needs: a connection that lives long and is not held back.
const FORWARD: &[&str] = &[
    "proxy_pass http://pushctl;",
    "proxy_http_version 1.1;",
    "proxy_set_header Host $http_host;",
    "proxy_set_header Upgrade $http_upgrade;",
    "proxy_set_header Connection $pushctl_connection;",
    "proxy_set_header X-Real-IP $remote_addr;",
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    "proxy_set_header X-Forwarded-Proto $scheme;",
    "proxy_buffering off;",
    "proxy_cache off;",
    "proxy_intercept_errors off;",
    "proxy_next_upstream off;",
    "proxy_read_timeout 1d;",
    "proxy_send_timeout 1d;",
    "gzip off;",
];

/// The servers of a configuration, each once, with what it listens on.
pub(super) fn servers(config: &Config) -> Vec<(Arc<VirtualServer>, Vec<String>)> {
    let mut all: Vec<(Arc<VirtualServer>, Vec<String>)> = Vec::new();
    let mut add = |server: &Arc<VirtualServer>, listen: String| match all.iter_mut().find(|(known, _)| Arc::ptr_eq(known, server)) {
        Some((_, listens)) => listens.push(listen),
        None => all.push((Arc::clone(server), vec![listen])),
    };
    for listener in &config.listeners {
        let shown = match &listener.address {
            ListenAddress::Tcp(address) => address.to_string(),
            ListenAddress::Unix(path) => format!("unix:{}", path.display()),
        };
        listener.servers.iter().for_each(|server| add(server, shown.clone()));
        for (address, servers) in &listener.overrides {
            let port = shown.rsplit(':').next().unwrap_or_default();
            let shown = if address.is_ipv6() { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
            servers.iter().for_each(|server| add(server, shown.clone()));
        }
    }
    all
}

/// A configuration to be included in the `http` block of an nginx that listens where the file says.
pub(super) fn configuration(config: &Config, address: &str) -> String {
    let is_loopback = |host: &str| host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let from = match address.rsplit_once(':') {
        _ if address.starts_with("unix:") => "unix:",
        Some((host, _)) if is_loopback(host.trim_matches(['[', ']'])) => host.trim_matches(['[', ']']),
        _ => "ADDRESS_OF_NGINX",
    };
    let mut out = format!(
        "# For the http block of the nginx in front of pushctl, which runs with the same file and\n\
         #     --listen {address} --real-ip-from {from}\n\
         # Without --real-ip-from every client has the address of nginx there, and rules and logs see that.\n\
         map $http_upgrade $pushctl_connection {{\n    default upgrade;\n    '' '';\n}}\n\n\
         upstream pushctl {{\n    server {address};\n    keepalive 32;\n}}\n"
    );
    for (server, listens) in servers(config) {
        let locations: String = server.locations.iter().filter_map(|location| forwarded(location, 1)).collect();
        if locations.is_empty() {
            continue;
        }
        out += "\nserver {\n";
        for listen in listens {
            out += &format!("    listen {listen};\n");
        }
        if !server.names.is_empty() {
            let names: Vec<String> = server.names.iter().map(|name| quoted(&name.to_string())).collect();
            out += &format!("    server_name {};\n", names.join(" "));
        }
        out += &locations;
        out += "    # Everything else of this server stays as it is: TLS, proxying, files.\n}\n";
    }
    out
}

/// The block of a location, if it or one in it is an endpoint.
fn forwarded(location: &Location, depth: usize) -> Option<String> {
    let nested: String = location.nested.iter().filter_map(|nested| forwarded(nested, depth + 1)).collect();
    let is_endpoint = location.endpoint != Endpoint::None;
    if !is_endpoint && nested.is_empty() {
        return None;
    }
    let indent = "    ".repeat(depth);
    let pattern = location.pattern.to_string();
    let has_modifier = !matches!(location.pattern, Pattern::Prefix { stops_regexes: false, .. });
    let pattern = match pattern.split_once(' ').filter(|_| has_modifier) {
        Some((modifier, text)) => format!("{modifier} {}", quoted(text)),
        None => quoted(&pattern),
    };
    let mut out = format!("\n{indent}location {pattern} {{\n");
    if is_endpoint {
        for line in FORWARD {
            out += &format!("{indent}    {line}\n");
        }
        out += &rules(&location.settings.web, &format!("{indent}    "));
        let size = location.settings.client_max_body_size;
        out += &format!("{indent}    client_max_body_size {size};\n");
    }
    out += &nested;
    out += &format!("{indent}}}\n");
    Some(out)
}

/// Who may enter, each on a line after `indent`.
fn rules(web: &WebSettings, indent: &str) -> String {
    let mut out = String::new();
    if web.internal {
        out += &format!("{indent}internal;\n");
    }
    if web.satisfy_any {
        out += &format!("{indent}satisfy any;\n");
    }
    for rule in &web.access {
        out += &format!("{indent}{} {};\n", if rule.allows { "allow" } else { "deny" }, rule.clients);
    }
    if let Some(authentication) = &web.authentication {
        // Variables may be those of a map, which is not here.
        let realm = authentication.realm.as_literal().map_or("push".into(), String::from_utf8_lossy);
        let users = std::path::absolute(&authentication.users).unwrap_or_else(|_| authentication.users.clone());
        out += &format!("{indent}auth_basic {};\n", quoted(&realm));
        out += &format!("{indent}auth_basic_user_file {};\n", quoted(&users.to_string_lossy()));
    }
    if let Some(limit) = &web.limit_except {
        // nginx adds HEAD to GET by itself.
        let methods: Vec<&str> = limit.methods.iter().filter(|method| **method != "HEAD").copied().collect();
        let methods = methods.join(" ");
        let inner = WebSettings { limit_except: None, satisfy_any: false, internal: false, ..(*limit.web).clone() };
        out += &format!("{indent}limit_except {methods} {{\n{}{indent}}}\n", rules(&inner, &format!("{indent}    ")));
    }
    out
}

/// A word of an nginx.conf.
fn quoted(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-*:^~=$@()".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    // nginx unescapes these only.
    let mut out = String::from("\"");
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' => out += "\\\"",
            '\\' if matches!(rest.peek(), Some('n' | 'r' | 't' | '"' | '\'' | '\\') | None) => out += "\\\\",
            other => out.push(other),
        }
    }
    out + "\""
}
