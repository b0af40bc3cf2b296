//! Remedies for mistakes in a configuration, which `pushctl check` appends in brackets to the
//! message of nginx.
//!
//! Most mistakes in copied files are of three kinds: non-ASCII spaces from web pages, missing
//! spaces, and directives of older versions of the module.

use crate::server::config::source;
use crate::server::config::source::nginx;

/// Removed or renamed directives, each with its remedy.
const FORMER: &[(&str, &str)] = &[
    (
        "push_stream_keepalive",
        "the module has no such directive any more: connections are kept alive anyway, leave it \
         out",
    ),
    (
        "push_stream_content_type",
        "the module has no such directive any more: use \"default_type\"",
    ),
    (
        "push_stream_subscriber_connection_timeout",
        "it is called \"push_stream_subscriber_connection_ttl\" now",
    ),
    (
        "push_stream_max_reserved_memory",
        "it is called \"push_stream_shared_memory_size\" now",
    ),
    (
        "push_stream_max_message_buffer_length",
        "it is called \"push_stream_max_messages_stored_per_channel\" now",
    ),
    (
        "push_stream_min_message_buffer_timeout",
        "it is called \"push_stream_message_ttl\" now",
    ),
    (
        "push_stream_broadcast_channel_prefix",
        "it is called \"push_stream_wildcard_channel_prefix\" now",
    ),
    (
        "push_stream_broadcast_channel_max_qtd",
        "it is called \"push_stream_wildcard_channel_max_qtd\" now",
    ),
    (
        "push_stream_max_number_of_broadcast_channels",
        "it is called \"push_stream_max_number_of_wildcard_channels\" now",
    ),
    (
        "push_stream_memory_cleanup_timeout",
        "the module has no such directive any more: leave it out",
    ),
    (
        "push_stream_subscriber_disconnect_interval",
        "the module has no such directive any more: leave it out",
    ),
    (
        "nchan_max_message_buffer_length",
        "nchan calls it \"nchan_message_buffer_length\"",
    ),
    (
        "nchan_min_message_buffer_length",
        "nchan has no such directive: leave it out",
    ),
    (
        "nchan_subscriber_concurrency",
        "nchan has no such directive: leave it out",
    ),
    (
        "nchan_authorized_channels_only",
        "nchan calls it \"nchan_subscribe_existing_channels_only\"",
    ),
    (
        "push_stream_eventsource_support",
        "use \"push_stream_subscriber eventsource;\"",
    ),
    (
        "push_stream_websocket",
        "use \"push_stream_subscriber websocket;\"",
    ),
    (
        "push_stream_delete_oldest_received_message",
        "the module has no such directive any more: leave it out",
    ),
    (
        "push_stream_channel_id",
        "use \"push_stream_channels_path\"",
    ),
    (
        "push_stream_channel_path",
        "use \"push_stream_channels_path\"",
    ),
    (
        "push_buffer_size",
        "it is called \"push_max_message_buffer_length\" now",
    ),
    ("push_queue_messages", "use \"push_store_messages\""),
];
/// Variables that set the channels in older versions, before `push_stream_channels_path`.
const FORMER_VARIABLES: [&str; 2] = ["$push_stream_channel_id", "$push_stream_channels_path"];

/// Appends the remedy of a mistake in brackets.
pub(crate) fn add_hint(mistake: &mut source::Diagnostic) {
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
    if let Some(hint) = hint(&mistake.text, line) {
        mistake.hints.push(hint);
    }
}

