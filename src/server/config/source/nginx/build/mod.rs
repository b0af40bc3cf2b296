//! Builds a [`Config`] from the tree of an nginx.conf: its main block, `http` and the servers.
//!
//! `locations` builds the locations. `blocks` reads the simple directives of a block before its
//! inner blocks are entered, so that their order in the file does not matter, as in nginx.

pub(in crate::server) mod blocks;
pub(in crate::server) mod channels;
pub(in crate::server) mod checks;
pub(in crate::server) mod guards;
pub(in crate::server) mod hooks;
pub(in crate::server) mod inner_block;
pub(in crate::server) mod listeners;
pub(in crate::server) mod locations;
pub(in crate::server) mod maps;
pub(in crate::server) mod timeouts;
pub(in crate::server) mod upstreams;

use std::path::PathBuf;
use std::sync::Arc;

use self::inner_block::InnerBlock;
use self::listeners::{ServerDraft, listeners};
use self::timeouts::Timeouts;
use super::conditions;
use super::files::SourcePlace;
use super::levels::{Level, Scope, StepDraft};
use super::listen;
use super::names;
use super::names::LogFormats;
use super::parser::{Block, Directive};
use super::report::Report;
use super::rewriting;
use super::rule::{EVENTS, HTTP, MAIN, SERVER, SERVER_IF};
use crate::server::config::source::ImportOptions;
use crate::server::config::{
    Config, ConnectionLimits, Endpoint, ListenAddress, LocationSettings, Paddings, ProcessSettings,
    RewriteStep, Upstreams, VariableNames, VirtualServer,
};

/// State of a build.
#[derive(Debug)]
pub(in crate::server) struct Builder<'a> {
    pub(in crate::server) report: &'a mut Report,
    /// The variables of the whole file.
    pub(in crate::server) names: VariableNames,
    /// The log formats of the whole file.
    pub(in crate::server) log_formats: LogFormats,
    /// The directory of relative paths.
    pub(in crate::server) base: PathBuf,
    /// Largest padding anywhere in the file.
    pub(in crate::server) largest_padding: usize,
    /// End of `http`, at which the module reports its mistakes.
    pub(in crate::server) end: SourcePlace,
    /// Push locations send requests to back-ends, so `proxy_*` is supported.
    pub(in crate::server) has_hooks: bool,
    /// The URIs of `auth_request` in push locations of the current server, each with the place of
    /// its location.
    pub(in crate::server) auth_requests: Vec<(SourcePlace, String)>,
    /// The `upstream` groups of the whole file.
    pub(in crate::server) upstreams: Arc<Upstreams>,
    /// There is a `nchan_subscriber_info` location.
    pub(in crate::server) shows_info: bool,
    /// There is a location with one of the three endpoint types.
    pub(in crate::server) has_endpoints: bool,
    /// The limits of `http`.
    pub(in crate::server) limits: ConnectionLimits,
    /// Process-wide settings of the file.
    pub(in crate::server) process: ProcessSettings,
    /// The main block or `http` has an `error_log`.
    pub(in crate::server) has_error_log: bool,
    /// Addresses with `proxy_protocol` in a `listen`, which applies to all servers there.
    pub(in crate::server) proxy_protocol: Vec<ListenAddress>,
    pub(in crate::server) options: &'a ImportOptions,
}

/// Builds the configuration; it is invalid if it is `None` or if the report has mistakes.
pub(in crate::server) fn build(
    tree: &Block,
    report: &mut Report,
    options: &ImportOptions,
) -> Option<Config> {
    let names = names::variables(&tree.directives);
    let log_formats = names::log_formats(&tree.directives, &names);
    let facts = FileFacts::collect(tree);
    let base = report.files.base().to_owned();
    // nginx has no limit like it: slow mobile links need as long as `client_body_timeout` allows.
    let limits = ConnectionLimits {
        min_body_rate: 0,
        ..ConnectionLimits::default()
    };
    Builder {
        report,
        names,
        log_formats,
        base,
        largest_padding: facts.largest_padding,
        end: tree.end,
        has_endpoints: false,
        has_hooks: rewriting::has_hooks(&tree.directives),
        auth_requests: Vec::new(),
        upstreams: Arc::default(),
        shows_info: facts.shows_info,
        limits,
        process: ProcessSettings::default(),
        has_error_log: false,
        proxy_protocol: facts.proxy_protocol,
        options,
    }
    .main(tree)
}

/// Facts about the whole file that its parts depend on, wherever they stand.
#[derive(Debug, Default)]
struct FileFacts {
    largest_padding: usize,
    shows_info: bool,
    proxy_protocol: Vec<ListenAddress>,
}

impl FileFacts {
    fn collect(tree: &Block) -> Self {
        let mut facts = Self::default();
        names::visit(&tree.directives, &mut |directive| facts.add(directive));
        facts
    }

    fn add(&mut self, directive: &Directive) {
        match directive.name.as_str() {
            "nchan_subscriber_info" => self.shows_info = true,
            "listen"
                if directive
                    .arguments
                    .iter()
                    .any(|argument| argument == b"proxy_protocol") =>
            {
                self.proxy_protocol.extend(
                    listen::parse(&directive.arguments)
                        .into_iter()
                        .flatten()
                        .map(|listen| listen.address),
                );
            }
            "push_stream_padding_by_user_agent" => {
                let paddings = directive
                    .arguments
                    .first()
                    .and_then(|value| Paddings::parse(value).ok());
                let largest = paddings.map_or(0, |paddings| paddings.largest());
                self.largest_padding = self.largest_padding.max(largest);
            }
            _ => {}
        }
    }
}

/// nginx's default for `worker_processes`.
const NGINX_WORKERS: usize = 1;

