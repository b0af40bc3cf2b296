//! The walk through the tree of an nginx.conf: every block becomes a scope, `http` and its servers
//! become a [`Config`].
//!
//! Locations are built in `locations`. The simple directives of a block are read before its inner
//! blocks, so that their order in the file does not matter, as in nginx.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::{
    Config, ConnectionLimits, ListenAddress, LocationSettings, Paddings, ProcessSettings,
    RewriteStep, Upstreams, VariableNames, VirtualServer,
};
use super::checks;
use super::classes::{self, Class};
use super::conditions;
use super::directives::{
    self, EVENTS, Effect, HTTP, IF, LIMIT_EXCEPT, LOCATION, MAIN, SERVER, SERVER_IF, Value,
};
use super::files::Place;
use super::guards::GuardDirective;
use super::levels::{Level, Scope, StepDraft};
use super::listen;
use super::listeners::{Draft, listeners};
use super::names::{self, LogFormats};
use super::parser::{Block, Directive};
use super::timeouts::{self, Timeouts};
use super::{ImportOptions, Report, Support, hooks, ignored, rewriting, upstreams};

/// What the whole walk needs.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    pub(super) report: &'a mut Report,
    /// The variables of the whole file.
    pub(super) names: VariableNames,
    /// The formats of logs of the whole file.
    log_formats: LogFormats,
    /// Where relative paths begin.
    base: PathBuf,
    /// Largest padding anywhere in the file.
    pub(super) largest_padding: usize,
    /// Place of the end of `http`, where the module checks.
    pub(super) end: Place,
    /// There are push locations that ask back-ends about their requests.
    has_hooks: bool,
    /// The locations that `auth_request` names for push locations, each with the place of one.
    pub(super) auth_requests: Vec<(Place, String)>,
    /// The groups of back-ends of the whole file.
    pub(super) upstreams: Arc<Upstreams>,
    /// There is a `nchan_subscriber_info` location.
    pub(super) shows_info: bool,
    /// There is a location with one of the three endpoint types.
    pub(super) has_endpoints: bool,
    /// Of `http`.
    limits: ConnectionLimits,
    /// Of the whole file.
    process: ProcessSettings,
    /// The main block or `http` has an `error_log`.
    has_error_log: bool,
    /// Addresses at which a `listen` has `proxy_protocol`, which holds for all servers there.
    pub(super) proxy_protocol: Vec<ListenAddress>,
    pub(super) options: &'a ImportOptions,
}

/// Builds the configuration; `None` or mistakes in the report = it is wrong.
pub(super) fn build(tree: &Block, report: &mut Report, options: &ImportOptions) -> Option<Config> {
    let names = names::variables(&tree.directives);
    let log_formats = names::log_formats(&tree.directives, &names);
    let mut largest_padding = 0;
    let mut shows_info = false;
    let mut proxy_protocol = Vec::new();
    names::visit(&tree.directives, &mut |directive| {
        shows_info |= directive.name == "nchan_subscriber_info";
        if directive.name == "listen"
            && directive
                .arguments
                .iter()
                .any(|argument| argument == b"proxy_protocol")
        {
            proxy_protocol.extend(
                listen::parse(&directive.arguments)
                    .into_iter()
                    .flatten()
                    .map(|listen| listen.address),
            );
        }
        if directive.name == "push_stream_padding_by_user_agent" {
            let paddings = directive
                .arguments
                .first()
                .and_then(|value| Paddings::parse(value).ok());
            largest_padding =
                largest_padding.max(paddings.map_or(0, |paddings| paddings.largest()));
        }
    });
    let base = report.files.base().to_owned();
    // nginx has no limit like it: slow mobile links need as long as `client_body_timeout` allows.
    let limits = ConnectionLimits {
        min_body_rate: 0,
        ..ConnectionLimits::default()
    };
    let process = ProcessSettings::default();
    Builder {
        report,
        names,
        log_formats,
        base,
        largest_padding,
        end: tree.end,
        has_endpoints: false,
        has_hooks: rewriting::has_hooks(&tree.directives),
        auth_requests: Vec::new(),
        upstreams: Arc::default(),
        shows_info,
        limits,
        process,
        has_error_log: false,
        proxy_protocol,
        options,
    }
    .main(tree)
}

/// What nginx takes without `worker_processes`.
const NGINX_WORKERS: usize = 1;

