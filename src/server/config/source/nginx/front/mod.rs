//! Writes the configuration of an nginx in front of pushctl: it forwards push locations, and keeps
//! the directives of the file that pushctl does not enforce, with the definitions that they refer
//! to.
//!
//! `kept` selects directives, `references` finds the definitions that they use, `source` writes
//! them, `backends` assigns an address to each group of servers. The rest of the file is left to
//! the administrator.

mod backends;
mod kept;
mod references;
mod source;

use self::backends::{FrontUpstream, ServerGroup};
use self::kept::{BlockKind, Chooser};
use self::source::{Text, head};
use super::files::Files;
use super::levels::Scope;
use super::parser::{Block, Directive};
use super::rule::{Effect, Value};
use super::{directives, names};

/// Directives of every forwarded location besides `proxy_pass`: connections are long-lived and not
/// buffered.
const FORWARD: &[&str] = &[
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

/// Writes the configuration of the front.
pub(in crate::server) fn write(
    tree: &Block,
    files: &Files,
    guards: &[String],
    address: &str,
) -> Vec<u8> {
    let empty = Block::default();
    let http = tree
        .directives
        .iter()
        .find(|directive| directive.name == "http")
        .and_then(|http| http.block.as_ref())
        .unwrap_or(&empty);
    let variables = names::variables(&tree.directives);
    let log_formats = names::log_formats(&tree.directives, &variables);
    let chooser = Chooser {
        guards,
        base: files.base(),
    };
    let has_endpoint = |block: &Block| endpoint(block, files, &variables, &log_formats);
    let front = Front {
        http,
        kept: chooser.kept(http, BlockKind::Http),
        chooser,
        has_endpoint: &has_endpoint,
    };
    front.write(address)
}

/// Whether a location has a push endpoint.
fn endpoint(
    block: &Block,
    files: &Files,
    names: &crate::server::config::VariableNames,
    log_formats: &names::LogFormats,
) -> bool {
    let mut scope = Scope::default();
    for directive in block.directives.iter().filter(|directive| {
        directive.name.starts_with("push_") || directive.name.starts_with("nchan_")
    }) {
        if let Some(Effect::Once(apply) | Effect::Many(apply)) =
            directives::rule(&directive.name).map(|rule| &rule.effect)
        {
            let Directive {
                name,
                arguments,
                place,
                ..
            } = directive;
            let value = Value {
                name,
                arguments,
                names,
                log_formats,
                base: files.base(),
                place: *place,
            };
            // Mistakes are reported by `build`.
            drop(apply(&mut scope, &value));
        }
    }
    scope.endpoint.is_some()
}

struct Front<'a> {
    http: &'a Block,
    /// The directives of `http` that are kept.
    kept: Vec<Directive>,
    chooser: Chooser<'a>,
    has_endpoint: &'a dyn Fn(&Block) -> bool,
}

/// A server in its printed form.
struct FrontServer {
    text: Text,
    /// Everything in it that may refer to definitions of `http`.
    users: Vec<Directive>,
}