impl Builder<'_> {
    fn main(mut self, tree: &Block) -> Option<Config> {
        let (scope, blocks) = self.scope(tree, MAIN);
        let mut config = None;
        for InnerBlock {
            name,
            directive,
            block,
        } in blocks
        {
            match name {
                "http" if config.is_some() => self
                    .report
                    .mistake(directive.place, "\"http\" directive is duplicate"),
                "http" => config = Some(self.http(block, scope.workers.unwrap_or(NGINX_WORKERS))),
                _ => drop(self.scope(block, EVENTS)),
            }
        }
        if let Some(config) = &mut config {
            config.process = self.process;
        }
        if config
            .as_ref()
            .is_none_or(|config| config.listeners.is_empty())
        {
            self.report.mistake(
                self.end,
                "no \"server\" in an \"http\" block: there is nothing to listen on",
            );
        }
        config
    }

    fn http(&mut self, block: &Block, workers: usize) -> Config {
        self.end = block.end;
        let (scope, blocks) = self.scope(block, HTTP);
        let mut drafts = Vec::new();
        let mut timeouts = Vec::new();
        self.upstreams = Arc::new(upstreams::read_all(&blocks, &self.names, self.report));
        for (number, inner) in blocks.iter().enumerate() {
            match inner.name {
                // Of several maps with one variable nginx takes the last one.
                "map" => {
                    let is_in_force = !blocks[number + 1..]
                        .iter()
                        .any(|later| defines_same_variable(later, inner));
                    maps::map(self, inner.directive, inner.block, is_in_force);
                }
                "upstream" => {}
                _ => {
                    let (draft, limits) = self.server(inner.directive.place, inner.block, &scope);
                    drafts.push(draft);
                    timeouts.push(Timeouts::new(inner.block, limits));
                }
            }
        }
        if self.has_endpoints {
            checks::http(&scope, self.end, self.report);
        }
        let limits = timeouts::shared(scope.limits, timeouts, self.report);
        Config {
            listeners: listeners(drafts, self.report),
            shards: workers,
            limits,
            broker: scope.broker,
            process: ProcessSettings::default(),
        }
    }

    /// Builds a server; returns it with its limits.
    fn server(
        &mut self,
        place: SourcePlace,
        block: &Block,
        http: &Scope,
    ) -> (ServerDraft, ConnectionLimits) {
        let (scope, blocks) = self.scope(block, SERVER);
        let mut level = scope.level.inherit(&http.level);
        self.check_access(&level, place);
        guards::add_server_guards(self, &mut level, &blocks, &scope.listens, place);
        guards::settle_guards(self, &mut level, &[], false, place);
        let settings = level.settings(Endpoint::None, Paddings::default(), &http.broker);
        let mut ifs = blocks.iter().filter(|inner| inner.name == "if");
        let steps = scope.steps.into_iter().filter_map(|step| match step {
            StepDraft::Step(step) => Some(step),
            StepDraft::If => ifs.next().and_then(|inner| {
                let step = self.server_if(inner.directive, inner.block, &settings);
                step.filter(|_| !guards::is_left_to_front(self, inner.directive, &level))
            }),
        });
        let steps = steps.collect();
        let outer = crate::server::config::source::nginx::build::locations::Outer {
            level: &level,
            broker: &http.broker,
            pattern: None,
        };
        let locations = self.locations(&blocks, &outer);
        let listens = if scope.listens.is_empty() && !scope.has_quic {
            vec![listen::fallback()]
        } else {
            scope.listens
        };
        let server = Arc::new(VirtualServer {
            names: scope.names,
            locations,
            welcome: false,
            browser_access: None,
            steps,
            settings,
            has_underscores: level.underscores_in_headers == Some(true),
            keeps_slashes: level.merge_slashes == Some(false),
        });
        for (place, uri) in std::mem::take(&mut self.auth_requests) {
            if let Err(text) = checks::auth_request(&server, &uri) {
                self.report.mistake(place, text);
            }
        }
        hooks::check(block, &server, self.report);
        (
            ServerDraft {
                place,
                listens,
                server,
            },
            scope.limits,
        )
    }

    /// Builds an `if` of a server, which cannot change settings.
    fn server_if(
        &mut self,
        directive: &Directive,
        block: &Block,
        settings: &Arc<LocationSettings>,
    ) -> Option<RewriteStep> {
        let (scope, _) = self.scope(block, SERVER_IF);
        let steps = scope.steps.into_iter().filter_map(|step| match step {
            StepDraft::Step(step) => Some(step),
            StepDraft::If => None,
        });
        let steps = steps.collect();
        match conditions::parse(&directive.arguments, &self.names) {
            Ok(condition) => Some(RewriteStep::If {
                condition,
                settings: Arc::clone(settings),
                steps,
            }),
            Err(text) => {
                self.report.mistake(directive.place, text);
                None
            }
        }
    }

    /// Rejects `auth_basic` without a file of passwords: nginx would let every client in.
    pub(in crate::server) fn check_access(&mut self, level: &Level, place: SourcePlace) {
        if matches!(level.auth_realm, Some(Some(_))) && level.auth_users.is_none() {
            self.report.mistake(
                place,
                "\"auth_basic\" without \"auth_basic_user_file\" lets every client in",
            );
        }
    }
}

/// Whether two blocks are maps of the same variable.
fn defines_same_variable(one: &InnerBlock<'_>, other: &InnerBlock<'_>) -> bool {
    let variable = |map: &InnerBlock<'_>| {
        map.directive
            .arguments
            .get(1)
            .and_then(|name| names::variable(name))
    };
    one.name == "map" && other.name == "map" && variable(one) == variable(other)
}
