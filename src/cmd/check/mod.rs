//! `pushctl check`: what pushctl makes of a configuration, without serving it.
//!
//! The report is data on stdout; mistakes are part of it, and of the exit code.

mod hint;
mod servers;

use std::path::PathBuf;

use super::check_todo;
use super::escape;
use super::exit::{Code, Usage};
use super::output;
use crate::server::config::nchan::Roles;
use crate::server::config::nginx::{self, DirectiveSupport, FrontEnforces, ImportOptions, Support};
use crate::server::config::{
    Config, Endpoint, Location, LocationSettings, RewriteStep, SlowPolicy, SubscriberMode,
    VirtualServer,
};

/// Address at which pushctl listens behind nginx.
const BEHIND: &str = "127.0.0.1:9080";

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pushctl check /etc/nginx/nginx.conf
  pushctl check nginx.conf --to-toml > push.toml
  pushctl check nginx.conf --front > front.conf")]
pub struct Args {
    /// Configuration file, in TOML (*.toml) or as an nginx.conf
    file: PathBuf,
    /// Print lines of JSON: directives, locations, errors
    #[arg(long, conflicts_with_all = ["front", "to_toml"])]
    json: bool,
    /// Exit with 2 also for unsupported directives
    #[arg(long)]
    strict: bool,
    /// Print the configuration of an nginx in front of pushctl
    ///
    /// It forwards the push locations to pushctl at ADDR [default: 127.0.0.1:9080]. Start pushctl
    /// with the same file and the options of `serve` that the first lines name.
    #[arg(
        long,
        value_name = "ADDR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = BEHIND,
        conflicts_with = "to_toml"
    )]
    front: Option<String>,
    /// Directives that the proxy in front enforces, as with `serve`; `all`: all
    ///
    /// Repeatable, also separated by commas.
    #[arg(long, value_name = "DIRECTIVE", value_delimiter = ',')]
    front_enforces: Vec<String>,
    /// Print the configuration in TOML, for `serve --config`
    #[arg(long)]
    to_toml: bool,
}

/// Prints the report.
///
/// # Errors
/// When the file cannot be read or stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Code> {
    let loaded = nginx::load(&args.file, &args.import_options());
    let mut left_to_front = Vec::new();
    let (config, mistakes, notices, directives) = match loaded {
        Ok(loaded) => {
            left_to_front = loaded.left_to_front;
            (
                Some(loaded.config),
                Vec::new(),
                loaded.notices,
                loaded.directives,
            )
        }
        Err(mistakes) => (
            None,
            mistakes.mistakes,
            mistakes.notices,
            mistakes.directives,
        ),
    };
    let mut report = Report {
        config,
        mistakes,
        notices,
        directives,
    };
    report
        .mistakes
        .iter_mut()
        .chain(&mut report.notices)
        .for_each(add_hint);
    report.doubt();
    if args.front.is_some() || args.to_toml {
        if report.config.is_none() {
            return Err(Usage(report.mistakes_text()).into());
        }
        let text = match &args.front {
            Some(address) => front(args, &left_to_front, address)?,
            None => to_toml(args)?.into_bytes(),
        };
        output::text(&output::lines(&text))?;
        return Ok(report.code(args.strict));
    }
    if args.json {
        output::text(&output::json(report.json().as_bytes()))?;
    } else {
        output::text(&output::lines(report.text().as_bytes()))?;
    }
    Ok(report.code(args.strict))
}

impl Args {
    /// `--front` and `--to-toml` print all of the file, whatever enforces its directives.
    fn import_options(&self) -> ImportOptions {
        let prints_file = self.front.is_some() || self.to_toml;
        let front_enforces = if prints_file {
            FrontEnforces::all()
        } else {
            FrontEnforces(self.front_enforces.clone())
        };
        ImportOptions {
            front_enforces,
            has_front_address: prints_file || !self.front_enforces.is_empty(),
        }
    }
}

