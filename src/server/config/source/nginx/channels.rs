//! The directives that select the channels of a push location. The front can enforce a rule, but
//! only pushctl selects channels: a variable without a reliable value in such a directive is a
//! mistake, even if the front enforces the rules with this variable.

use super::blocks::InnerBlock;
use super::endpoint_choice::EndpointChoice;
use super::files::SourcePlace;
use super::guards::GuardDirective;
use super::levels::Level;
use super::names;
use super::parser::Directive;
use super::report::Report;
use crate::server::config::VariableNames;

/// What a directive that selects channels sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    /// `push_stream_channels_path`
    Path,
    /// The variable `$push_channel_id` of NHPM.
    LegacyId,
    /// `nchan_channel_id`
    NchanId,
    /// `nchan_publisher_channel_id`
    NchanPublisherId,
    /// `nchan_subscriber_channel_id`
    NchanSubscriberId,
    /// `nchan_channel_group`
    NchanGroup,
}

impl Selector {
    fn of(directive: &Directive) -> Option<Self> {
        Some(match directive.name.as_str() {
            "push_stream_channels_path" => Self::Path,
            "nchan_channel_id" | "nchan_pubsub_channel_id" => Self::NchanId,
            "nchan_publisher_channel_id" | "nchan_pub_channel_id" => Self::NchanPublisherId,
            "nchan_subscriber_channel_id" | "nchan_sub_channel_id" => Self::NchanSubscriberId,
            "nchan_channel_group" => Self::NchanGroup,
            "set" => {
                let name = names::variable(directive.arguments.first()?)?;
                return (name == "push_channel_id").then_some(Self::LegacyId);
            }
            _ => return None,
        })
    }

    /// Whether the channels of an endpoint depend on it.
    fn applies_to(self, endpoint: EndpointChoice, level: &Level) -> bool {
        match endpoint {
            EndpointChoice::Statistics
            | EndpointChoice::Publisher { .. }
            | EndpointChoice::Subscriber(_) => self == Self::Path,
            EndpointChoice::NhpmPublisher | EndpointChoice::NhpmSubscriber { .. } => {
                self == Self::LegacyId
            }
            EndpointChoice::Nchan(_) => match self {
                Self::Path => false,
                // nchan uses it for a role that has no channel id.
                Self::LegacyId => {
                    let nchan = &level.nchan;
                    nchan.channel_id.is_none()
                        && (nchan.publisher_channel_id.is_none()
                            || nchan.subscriber_channel_id.is_none())
                }
                _ => true,
            },
            EndpointChoice::NchanGroup(_) => self == Self::NchanGroup,
            EndpointChoice::None
            | EndpointChoice::NchanStubStatus
            | EndpointChoice::NchanSubscriberInfo => false,
        }
    }
}

/// A directive that selects channels, with the variable in it that has no reliable value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct ChannelDirective {
    selector: Selector,
    /// Name of the directive that uses the variable: this one, or the `if` around it.
    user: String,
    variable: Option<String>,
    place: SourcePlace,
}

/// The directives of a block that select channels, and those of the enclosing block that it does
/// not override.
pub(in crate::server) fn inherit(
    own: Vec<ChannelDirective>,
    outer: &[ChannelDirective],
) -> Vec<ChannelDirective> {
    let is_overridden =
        |known: &ChannelDirective| own.iter().any(|other| other.selector == known.selector);
    let inherited: Vec<ChannelDirective> = outer
        .iter()
        .filter(|known| !is_overridden(known))
        .cloned()
        .collect();
    [own, inherited].concat()
}

/// Records a directive if it selects channels.
pub(in crate::server) fn add(directive: &Directive, names: &VariableNames, level: &mut Level) {
    let Some(selector) = Selector::of(directive) else {
        return;
    };
    // Of several `set` in a block, the last one is in force.
    let known = &mut level.channel_directives;
    known.retain(|earlier| earlier.selector != selector);
    known.push(ChannelDirective::new(selector, directive, names));
}

/// The directives in the `if` blocks of a block that select channels, each with its condition.
pub(in crate::server) fn of_ifs(
    blocks: &[InnerBlock<'_>],
    names: &VariableNames,
) -> Vec<ChannelDirective> {
    let mut channels = Vec::new();
    for inner in blocks.iter().filter(|inner| inner.name == "if") {
        for directive in &inner.block.directives {
            if let Some(selector) = Selector::of(directive) {
                channels.push(ChannelDirective::new(selector, inner.directive, names));
                channels.push(ChannelDirective::new(selector, directive, names));
            }
        }
    }
    channels
}

/// The directives that select the channels of an endpoint by a variable without a reliable value.
pub(in crate::server) fn unavailable(
    endpoint: EndpointChoice,
    level: &Level,
    blocks: &[InnerBlock<'_>],
    names: &VariableNames,
) -> Vec<ChannelDirective> {
    let mut channels = level.channel_directives.clone();
    channels.extend(of_ifs(blocks, names));
    channels.retain(|channel| {
        channel.variable.is_some() && channel.selector.applies_to(endpoint, level)
    });
    channels
}

impl ChannelDirective {
    fn new(selector: Selector, user: &Directive, names: &VariableNames) -> Self {
        Self {
            selector,
            user: user.name.clone(),
            variable: names::unavailable(user, names),
            place: user.place,
        }
    }

    /// Whether a guard stands for the variable in this directive.
    pub(in crate::server) fn is_guard(&self, guard: &GuardDirective) -> bool {
        self.place == guard.place && self.variable.as_ref() == Some(&guard.name)
    }

    /// Reports the variable as a mistake of a push location.
    pub(in crate::server) fn report(&self, location: SourcePlace, report: &mut Report) {
        let variable = self.variable.as_deref().unwrap_or_default();
        let text = format!(
            "variable \"${variable}\" in \"{}\" selects channels and has no reliable value in \
             pushctl, which the front cannot change: let nginx in front send the value in a header \
             and read it as $http_NAME",
            self.user
        );
        report.guard(self.place, location, text);
    }
}