impl Front<'_> {
    fn write(&self, address: &str) -> Vec<u8> {
        let groups = backends::groups(self.http);
        let is_single = groups.len() == 1;
        let backends = backends::assign(groups, address, |server| self.has_push(server));
        let mut servers = Text::default();
        let mut users = self.kept.clone();
        for FrontUpstream {
            group: ServerGroup { members, .. },
            name,
            ..
        } in &backends
        {
            for member in members.iter().filter(|member| self.has_push(member.server)) {
                let server = self.server(member.server, &member.listens, name);
                servers.bytes.extend(server.text.bytes);
                users.extend(server.users);
            }
        }
        let mut text = Text::default();
        backends::header(&mut text, &backends, is_single, self.chooser.guards);
        self.definitions(&mut text, &users);
        text.bytes.extend(servers.bytes);
        text.bytes
    }

    /// Writes the directives of `http` that the servers use, and those that apply to them.
    fn definitions(&self, text: &mut Text, users: &[Directive]) {
        let used = references::definitions(self.http, users);
        let is_needed = |directive: &Directive| {
            let is_kept = self.kept.contains(directive) && !kept::is_printed_in_servers(directive);
            is_kept || used.iter().any(|known| std::ptr::eq(*known, directive))
        };
        let needed: Vec<&Directive> = self
            .http
            .directives
            .iter()
            .filter(|directive| is_needed(directive))
            .collect();
        if !needed.is_empty() {
            text.line(0, "\n# Of the http block of the file.");
        }
        needed
            .into_iter()
            .for_each(|directive| text.directive(0, directive));
    }

    /// Whether a block has a push location.
    fn has_push(&self, block: &Block) -> bool {
        let locations = block
            .directives
            .iter()
            .filter(|directive| directive.name == "location");
        locations
            .filter_map(|location| location.block.as_ref())
            .any(|inner| (self.has_endpoint)(inner) || self.has_push(inner))
    }

    fn is_forwarded(&self, location: &Directive) -> bool {
        location
            .block
            .as_ref()
            .is_some_and(|block| (self.has_endpoint)(block) || self.has_push(block))
    }

    fn server(&self, server: &Block, listens: &[Vec<u8>], backend: &str) -> FrontServer {
        let mut text = Text::default();
        text.line(0, "\nserver {");
        listens.iter().for_each(|listen| text.line(1, listen));
        let names = server
            .directives
            .iter()
            .filter(|directive| directive.name == "server_name");
        names.for_each(|names| text.directive(1, names));
        let inherited = kept::inherited(&self.kept, server);
        let tls = self
            .http
            .directives
            .iter()
            .filter(|directive| is_tls_of_http(directive, server, listens));
        let own = self.chooser.kept(server, BlockKind::Server);
        let mut users: Vec<Directive> = tls.cloned().chain(inherited).chain(own).collect();
        let mut locations = Text::default();
        let mut of_locations = Vec::new();
        for location in server
            .directives
            .iter()
            .filter(|directive| directive.name == "location" && self.is_forwarded(directive))
        {
            self.location(&mut locations, &mut of_locations, location, backend, 1);
        }
        kept::add_assignments(server, &mut users, &of_locations);
        users
            .iter()
            .for_each(|directive| text.directive(1, directive));
        text.bytes.extend(locations.bytes);
        users.extend(of_locations);
        for location in
            references::locations(server, &users, |location| self.is_forwarded(location))
        {
            let copy = complete(location, [server, self.http]);
            text.line(0, "");
            text.directive(1, &copy);
            users.push(copy);
        }
        text.line(
            1,
            "# Everything else of this server stays as it is: proxying, files, redirects.",
        );
        text.line(0, "}");
        FrontServer { text, users }
    }

    /// Writes the block of a location that is or contains an endpoint.
    fn location(
        &self,
        text: &mut Text,
        users: &mut Vec<Directive>,
        location: &Directive,
        backend: &str,
        depth: usize,
    ) {
        let Some(block) = &location.block else { return };
        text.line(0, "");
        text.line(depth, [head(location), b" {".to_vec()].concat());
        if (self.has_endpoint)(block) {
            text.line(depth + 1, format!("proxy_pass http://{backend};"));
            FORWARD.iter().for_each(|line| text.line(depth + 1, line));
        }
        let kept = self.chooser.kept(block, BlockKind::Location);
        kept.iter()
            .for_each(|directive| text.directive(depth + 1, directive));
        users.extend(kept);
        for directive in block
            .directives
            .iter()
            .filter(|directive| self.chooser.is_left_out(directive))
        {
            let line = [
                b"# left out, because pushctl answers here: ".to_vec(),
                head(directive),
            ]
            .concat();
            text.line(
                depth + 1,
                line.into_iter()
                    .map(|byte| if byte < b' ' { b' ' } else { byte })
                    .collect::<Vec<u8>>(),
            );
        }
        for nested in block
            .directives
            .iter()
            .filter(|directive| directive.name == "location" && self.is_forwarded(directive))
        {
            self.location(text, users, nested, backend, depth + 1);
        }
        text.line(depth, "}");
    }
}

/// Whether a TLS directive of `http` applies to a server: one with a TLS listener that does not set
/// the same itself.
fn is_tls_of_http(directive: &Directive, server: &Block, listens: &[Vec<u8>]) -> bool {
    let has_tls = listens.iter().any(|listen| {
        listen
            .split(|byte| *byte == b' ')
            .any(|word| word.starts_with(b"ssl") || word.starts_with(b"quic"))
    });
    let is_guard = kept::is_printed_in_servers(directive);
    has_tls
        && !is_guard
        && directive.name.starts_with("ssl_")
        && !server
            .directives
            .iter()
            .any(|own| own.name == directive.name)
}

/// A location together with its inherited back-end settings.
fn complete(location: &Directive, outer: [&Block; 2]) -> Directive {
    let mut copy = location.clone();
    let settings = references::inherited_settings(location, outer);
    if let Some(block) = &mut copy.block {
        block
            .directives
            .retain(|directive| !directive.name.starts_with("pushctl_"));
        if block
            .directives
            .iter()
            .any(|directive| directive.name.ends_with("_pass"))
        {
            block.directives.extend(settings.into_iter().cloned());
        }
    }
    copy
}