fn front(args: &Args, guards: &[String], address: &str) -> anyhow::Result<Vec<u8>> {
    let text = std::fs::read(&args.file)?;
    Ok(nginx::front(&args.file.display().to_string(), &text, guards, address).map_err(Usage)?)
}

fn to_toml(args: &Args) -> anyhow::Result<String> {
    let text = std::fs::read(&args.file)?;
    Ok(nginx::to_toml(&args.file.display().to_string(), &text).map_err(Usage)?)
}

/// Appends the remedy of a mistake in brackets.
pub(super) fn add_hint(mistake: &mut nginx::Diagnostic) {
    // A pipe has been read already and would block.
    let is_file = std::fs::metadata(&mistake.file).is_ok_and(|metadata| metadata.is_file());
    let file = if is_file {
        std::fs::read_to_string(&mistake.file).unwrap_or_default()
    } else {
        String::new()
    };
    let line = file
        .lines()
        .nth(mistake.line.saturating_sub(1))
        .unwrap_or_default();
    if let Some(hint) = hint::hint(&mistake.text, line) {
        mistake.hints.push(hint);
    }
}

struct Report {
    config: Option<Config>,
    mistakes: Vec<nginx::Diagnostic>,
    notices: Vec<nginx::Diagnostic>,
    directives: Vec<DirectiveSupport>,
}

impl Report {
    fn code(&self, strict: bool) -> Code {
        let is_wrong = !self.mistakes.is_empty() || (strict && !self.notices.is_empty());
        if is_wrong { Code::Usage } else { Code::Success }
    }

    /// Marks directives as not served if a notice reports that.
    fn doubt(&mut self) {
        for directive in self
            .directives
            .iter_mut()
            .filter(|directive| directive.support == Support::Supported)
        {
            let is_it = |notice: &nginx::Diagnostic| {
                notice.file == directive.file
                    && notice.line == directive.line
                    && notice.text.contains(&directive.name)
            };
            if self.notices.iter().any(|notice| {
                is_it(notice)
                    && notice
                        .text
                        .ends_with("location is not supported by pushctl")
            }) {
                directive.support = Support::Unsupported;
            }
        }
    }

    fn mistakes_text(&self) -> String {
        let texts: Vec<String> = self.mistakes.iter().map(ToString::to_string).collect();
        texts.join("\n")
    }

