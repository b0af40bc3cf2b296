//! Reads the simple directives of one block.

use super::channels;
use super::guards;
use super::inner_block::InnerBlock;
use std::collections::HashSet;

use super::Builder;
use super::timeouts;
use crate::server::config::source::Support;
use crate::server::config::source::nginx::classes;
use crate::server::config::source::nginx::classes::Class;
use crate::server::config::source::nginx::directives;
use crate::server::config::source::nginx::guard_directive::GuardDirective;
use crate::server::config::source::nginx::levels::{Scope, StepDraft};
use crate::server::config::source::nginx::parser::{Block, Directive};
use crate::server::config::source::nginx::rule::{
    Apply, EVENTS, Effect, HTTP, IF, LIMIT_EXCEPT, LOCATION, MAIN, Rule, Value,
};
use crate::server::config::source::nginx::{ignored, names};

impl Builder<'_> {
    /// Reads the simple directives of a block; returns the blocks in it, which the caller enters.
    pub(in crate::server) fn scope<'t>(
        &mut self,
        block: &'t Block,
        context: u8,
    ) -> (Scope, Vec<InnerBlock<'t>>) {
        let mut scope = Scope {
            limits: self.limits.clone(),
            ..Scope::default()
        };
        let mut seen = HashSet::new();
        let mut blocks = Vec::new();
        for directive in &block.directives {
            match self.directive(directive, context, &mut scope, &mut seen, &mut blocks) {
                Ok(support) => self.report.record(directive, support),
                Err(text) => {
                    self.report.record(directive, Support::Invalid);
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

    /// Collects the error logs of the process: those of the main block and of `http`, or those of
    /// the servers if there are none.
    fn error_logs(&mut self, block: &Block, context: u8, scope: &mut Scope) {
        if context & (MAIN | HTTP) != 0 {
            self.has_error_log |= !scope.error_logs.is_empty();
        } else if self.has_error_log && !scope.error_logs.is_empty() {
            let text = "pushctl has one \"error_log\" for all servers: that of the main block or \
                        http is used";
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

    /// Reads one directive into `scope`, or adds it to `blocks` if it has a block.
    fn directive<'t>(
        &mut self,
        directive: &'t Directive,
        context: u8,
        scope: &mut Scope,
        seen: &mut HashSet<&'t str>,
        blocks: &mut Vec<InnerBlock<'t>>,
    ) -> Result<Support, String> {
        let name = directive.name.as_str();
        let rule = match self
            .proxy_rule(name, context)
            .or_else(|| directives::rule(name))
        {
            Some(rule) => rule,
            None => return self.directive_without_rule(directive, context, scope),
        };
        check_form(directive, rule, context)?;
        if matches!(rule.effect, Effect::Ignored) {
            return Ok(Support::Ignored(ignored::reason(name).unwrap_or_default()));
        }
        guards::add_unavailable_variable(self, directive, scope);
        channels::add_channel_directive(self, directive, &mut scope.level);
        let is_repeated = !seen.insert(name);
        match (&rule.effect, &directive.block) {
            (Effect::Ignored, _) => {}
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
                blocks.push(InnerBlock {
                    name: rule.name,
                    directive,
                    block,
                });
            }
            (Effect::Once(_), None) if is_repeated => {
                return Err(format!("\"{name}\" directive is duplicate"));
            }
            (Effect::Once(apply) | Effect::Many(apply) | Effect::Unsupported(apply), None) => {
                timeouts::check(directive, context == LOCATION, self.report);
                self.apply(*apply, directive, scope)?;
            }
        }
        let fallback = if matches!(rule.effect, Effect::Unsupported(_)) {
            Support::Unsupported
        } else {
            Support::Supported
        };
        Ok(scope.support.take().unwrap_or(fallback))
    }

    fn apply(&self, apply: Apply, directive: &Directive, scope: &mut Scope) -> Result<(), String> {
        let value = Value {
            name: &directive.name,
            arguments: &directive.arguments,
            names: &self.names,
            log_formats: &self.log_formats,
            base: &self.base,
            place: directive.place,
        };
        apply(scope, &value)
    }

    /// The rule of a directive that is supported for hooks only.
    fn proxy_rule(&self, name: &str, context: u8) -> Option<&'static Rule> {
        let is_served = self.has_hooks && context & (IF | LIMIT_EXCEPT) == 0;
        crate::server::config::source::nginx::proxy::DIRECTIVES
            .iter()
            .find(|rule| is_served && rule.name == name)
    }

    /// Classifies a directive that is in no table. One with the prefix of a push module or of
    /// pushctl is a mistake.
    fn directive_without_rule(
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
                .unsupported(directive.place, &format!("directive \"{name}\""));
        }
        Ok(Support::Unsupported)
    }

    /// Reads `types { text/html html htm; }`.
    fn types(&mut self, block: &Block, scope: &mut Scope) {
        let types = scope.level.types.get_or_insert_default();
        for directive in &block.directives {
            if directive.block.is_some() {
                self.report.mistake(directive.place, "unexpected \"{\"");
                continue;
            }
            if !directive.name.contains('/') {
                self.report.unsupported(
                    directive.place,
                    &format!("directive \"{}\" in \"types\"", directive.name),
                );
                continue;
            }
            for extension in &directive.arguments {
                let extension = String::from_utf8_lossy(extension).to_ascii_lowercase();
                // The last type of an extension wins, as in nginx.
                types.retain(|(known, _)| *known != extension);
                types.push((extension, directive.name.clone().into()));
            }
            self.report.record(directive, Support::Entry);
        }
    }
}

/// Checks what holds for every directive: where it stands, its number of arguments, and the names
/// of its captures.
fn check_form(directive: &Directive, rule: &Rule, context: u8) -> Result<(), String> {
    let name = &directive.name;
    if rule.contexts & context == 0 {
        return Err(format!("\"{name}\" directive is not allowed here"));
    }
    if !rule.arguments.contains(&directive.arguments.len()) {
        return Err(format!(
            "invalid number of arguments in \"{name}\" directive"
        ));
    }
    match names::reserved_capture(directive) {
        Some(variable) => Err(format!("the duplicate \"{variable}\" variable")),
        None => Ok(()),
    }
}
