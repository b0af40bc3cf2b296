//! Adds hints to mistakes that the rest of the file explains.

use super::directives;
use super::files::SourcePlace;
use super::names;
use super::parser::{Block, Directive, SyntaxReport};
use super::report::{Finding, Report};
use super::rule::Effect;

/// The variables in which push-stream before 0.4 expected the channels.
const FORMER_CHANNELS: [&str; 2] = ["push_stream_channel_id", "push_stream_channels_path"];
const PART: &str = "the file is a part of a configuration: use the nginx.conf that includes it";
const UNREAD: &str = "unless it is in the part that cannot be read";

/// Adds hints to the mistakes of a file, and notices of directives that probably lack a `;`.
pub(in crate::server) fn add(report: &mut Report, tree: &Block, syntax: &SyntaxReport) {
    let Report {
        files, mistakes, ..
    } = report;
    for mistake in mistakes.iter_mut() {
        let hint = unknown_variable(mistake, tree, |place| match files.name(place.file) {
            file if place.file == mistake.place.file => format!("line {} of {file}", place.line),
            file => format!("{file}:{}", place.line),
        });
        let hint = hint.or_else(|| former_channels(mistake, tree));
        let may_be_unread = syntax.is_partial && is_about_something_missing(&mistake.text);
        if let Some(hint) = hint.or_else(|| may_be_unread.then(|| UNREAD.to_owned())) {
            mistake.hints.push(hint);
        }
    }
    if !syntax.is_partial
        && !tree
            .directives
            .iter()
            .any(|directive| directive.name == "http")
    {
        let is_elsewhere =
            |found: &&mut Finding| found.text.ends_with("directive is not allowed here");
        let is_empty = |found: &&mut Finding| found.text.starts_with("no \"server\"");
        mistakes
            .iter_mut()
            .find(is_elsewhere)
            .into_iter()
            .for_each(|found| found.hints.push(PART.to_owned()));
        mistakes
            .iter_mut()
            .find(is_empty)
            .into_iter()
            .for_each(|found| found.hints.push(PART.to_owned()));
    }
    for (place, hint) in &syntax.suspects {
        match report
            .mistakes
            .iter_mut()
            .find(|found| found.place == *place)
        {
            Some(mistake) => mistake.hints.push(hint.clone()),
            None => report.notice(*place, hint.as_str()),
        }
    }
}

/// Whether a mistake may be due to an unread part of the configuration.
fn is_about_something_missing(text: &str) -> bool {
    let is_name = text.starts_with("unknown \"") || text.starts_with("unknown log format");
    is_name || text.contains(" must be set") || text.starts_with("no \"server\"")
}

/// The hint for an unknown variable that an unsupported directive sets.
fn unknown_variable(
    mistake: &Finding,
    tree: &Block,
    shown: impl Fn(SourcePlace) -> String,
) -> Option<String> {
    let name = mistake
        .text
        .strip_prefix("unknown \"")?
        .strip_suffix("\" variable")?;
    let mut found = None;
    names::visit(&tree.directives, &mut |directive| {
        if found.is_none() && sets(directive, name) {
            found = Some((directive.name.clone(), directive.place));
        }
    });
    let (directive, place) = found?;
    Some(format!(
        "\"{directive}\" in {} sets it and is not supported: use \"set\" or \"map\", or let nginx \
         in front send the value in a header and \
         read it as $http_NAME",
        shown(place)
    ))
}

/// Whether an unsupported directive sets the variable of this name.
fn sets(directive: &Directive, variable: &str) -> bool {
    let is_it = |text: &[u8]| {
        names::variable(text).is_some_and(|name| name == variable.to_ascii_lowercase())
    };
    let arguments = &directive.arguments;
    match directive.name.as_str() {
        "geo" | "split_clients" => arguments.last().is_some_and(|last| is_it(last)),
        // The lines of a geoip2 block begin with the variable.
        name if name.starts_with('$') => is_it(name.as_bytes()),
        name if directives::rule_with_hooks(name)
            .is_some_and(|rule| !matches!(rule.effect, Effect::Ignored)) =>
        {
            false
        }
        _ => arguments.first().is_some_and(|first| is_it(first)),
    }
}

/// The hint for a location that sets its channels as old versions of push-stream expect them.
fn former_channels(mistake: &Finding, tree: &Block) -> Option<String> {
    let location = mistake.location.filter(|_| {
        mistake
            .text
            .contains("push_stream_channels_path must be set")
    })?;
    let mut found = None;
    names::visit(&tree.directives, &mut |directive| {
        if directive.name == "location" && directive.place == location {
            let inner = directive.block.iter().flat_map(|block| &block.directives);
            found = found.take().or_else(|| {
                inner
                    .filter(|inner| inner.name == "set")
                    .find_map(former_channel)
            });
        }
    });
    found
}

fn former_channel(set: &Directive) -> Option<String> {
    let name = names::variable(set.arguments.first()?)?;
    let value = String::from_utf8_lossy(set.arguments.get(1)?);
    let is_former = FORMER_CHANNELS.contains(&name.as_str());
    is_former.then(|| {
        format!(
            "instead of \"set ${name} {value};\" in line {} write \
                          \"push_stream_channels_path {value};\"",
            set.place.line
        )
    })
}
