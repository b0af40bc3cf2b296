//! The variables that nchan adds to those of a request (nhpm-nchan.md, section 2.9).

use std::borrow::Cow;

use bytes::Bytes;

use crate::server::config::Variables;
use crate::server::config::expression::Memo;

/// Their values; empty where they do not apply.
#[derive(Clone, Debug, Default)]
pub struct NchanValues {
    /// `$nchan_channel_id` (the first one) and `$nchan_channel_id1` to `$nchan_channel_id4`.
    pub channel_ids: Vec<Bytes>,
    /// `$nchan_subscriber_type`
    pub subscriber_type: &'static str,
    /// `$nchan_publisher_type`
    pub publisher_type: &'static str,
    /// `$nchan_message_id`
    pub message_id: String,
    /// `$nchan_prev_message_id`
    pub prev_message_id: String,
    /// `$nchan_channel_event`
    pub event: &'static str,
}

/// The variables of a request with those of nchan.
#[derive(Clone, Copy)]
pub struct NchanVariables<'a> {
    /// The variables of the request.
    pub request: &'a dyn Variables,
    /// The values of nchan's variables.
    pub values: &'a NchanValues,
}

impl Variables for NchanVariables<'_> {
    fn inner(&self) -> Option<&dyn Variables> {
        Some(self.request)
    }

    // Values such as `$nchan_channel_event` change during a request, so that maps of them must be
    // evaluated each time.
    fn memo(&self) -> Option<&Memo> {
        None
    }

    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let Some(own) = name.strip_prefix("nchan_") else {
            return self.request.builtin(name);
        };
        let NchanValues {
            channel_ids,
            subscriber_type,
            publisher_type,
            message_id,
            prev_message_id,
            event,
        } = self.values;
        let id = |number: usize| {
            let first = channel_ids.first()?;
            Some(Cow::Borrowed(
                channel_ids.get(number).map_or(&first[..0], |id| &id[..]),
            ))
        };
        let text =
            |text: &'static str| (!text.is_empty()).then_some(Cow::Borrowed(text.as_bytes()));
        match own {
            "channel_id" | "channel_id1" => id(0),
            "channel_id2" => id(1),
            "channel_id3" => id(2),
            "channel_id4" => id(3),
            "subscriber_type" => text(subscriber_type),
            "publisher_type" => text(publisher_type),
            "message_id" => Some(Cow::Borrowed(message_id.as_bytes())).filter(|id| !id.is_empty()),
            "prev_message_id" => {
                Some(Cow::Borrowed(prev_message_id.as_bytes())).filter(|id| !id.is_empty())
            }
            "channel_event" => text(event),
            "version" => text("1.3.7"),
            _ => None,
        }
    }
}