impl Builder<'_> {
    fn main(mut self, tree: &Block) -> Option<Config> {
        let (scope, blocks) = self.scope(tree, MAIN);
        let mut config = None;
        for (name, directive, block) in blocks {
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
        for (number, (name, directive, block)) in blocks.iter().copied().enumerate() {
            if name == "map" {
                let variable =
                    |map: &Directive| map.arguments.get(1).and_then(|name| names::variable(name));
                let is_it = |(name, other, _): &(&str, &Directive, &Block)| {
                    *name == "map" && variable(other) == variable(directive)
                };
                // Of several with one variable nginx takes the last one.
                self.map(directive, block, !blocks[number + 1..].iter().any(is_it));
                continue;
            }
            if name == "upstream" {
                continue;
            }
            let (draft, limits) = self.server(directive.place, block, &scope);
            drafts.push(draft);
            timeouts.push(Timeouts::new(block, limits));
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

    /// A server and its limits.
    fn server(&mut self, place: Place, block: &Block, http: &Scope) -> (Draft, ConnectionLimits) {
        let (scope, blocks) = self.scope(block, SERVER);
        let mut level = scope.level.inherit(&http.level);
        self.check_access(&level, place);
        self.add_server_guards(&mut level, &blocks, &scope.listens, place);
        self.settle_guards(&mut level, false, place);
        let settings = level.settings(Paddings::default(), &http.broker);
        let mut ifs = blocks.iter().filter(|(name, ..)| *name == "if");
        let steps = scope.steps.into_iter().filter_map(|step| match step {
            StepDraft::Step(step) => Some(step),
            StepDraft::If => ifs.next().and_then(|(_, directive, block)| {
                let step = self.server_if(directive, block, &settings);
                step.filter(|_| !self.is_left_to_front(directive, &level))
            }),
        });
        let steps = steps.collect();
        let outer = super::locations::Outer {
            level: &level,
            broker: &http.broker,
            pattern: None,
        };
        let locations = self.locations(&blocks, &outer);
        let is_silent = scope.listens.is_empty() && !scope.has_quic;
        let listens = if is_silent {
            vec![listen::fallback()]
        } else {
            scope.listens
        };
        let has_underscores = level.underscores_in_headers == Some(true);
        let keeps_slashes = level.merge_slashes == Some(false);
        let names = scope.names;
        let server = Arc::new(VirtualServer {
            names,
            locations,
            welcome: false,
            browser_access: None,
            steps,
            settings,
            has_underscores,
            keeps_slashes,
        });
        for (place, uri) in std::mem::take(&mut self.auth_requests) {
            if let Err(text) = checks::auth_request(&server, &uri) {
                self.report.mistake(place, text);
            }
        }
        hooks::check(block, &server, self.report);
        (
            Draft {
                place,
                listens,
                server,
            },
            scope.limits,
        )
    }

    /// Reads the simple directives of a block; returns the blocks in it, which the caller enters.
    pub(super) fn scope<'t>(
        &mut self,
        block: &'t Block,
        context: u8,
    ) -> (Scope, Vec<(&'static str, &'t Directive, &'t Block)>) {
        let mut scope = Scope {
            limits: self.limits.clone(),
            ..Scope::default()
        };
        let mut seen = HashSet::new();
        let mut blocks = Vec::new();
        for directive in &block.directives {
            match self.directive(directive, context, &mut scope, &mut seen, &mut blocks) {
                Ok(verdict) => self.report.treated(directive, verdict),
                Err(text) => {
                    self.report.treated(directive, Support::Refused);
                    self.report.mistake(directive.place, text);
                    scope.take_as_given(&directive.name);
                }
            }
            for notice in scope.notices.drain(..) {
                self.report.notice(directive.place, notice);
            }
        }
        self.process.hides_version |= scope.hides_version;
        self.error_logs(block, context, &mut scope);
        if context == HTTP {
            self.limits = scope.limits.clone();
        }
        (scope, blocks)
    }

    /// There is one log: that of the main block and of `http`; what servers say holds where those
    /// say nothing.
    fn error_logs(&mut self, block: &Block, context: u8, scope: &mut Scope) {
        if context & (MAIN | HTTP) != 0 {
            self.has_error_log |= !scope.error_logs.is_empty();
        } else if self.has_error_log && !scope.error_logs.is_empty() {
            let text = "\"error_log\" is one for all servers in pushctl: those of the main block \
                        and of http hold";
            let own = block
                .directives
                .iter()
                .filter(|directive| directive.name == "error_log");
            own.for_each(|directive| self.report.notice(directive.place, text));
            return;
        }
        for log in scope.error_logs.drain(..) {
            if !self.process.error_logs.contains(&log) {
                self.process.error_logs.push(log);
            }
        }
    }

    fn directive<'t>(
        &mut self,
        directive: &'t Directive,
        context: u8,
        scope: &mut Scope,
        seen: &mut HashSet<&'t str>,
        blocks: &mut Vec<(&'static str, &'t Directive, &'t Block)>,
    ) -> Result<Support, String> {
        let name = directive.name.as_str();
        let rule = match self
            .proxy_rule(name, context)
            .or_else(|| directives::rule(name))
        {
            Some(rule) => rule,
            None => return self.unknown(directive, context, scope),
        };
        if rule.contexts & context == 0 {
            return Err(format!("\"{name}\" directive is not allowed here"));
        }
        if !rule.arguments.contains(&directive.arguments.len()) {
            return Err(format!(
                "invalid number of arguments in \"{name}\" directive"
            ));
        }
        let value = Value {
            name,
            arguments: &directive.arguments,
            names: &self.names,
            log_formats: &self.log_formats,
            base: &self.base,
            place: directive.place,
        };
        if let Some(name) = names::reserved_capture(directive) {
            return Err(format!("the duplicate \"{name}\" variable"));
        }
        if !matches!(rule.effect, Effect::Ignored) {
            self.add_unavailable_variable(directive, scope);
        }
        let is_repeated = !seen.insert(name);
        match (&rule.effect, &directive.block) {
            (Effect::Ignored, _) => {
                return Ok(Support::Ignored(ignored::reason(name).unwrap_or_default()));
            }
            (Effect::Block, None) => {
                return Err(format!("directive \"{name}\" has no opening \"{{\""));
            }
            (Effect::Once(_) | Effect::Many(_) | Effect::Unsupported(_), Some(_)) => {
                return Err(format!("directive \"{name}\" is not terminated by \";\""));
            }
            (Effect::Block, Some(block)) if name == "types" => self.types(block, scope),
            (Effect::Block, Some(block)) => {
                if name == "if" {
                    scope.steps.push(StepDraft::If);
                }
                blocks.push((rule.name, directive, block));
            }
            (Effect::Once(_), None) if is_repeated => {
                return Err(format!("\"{name}\" directive is duplicate"));
            }
            (Effect::Once(apply) | Effect::Many(apply) | Effect::Unsupported(apply), None) => {
                timeouts::check(directive, context == LOCATION, self.report);
                apply(scope, &value)?;
            }
        }
        let fallback = if matches!(rule.effect, Effect::Unsupported(_)) {
            Support::NotServed
        } else {
            Support::Served
        };
        Ok(scope.verdict.take().unwrap_or(fallback))
    }

    /// The rule of a directive that is served for hooks only.
    fn proxy_rule(&self, name: &str, context: u8) -> Option<&'static directives::Rule> {
        let is_served = self.has_hooks && context & (IF | LIMIT_EXCEPT) == 0;
        super::proxy::DIRECTIVES
            .iter()
            .find(|rule| is_served && rule.name == name)
    }

    /// A directive that is not in the table: a mistake if it can only be meant for the module or
    /// for us.
    fn unknown(
        &mut self,
        directive: &Directive,
        context: u8,
        scope: &mut Scope,
    ) -> Result<Support, String> {
        let name = directive.name.as_str();
        if ["push_", "pushctl_", "nchan_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            return Err(format!("unknown directive \"{name}\""));
        }
        if context & (MAIN | EVENTS) == 0 {
            match classes::class(directive) {
                Class::Ignored(reason) => return Ok(Support::Ignored(reason)),
                Class::Harmless => {}
                Class::Files => scope.level.files_blocked = Some(name.to_owned()),
                Class::Off => scope.level.guards_off.push(name.to_owned()),
                Class::Guard(guard) => {
                    scope
                        .level
                        .guards
                        .push(GuardDirective::new(name, guard, directive.place))
                }
            }
        }
        if context != EVENTS {
            self.report
                .not_served(directive.place, &format!("directive \"{name}\""));
        }
        Ok(Support::NotServed)
    }

    /// An `if` of a server: what stands in it changes no settings.
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

    /// A password that is asked for without a file of passwords lets everybody in, which nobody
    /// means.
    pub(super) fn check_access(&mut self, level: &Level, place: Place) {
        if matches!(level.auth_realm, Some(Some(_))) && level.auth_users.is_none() {
            self.report.mistake(
                place,
                "\"auth_basic\" without \"auth_basic_user_file\" lets everybody in",
            );
        }
    }

    /// `types { text/html html htm; }`
    fn types(&mut self, block: &Block, scope: &mut Scope) {
        let types = scope.level.types.get_or_insert_default();
        for directive in &block.directives {
            if directive.block.is_some() {
                self.report.mistake(directive.place, "unexpected \"{\"");
                continue;
            }
            if !directive.name.contains('/') {
                self.report.not_served(
                    directive.place,
                    &format!("directive \"{}\" in \"types\"", directive.name),
                );
                continue;
            }
            for extension in &directive.arguments {
                let extension = String::from_utf8_lossy(extension).to_ascii_lowercase();
                // The last one counts, as in nginx.
                types.retain(|(known, _)| *known != extension);
                types.push((extension, directive.name.clone().into()));
            }
            self.report.treated(directive, Support::Part);
        }
    }
}
