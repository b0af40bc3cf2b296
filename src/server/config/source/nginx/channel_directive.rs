//! Directives that select channels, as blocks hold and inherit them.

use super::files::SourcePlace;
use super::guard_directive::GuardDirective;
use super::names;
use super::parser::Directive;
use super::report::Report;

/// What a directive that selects channels sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Selector {
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
    pub(in crate::server) fn of(directive: &Directive) -> Option<Self> {
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
}

/// A directive that selects channels, with the variable in it that has no reliable value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct ChannelDirective {
    pub(in crate::server) selector: Selector,
    /// Name of the directive that uses the variable: this one, or the `if` around it.
    pub(in crate::server) user: String,
    pub(in crate::server) variable: Option<String>,
    pub(in crate::server) place: SourcePlace,
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

impl ChannelDirective {
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
