//! Builds `location` blocks: patterns, settings, `if` blocks, nested locations.

use super::channels;
use std::sync::Arc;

use super::Builder;
use super::checks;
use super::guards;
use super::inner_block::InnerBlock;
use crate::server::config::model::web::{Gate, Root};
use crate::server::config::source::nginx::classes::GuardKind;
use crate::server::config::source::nginx::conditions;
use crate::server::config::source::nginx::connection;
use crate::server::config::source::nginx::files::SourcePlace;
use crate::server::config::source::nginx::guard_directive::GuardDirective;
use crate::server::config::source::nginx::levels::endpoint_choice::EndpointChoice;
use crate::server::config::source::nginx::levels::{Level, StepDraft};
use crate::server::config::source::nginx::parser::{Block, Directive};
use crate::server::config::source::nginx::rule::{IF, LIMIT_EXCEPT, LOCATION};
use crate::server::config::{
    BrokerSettings, Location, LocationSettings, Locations, Paddings, Pattern, RegexPattern,
    RewriteStep,
};

/// The block that encloses a location.
#[derive(Debug)]
pub(in crate::server) struct Outer<'a> {
    pub(in crate::server) level: &'a Level,
    pub(in crate::server) broker: &'a BrokerSettings,
    /// The pattern of the enclosing location.
    pub(in crate::server) pattern: Option<&'a Pattern>,
}

/// A location whose own level is built, without its steps.
#[derive(Debug)]
struct LocationDraft<'a> {
    endpoint: EndpointChoice,
    level: &'a Level,
    broker: &'a BrokerSettings,
    paddings: Paddings,
}