/// Returns the remedy for the mistake `text` in the line `line`; `None` if there is none.
fn hint(text: &str, line: &str) -> Option<String> {
    let mut hints = Vec::new();
    if let Some(space) = line
        .chars()
        .find(|character| character.is_whitespace() && !character.is_ascii())
    {
        let name = if space == '\u{a0}' {
            "no-break space"
        } else {
            "space"
        };
        hints.push(format!(
            "the line has a {name} (U+{:04X}) from a web page: type an ordinary one",
            u32::from(space)
        ));
    }
    let unknown = text
        .strip_prefix("unknown directive \"")
        .and_then(|rest| rest.strip_suffix('"'))
        .map(str::trim);
    let unknown = unknown.or_else(|| {
        text.strip_prefix("directive \"")?
            .split_once("\" is unknown ")
            .map(|(name, _)| name)
    });
    hints.extend(unknown.and_then(unknown_directive));
    hints.extend(wrong_block(text));
    if let Some(variable) = FORMER_VARIABLES
        .iter()
        .find(|variable| line.contains(**variable))
    {
        hints.push(format!(
            "instead of \"set {variable} ...\" write \"push_stream_channels_path ...\""
        ));
    } else if text.starts_with("parameter \"ssl\" ") {
        hints.push(
            "pushctl serves plain HTTP there: let nginx in front listen, see --front, and \
                    give pushctl --listen"
                .to_owned(),
        );
    } else if text.ends_with("push_stream_channels_path must be set.") {
        hints.push(
            "it sets the channels: \"push_stream_channels_path $arg_id\" for ?id=..., or \
                    $1 of a regular expression"
                .to_owned(),
        );
    }
    (!hints.is_empty()).then(|| hints.join("; "))
}

/// Names the blocks that allow a directive, if `text` rejects its block.
fn wrong_block(text: &str) -> Option<String> {
    let name = text
        .strip_prefix('"')?
        .strip_suffix("\" directive is not allowed here")?;
    let blocks = nginx::directive_blocks(name)?;
    Some(format!("\"{name}\" is allowed in {}", blocks.join(", ")))
}

fn unknown_directive(name: &str) -> Option<String> {
    if let Some((_, advice)) = FORMER.iter().find(|(former, _)| *former == name) {
        return Some((*advice).to_owned());
    }
    let known = || nginx::directive_names().filter(|known| *known != name);
    let is_start = |known: &&str| {
        // Short names, such as "set", are prefixes of many others. A value rarely starts with "_".
        known.len() > 5
            && name
                .strip_prefix(known)
                .is_some_and(|rest| !rest.starts_with('_'))
    };
    if let Some(start) = known().filter(is_start).max_by_key(|known| known.len()) {
        return Some(format!(
            "a space is missing: \"{start} {}\"",
            &name[start.len()..]
        ));
    }
    let nearest = known()
        .map(|known| (strsim::osa_distance(name, known), known))
        .min()?;
    (nearest.0 <= 2 && name.len() > 4).then(|| format!("did you mean \"{}\"?", nearest.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_for_the_mistakes_that_people_make() {
        let unknown = |name: &str| hint(&format!("unknown directive \"{name}\""), name);
        for (name, expected) in [
            (
                "push_stream_message_ttl\u{a0}",
                "the line has a no-break space (U+00A0) from a web page: type an ordinary one",
            ),
            (
                "push_stream_shared_memory_size256M",
                "a space is missing: \"push_stream_shared_memory_size 256M\"",
            ),
            (
                "push_stream_subscriberlong-polling",
                "a space is missing: \"push_stream_subscriber long-polling\"",
            ),
            (
                "push_stream_subscribers",
                "a space is missing: \"push_stream_subscriber s\"",
            ),
            (
                "push_stream_store_mesages",
                "did you mean \"push_stream_store_messages\"?",
            ),
            (
                "push_stream_content_type",
                "the module has no such directive any more: use \"default_type\"",
            ),
        ] {
            assert_eq!(unknown(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(unknown("nothing_like_it"), None);
        assert_eq!(
            hint("invalid value", "push_stream_store_messages maybe;"),
            None
        );
        let set = "instead of \"set $push_stream_channel_id ...\" write \
                   \"push_stream_channels_path ...\"";
        assert_eq!(
            hint("x", "set $push_stream_channel_id $arg_id;").as_deref(),
            Some(set)
        );
    }
}