    /// Remark on a directive: its reason, or the notices and mistakes of its line that name it.
    fn remark(&self, directive: &DirectiveSupport) -> String {
        let here = |remark: &&nginx::Diagnostic| {
            remark.file == directive.file && remark.line == directive.line
        };
        let names = |remark: &&nginx::Diagnostic| {
            remark.text.contains(&format!("\"{}", directive.name))
                || remark.text.contains(&directive.name)
        };
        // If a line has two of them, the mistake belongs to the rejected one.
        let all = if directive.support == Support::Invalid {
            &self.mistakes
        } else {
            &self.notices
        };
        let found: Vec<String> = all
            .iter()
            .filter(here)
            .filter(names)
            .map(nginx::Diagnostic::with_hints)
            .collect();
        match directive.support {
            Support::Ignored(reason) => reason.to_owned(),
            Support::Unsupported if directive.name == "location" => NAMED.to_owned(),
            Support::Unsupported => {
                let own = found
                    .iter()
                    .filter(|text| text.starts_with(&format!("\"{}", directive.name)));
                let own: Vec<&str> = own
                    .map(|text| text.trim_start_matches(&format!("\"{}\"", directive.name)))
                    .collect();
                let own: Vec<&str> = own
                    .into_iter()
                    .map(|text| text.trim_start_matches([':', ' ']))
                    .collect();
                if own.is_empty() {
                    advice(&directive.name).to_owned()
                } else {
                    own.join("; ")
                }
            }
            _ => found.join("; "),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for directive in self
            .directives
            .iter()
            .filter(|directive| directive.support != Support::Entry)
        {
            let remark = self.remark(directive);
            let place = format!("{}:{}:", directive.file, directive.line);
            let line = format!("{place} {} {}", word(directive.support), directive.name);
            let line = if remark.is_empty() {
                line
            } else {
                format!("{line}: {remark}")
            };
            text += &one_line(&line);
        }
        let notes: String = self
            .notices
            .iter()
            .filter(|notice| !self.is_on_directive(notice))
            .map(one_line)
            .collect();
        if !notes.is_empty() {
            text += &format!("\nnotes:\n{notes}");
        }
        if let Some(config) = &self.config {
            text += "\nlocations:\n";
            text += &table(&rows(config));
        }
        let unserved: Vec<(&DirectiveSupport, String)> = self
            .directives
            .iter()
            .filter(|directive| directive.support == Support::Unsupported)
            .map(|directive| (directive, self.remark(directive)))
            .collect();
        let unserved: Vec<check_todo::Unserved<'_>> = unserved
            .iter()
            .map(|(directive, advice)| {
                (
                    directive.file.as_str(),
                    directive.line,
                    directive.name.as_str(),
                    advice.as_str(),
                )
            })
            .collect();
        text += &check_todo::text(&unserved);
        if !self.mistakes.is_empty() {
            text += &format!(
                "\nmistakes:\n{}",
                self.mistakes.iter().map(one_line).collect::<String>()
            );
        }
        let count = |wanted: fn(Support) -> bool| {
            self.directives
                .iter()
                .filter(|directive| wanted(directive.support))
                .count()
        };
        let served = count(|support| matches!(support, Support::Supported | Support::Entry));
        let ignored = count(|support| matches!(support, Support::Ignored(_)));
        let not_served = count(|support| support == Support::Unsupported);
        text + &format!(
            "\n{served} served, {ignored} ignored, {not_served} not served, {}\n",
            mistakes(self.mistakes.len())
        )
    }

    /// True if the notice is shown as the remark of a directive.
    fn is_on_directive(&self, notice: &nginx::Diagnostic) -> bool {
        let here = |directive: &&DirectiveSupport| {
            directive.file == notice.file && directive.line == notice.line
        };
        let names = |directive: &DirectiveSupport| notice.text.contains(&directive.name);
        self.directives.iter().filter(here).any(names)
    }

    fn json(&self) -> String {
        let mut lines = Vec::new();
        for directive in &self.directives {
            let verdict = word(directive.support);
            lines.push(serde_json::json!({
                "type": "directive",
                "file": directive.file,
                "line": directive.line,
                "name": directive.name,
                "verdict": verdict,
                "remark": self.remark(directive),
            }));
        }
        for (kind, remarks) in [("notice", &self.notices), ("mistake", &self.mistakes)] {
            let line = |remark: &nginx::Diagnostic| {
                serde_json::json!({
                    "type": kind,
                    "file": remark.file,
                    "line": remark.line,
                    "text": remark.with_hints(),
                })
            };
            lines.extend(remarks.iter().map(line));
        }
        for [server, listen, pattern, endpoint, mode, settings] in self.config.iter().flat_map(rows)
        {
            lines.push(serde_json::json!({
                "type": "location",
                "server": server,
                "listen": listen,
                "pattern": pattern,
                "endpoint": endpoint,
                "mode": mode,
                "settings": settings,
            }));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// `1 mistake`, `2 mistakes`
fn mistakes(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} mistake{plural}")
}

/// Formats an entry of the report on one line: quoted words of a file may have line breaks.
fn one_line(entry: impl std::fmt::Display) -> String {
    escape::printable(&entry.to_string()) + "\n"
}

fn word(support: Support) -> &'static str {
    match support {
        Support::Supported | Support::Entry => "served",
        Support::Ignored(_) => "ignored",
        Support::Unsupported => "not served",
        Support::Invalid => "refused",
    }
}

/// Advice for a location that only `try_files` and `error_page` lead to.
const NAMED: &str =
    "named locations belong to what stays with nginx, in front of pushctl (see --front)";

/// Advice for a directive that is not served.
fn advice(name: &str) -> &'static str {
    const FRONT: &str = "keep nginx in front for it (see --front)";
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if starts(&["ssl", "http2", "quic", "http3"]) {
        "TLS stays with nginx, in front of pushctl (see --front)"
    } else if starts(&[
        "proxy_",
        "fastcgi_",
        "uwsgi_",
        "scgi_",
        "grpc_",
        "memcached_",
        "upstream",
        "server",
        "keepalive",
        "least_conn",
        "ip_hash",
    ]) {
        FRONT
    } else if starts(&["gzip", "brotli"]) {
        "responses are compressed with gzip when they are sent; nginx in front can do more (see \
         --front)"
    } else if starts(&["limit_req", "limit_conn", "limit_rate"]) {
        "rates are not limited; nginx in front can do that, and serve has its own limits (--help)"
    } else if starts(&["auth_"]) {
        "requests are not authorized by it: nginx in front has to do that (see --front)"
    } else if name == "error_page" {
        "pushctl sends its own error pages; nginx in front can send others (see --front)"
    } else if name == "try_files" {
        "paths are not rewritten: give the location the path that clients ask for, or keep nginx \
         in front (see --front)"
    } else if starts(&["stream", "mail"]) {
        "it is not about HTTP: keep nginx for it"
    } else {
        FRONT
    }
}

/// A location: server, listen, pattern, endpoint, mode, settings.
type Row = [String; 6];

fn rows(config: &Config) -> Vec<Row> {
    let mut rows = Vec::new();
    for (server, listens) in servers::servers(config) {
        let name = server
            .names
            .first()
            .map_or("_".to_owned(), ToString::to_string);
        for location in server.locations.iter() {
            add_rows(&mut rows, location, &name, &listens.join(" "));
        }
        if server.locations.is_empty() {
            let kind = if server.steps.is_empty() {
                "files"
            } else {
                "answer"
            };
            rows.push([
                name,
                listens.join(" "),
                String::new(),
                kind.to_owned(),
                String::new(),
                files(&server),
            ]);
        }
    }
    rows
}

fn files(server: &VirtualServer) -> String {
    settings(&server.settings, Endpoint::None)
}

fn add_rows(rows: &mut Vec<Row>, location: &Location, server: &str, listen: &str) {
    let (endpoint, mode) = endpoint(location);
    let settings = settings(&location.settings, location.endpoint);
    rows.push([
        server.to_owned(),
        listen.to_owned(),
        location.pattern.to_string(),
        endpoint.to_owned(),
        mode.to_owned(),
        settings,
    ]);
    location
        .nested
        .iter()
        .for_each(|nested| add_rows(rows, nested, server, listen));
}

fn nchan_mode(roles: Roles) -> &'static str {
    match (
        roles.has(Roles::PUBLISH),
        roles.has(
            Roles::SUBSCRIBE
                .and(Roles::INTERVALPOLL)
                .and(Roles::RAW_STREAM),
        ),
    ) {
        (true, true) => "pubsub",
        (true, false) => "publisher",
        (false, true) => "subscriber",
        (false, false) => "off",
    }
}

