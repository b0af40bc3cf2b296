//! The directives that select the channels of a push location. The front can enforce a rule, but
//! only pushctl selects channels: a variable without a reliable value in such a directive is a
//! mistake, even if the front enforces the rules with this variable.

use super::Builder;
use super::inner_block::InnerBlock;
use crate::server::config::source::nginx::channel_directive::{ChannelDirective, Selector};
use crate::server::config::source::nginx::levels::Level;
use crate::server::config::source::nginx::levels::endpoint_choice::EndpointChoice;
use crate::server::config::source::nginx::names;
use crate::server::config::source::nginx::parser::Directive;

/// Records a directive if it selects channels.
pub(in crate::server) fn add_channel_directive(
    builder: &Builder<'_>,
    directive: &Directive,
    level: &mut Level,
) {
    let Some(selector) = Selector::of(directive) else {
        return;
    };
    // Of several `set` in a block, the last one is in force.
    let known = &mut level.channel_directives;
    known.retain(|earlier| earlier.selector != selector);
    known.push(channel_directive(builder, selector, directive));
}

/// The directives in the `if` blocks of a block that select channels, each with its condition.
pub(in crate::server) fn channels_of_ifs(
    builder: &Builder<'_>,
    blocks: &[InnerBlock<'_>],
) -> Vec<ChannelDirective> {
    let mut channels = Vec::new();
    for inner in blocks.iter().filter(|inner| inner.name == "if") {
        for directive in &inner.block.directives {
            if let Some(selector) = Selector::of(directive) {
                channels.push(channel_directive(builder, selector, inner.directive));
                channels.push(channel_directive(builder, selector, directive));
            }
        }
    }
    channels
}

fn channel_directive(
    builder: &Builder<'_>,
    selector: Selector,
    user: &Directive,
) -> ChannelDirective {
    ChannelDirective {
        selector,
        user: user.name.clone(),
        variable: names::unavailable(user, &builder.names),
        place: user.place,
    }
}

/// The directives that select the channels of an endpoint by a variable without a reliable
/// value.
pub(in crate::server) fn unavailable_channels(
    builder: &Builder<'_>,
    endpoint: EndpointChoice,
    level: &Level,
    blocks: &[InnerBlock<'_>],
) -> Vec<ChannelDirective> {
    let mut channels = level.channel_directives.clone();
    channels.extend(channels_of_ifs(builder, blocks));
    channels.retain(|channel| {
        channel.variable.is_some() && applies_to(channel.selector, endpoint, level)
    });
    channels
}

/// Whether the channels of an endpoint depend on a selector.
fn applies_to(selector: Selector, endpoint: EndpointChoice, level: &Level) -> bool {
    match endpoint {
        EndpointChoice::Statistics
        | EndpointChoice::Publisher { .. }
        | EndpointChoice::Subscriber(_) => selector == Selector::Path,
        EndpointChoice::NhpmPublisher | EndpointChoice::NhpmSubscriber { .. } => {
            selector == Selector::LegacyId
        }
        EndpointChoice::Nchan(_) => match selector {
            Selector::Path => false,
            // nchan uses it for a role that has no channel id.
            Selector::LegacyId => {
                let nchan = &level.nchan;
                nchan.channel_id.is_none()
                    && (nchan.publisher_channel_id.is_none()
                        || nchan.subscriber_channel_id.is_none())
            }
            _ => true,
        },
        EndpointChoice::NchanGroup(_) => selector == Selector::NchanGroup,
        EndpointChoice::None
        | EndpointChoice::NchanStubStatus
        | EndpointChoice::NchanSubscriberInfo => false,
    }
}