impl Builder<'_> {
    /// Builds the locations among `blocks`.
    pub(in crate::server) fn locations(
        &mut self,
        blocks: &[InnerBlock<'_>],
        outer: &Outer<'_>,
    ) -> Locations {
        let mut locations: Vec<Location> = Vec::new();
        for inner in blocks.iter().filter(|inner| inner.name == "location") {
            let InnerBlock {
                directive, block, ..
            } = *inner;
            if directive
                .arguments
                .first()
                .is_some_and(|name| name.starts_with(b"@"))
            {
                self.report.unsupported(directive.place, "a named location");
                continue;
            }
            match pattern(&directive.arguments).and_then(|pattern| fits(pattern, &locations, outer))
            {
                Ok(pattern) => locations.push(self.location(pattern, directive, block, outer)),
                Err(text) => self.report.mistake(directive.place, text),
            }
        }
        locations.into()
    }

    fn location(
        &mut self,
        pattern: Pattern,
        directive: &Directive,
        block: &Block,
        outer: &Outer<'_>,
    ) -> Location {
        let (mut scope, blocks) = self.scope(block, LOCATION);
        if let Some(Root {
            alias: Some(length),
            ..
        }) = &mut scope.level.root
        {
            *length = if matches!(pattern, Pattern::Regex(_)) {
                None
            } else {
                Some(pattern.text().len())
            };
        }
        let mut level = scope.level.inherit(outer.level);
        self.check_access(&level, directive.place);
        self.limit_except(&blocks, &mut level);
        let endpoint = scope.endpoint.unwrap_or(EndpointChoice::None);
        self.add_guards(&blocks, block, endpoint, &mut level);
        let channels = channels::unavailable_channels(self, endpoint, &level, &blocks);
        let is_push = endpoint != EndpointChoice::None;
        guards::settle_guards(self, &mut level, &channels, is_push, directive.place);
        self.check_endpoint(endpoint, &level, outer.broker, directive.place);
        // The back-end of the enclosing location is not inherited.
        level.proxy_settings = None;
        if endpoint == EndpointChoice::None {
            self.pass_on(&mut level, &pattern, directive);
        }
        let draft = LocationDraft {
            endpoint,
            paddings: self.paddings(endpoint, &level, directive.place),
            level: &level,
            broker: outer.broker,
        };
        let settings = self.location_settings(&draft, &level);
        let steps = self.steps(scope.steps, &blocks, &draft);
        let inner = Outer {
            level: &level,
            broker: outer.broker,
            pattern: Some(&pattern),
        };
        let nested = self.locations(&blocks, &inner);
        Location {
            pattern,
            settings,
            steps,
            nested,
        }
    }

    /// Checks the settings that an endpoint needs, and records the `auth_request` of the location,
    /// whose target is checked when all locations of the server are known.
    fn check_endpoint(
        &mut self,
        endpoint: EndpointChoice,
        level: &Level,
        broker: &BrokerSettings,
        place: SourcePlace,
    ) {
        match endpoint {
            EndpointChoice::None => return,
            EndpointChoice::Statistics
            | EndpointChoice::Publisher { .. }
            | EndpointChoice::Subscriber(_) => {
                self.has_endpoints = true;
                checks::location(endpoint, level, broker, self.end, place, self.report);
            }
            _ => checks::push_location(endpoint, level, &self.names, place, self.report),
        }
        if let Some(Some(uri)) = &level.auth_request {
            self.auth_requests
                .push((place, String::from_utf8_lossy(uri).into_owned()));
        }
    }

    /// Adds the guards in the `if` blocks of a location, and a `proxy_pass` that would replace its
    /// push handler.
    fn add_guards(
        &self,
        blocks: &[InnerBlock<'_>],
        block: &Block,
        endpoint: EndpointChoice,
        level: &mut Level,
    ) {
        let names = &self.names;
        let ifs = blocks.iter().filter(|inner| inner.name == "if");
        level
            .guards
            .extend(ifs.flat_map(|inner| guards::of_if(inner.block, names)));
        let pass = block
            .directives
            .iter()
            .find(|inner| endpoint != EndpointChoice::None && inner.name == "proxy_pass");
        if let Some(pass) = pass.filter(|_| level.proxy.pass.is_some()) {
            level.guards.push(GuardDirective::new(
                "proxy_pass",
                GuardKind::Handler,
                pass.place,
            ));
        }
    }

    /// Sets the back-end of a location that has `proxy_pass`.
    fn pass_on(&mut self, level: &mut Level, pattern: &Pattern, directive: &Directive) {
        let proxy = match level.proxy.settings(pattern, &self.upstreams) {
            Ok(proxy) => proxy,
            Err(text) => return self.report.mistake(directive.place, text),
        };
        let Some(proxy) = proxy else { return };
        if let Some(reason) = &proxy.unsupported {
            let text = format!(
                "{reason} is not supported for back-ends: requests that need this location are \
                 answered with 503"
            );
            self.report.notice(directive.place, text);
        } else if level.internal != Some(true) {
            let text = "requests to this back-end are limited in size and time as hooks require: \
                        let nginx proxy other locations";
            self.report.notice(directive.place, text);
        }
        if let (Some(Gate::Closed), Some(guard)) = (level.content_gate, level.guards.first()) {
            let text = format!(
                "requests to this location are rejected (403): \"{}\" is not enforced by pushctl",
                guard.name
            );
            self.report.notice(directive.place, text);
        }
        level.proxy_settings = Some(Arc::new(proxy));
    }

    /// Reads the `limit_except` of a location.
    fn limit_except(&mut self, blocks: &[InnerBlock<'_>], level: &mut Level) {
        let mut found = None;
        for inner in blocks.iter().filter(|inner| inner.name == "limit_except") {
            let InnerBlock {
                directive, block, ..
            } = *inner;
            if found.is_some() {
                self.report
                    .mistake(directive.place, "\"limit_except\" directive is duplicate");
            }
            let (scope, _) = self.scope(block, LIMIT_EXCEPT);
            let guards = scope.level.guards.clone();
            let inner = scope.level.inherit(level);
            level.guards.extend(guards);
            self.check_access(&inner, directive.place);
            match connection::limit_except(&directive.arguments, &inner) {
                Ok(limit) => found = Some(limit),
                Err(text) => self.report.mistake(directive.place, text),
            }
        }
        level.limit_except = found;
    }

    /// The settings of a location, or of an `if` in it, with this level.
    fn location_settings(
        &self,
        location: &LocationDraft<'_>,
        level: &Level,
    ) -> Arc<LocationSettings> {
        let endpoint = location
            .endpoint
            .endpoint(level, &self.names, self.shows_info);
        level.settings(endpoint, location.paddings.clone(), location.broker)
    }

    /// Parses the paddings of a subscriber location; the module does not read them in others.
    fn paddings(
        &mut self,
        endpoint: EndpointChoice,
        level: &Level,
        place: SourcePlace,
    ) -> Paddings {
        let (EndpointChoice::Subscriber(_), Some(text)) = (endpoint, &level.padding_by_user_agent)
        else {
            return Paddings::default();
        };
        let parsed = Paddings::parse(text).map_err(|error| {
            let second =
                "push stream module: push stream module: unable to parse paddings by user agent";
            self.report.mistake_of_location(
                self.end,
                place,
                format!("push stream module: {error}"),
            );
            self.report.mistake_of_location(self.end, place, second);
        });
        parsed
            .unwrap_or_default()
            .with_largest(self.largest_padding)
    }

    /// Builds the rewrite steps of a location, with its `if` blocks in their order.
    fn steps(
        &mut self,
        drafts: Vec<StepDraft>,
        blocks: &[InnerBlock<'_>],
        location: &LocationDraft<'_>,
    ) -> Vec<RewriteStep> {
        let mut ifs = blocks.iter().filter(|inner| inner.name == "if");
        let mut steps = Vec::new();
        for draft in drafts {
            let (directive, block) = match draft {
                StepDraft::Step(step) => {
                    steps.push(step);
                    continue;
                }
                StepDraft::If => match ifs.next() {
                    Some(inner) => (inner.directive, inner.block),
                    None => continue,
                },
            };
            let (scope, _) = self.scope(block, IF);
            let inner = scope.steps.into_iter().filter_map(|step| match step {
                StepDraft::Step(step) => Some(step),
                StepDraft::If => None,
            });
            let inner = inner.collect();
            match conditions::parse(&directive.arguments, &self.names) {
                Ok(_) if guards::is_left_to_front(self, directive, location.level) => {}
                Ok(condition) => {
                    let level = scope.level.inherit(location.level);
                    let settings = self.location_settings(location, &level);
                    steps.push(RewriteStep::If {
                        condition,
                        settings,
                        steps: inner,
                    });
                }
                Err(text) => self.report.mistake(directive.place, text),
            }
        }
        steps
    }
}

/// Parses the arguments of `location`; the modifier may be attached to the path.
fn pattern(arguments: &[Vec<u8>]) -> Result<Pattern, String> {
    let (modifier, text): (&[u8], &[u8]) = match arguments {
        [modifier, text] => (modifier, text),
        [text] => {
            let modifiers: [&[u8]; 4] = [b"=", b"^~", b"~*", b"~"];
            let modifier = modifiers
                .into_iter()
                .find(|modifier| text.starts_with(modifier))
                .unwrap_or_default();
            (modifier, &text[modifier.len()..])
        }
        _ => return Err("invalid number of arguments in \"location\" directive".to_owned()),
    };
    match modifier {
        b"" | b"^~" => Ok(Pattern::Prefix {
            prefix: text.to_vec(),
            stops_regexes: modifier == b"^~",
        }),
        b"=" => Ok(Pattern::Exact(text.to_vec())),
        b"~" | b"~*" => {
            let text = std::str::from_utf8(text)
                .map_err(|_| "a regular expression is not UTF-8".to_owned())?;
            RegexPattern::new(text, modifier == b"~*")
                .map(Pattern::Regex)
                .map_err(|error| error.to_string())
        }
        _ => Err(format!(
            "invalid location modifier \"{}\"",
            String::from_utf8_lossy(modifier)
        )),
    }
}

/// Checks nginx's rules about locations of one block and about nested ones.
fn fits(pattern: Pattern, siblings: &[Location], outer: &Outer<'_>) -> Result<Pattern, String> {
    let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let is_same = |other: &Pattern| match (&pattern, other) {
        (Pattern::Exact(one), Pattern::Exact(other)) => one == other,
        (Pattern::Prefix { prefix: one, .. }, Pattern::Prefix { prefix: other, .. }) => {
            one == other
        }
        _ => false,
    };
    if siblings.iter().any(|other| is_same(&other.pattern)) {
        return Err(format!("duplicate location \"{}\"", shown(pattern.text())));
    }
    match outer.pattern {
        Some(Pattern::Exact(around)) => Err(format!(
            "location \"{}\" cannot be inside the exact location \"{}\"",
            shown(pattern.text()),
            shown(around)
        )),
        Some(Pattern::Prefix { prefix, .. })
            if !matches!(pattern, Pattern::Regex(_)) && !pattern.text().starts_with(prefix) =>
        {
            Err(format!(
                "location \"{}\" is outside location \"{}\"",
                shown(pattern.text()),
                shown(prefix)
            ))
        }
        _ => Ok(pattern),
    }
}