fn endpoint(location: &Location) -> (&'static str, &'static str) {
    let always_returns = location
        .steps
        .iter()
        .any(|step| matches!(step, RewriteStep::Return(_)));
    match location.endpoint {
        Endpoint::None if always_returns => ("answer", ""),
        Endpoint::None if location.settings.web.root.is_some() => ("files", ""),
        Endpoint::None if !location.steps.is_empty() => ("answer", ""),
        Endpoint::None => ("nothing", ""),
        Endpoint::Statistics => ("statistics", ""),
        Endpoint::Publisher { admin: true } => ("publisher", "admin"),
        Endpoint::Publisher { admin: false } => ("publisher", "normal"),
        Endpoint::NhpmPublisher => ("NHPM publisher", ""),
        Endpoint::NhpmSubscriber {
            interval_poll: false,
        } => ("NHPM subscriber", "long-poll"),
        Endpoint::NhpmSubscriber {
            interval_poll: true,
        } => ("NHPM subscriber", "interval-poll"),
        Endpoint::Nchan(roles) => ("nchan", nchan_mode(roles)),
        Endpoint::NchanGroup(_) => ("nchan group", ""),
        Endpoint::NchanStubStatus => ("nchan statistics", ""),
        Endpoint::NchanSubscriberInfo => ("nchan subscriber info", ""),
        Endpoint::Subscriber(SubscriberMode::Streaming) => ("subscriber", "streaming"),
        Endpoint::Subscriber(SubscriberMode::Polling) => ("subscriber", "polling"),
        Endpoint::Subscriber(SubscriberMode::LongPolling) => ("subscriber", "long-polling"),
        Endpoint::Subscriber(SubscriberMode::EventSource) => ("subscriber", "eventsource"),
        Endpoint::Subscriber(SubscriberMode::WebSocket) => ("subscriber", "websocket"),
    }
}

/// The settings that people ask for first.
fn settings(settings: &LocationSettings, endpoint: Endpoint) -> String {
    let mut words = Vec::new();
    let mut add = |wanted: bool, word: String| words.extend(wanted.then_some(word));
    let time = |time: std::time::Duration| {
        humantime::format_duration(time)
            .to_string()
            .replace(' ', "")
    };
    if let (Some(path), true) = (&settings.channels_path, endpoint != Endpoint::None) {
        add(true, format!("channels={path}"));
    }
    add(
        matches!(endpoint, Endpoint::Publisher { .. }),
        format!(
            "store={}",
            if settings.store_messages { "on" } else { "off" }
        ),
    );
    add(
        matches!(endpoint, Endpoint::Publisher { .. }) && settings.batch,
        "batch=on".to_owned(),
    );
    if let Endpoint::Subscriber(mode) = endpoint {
        settings
            .ping_message_interval
            .into_iter()
            .for_each(|interval| add(true, format!("ping={}", time(interval))));
        let ttl = if mode == SubscriberMode::LongPolling {
            settings.longpolling_connection_ttl
        } else {
            settings.subscriber_connection_ttl
        };
        ttl.into_iter()
            .for_each(|ttl| add(true, format!("ttl={}", time(ttl))));
        add(
            mode == SubscriberMode::WebSocket && settings.websocket_allow_publish,
            "publish=on".to_owned(),
        );
        let policy = SlowPolicy::NAMES
            .iter()
            .find(|(_, policy)| *policy == settings.slow_consumer)
            .map_or("", |(name, _)| name);
        add(
            settings.slow_consumer != SlowPolicy::default(),
            format!("slow={policy}"),
        );
        settings
            .slow_consumer_bytes
            .into_iter()
            .for_each(|bytes| add(true, format!("slow_bytes={bytes}")));
        add(settings.gap_notice, "gap_notice=on".to_owned());
        settings
            .allowed_origins
            .iter()
            .for_each(|origins| add(true, format!("origins={origins}")));
    }
    let web = &settings.web;
    web.root
        .iter()
        .filter(|_| endpoint == Endpoint::None)
        .for_each(|root| add(true, format!("root={}", root.path)));
    add(
        !web.access.is_empty(),
        format!("access={}rules", web.access.len()),
    );
    add(web.authentication.is_some(), "password".to_owned());
    add(web.internal, "internal".to_owned());
    words.join(" ")
}

/// Columns with titles, aligned to the left.
fn table(rows: &[Row]) -> String {
    let title = [
        "server", "listen", "location", "endpoint", "mode", "settings",
    ]
    .map(str::to_owned);
    let all: Vec<&Row> = std::iter::once(&title).chain(rows).collect();
    let width = |column: usize| {
        all.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..title.len()).map(width).collect();
    let line = |row: &&Row| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{:width$}", escape::printable(cell)))
            .collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    all.iter().map(line).collect()
}
