//! The events of a subscription.

use std::time::Duration;

use super::notice::Notice;
use crate::client::cursor::marks::Step;
use crate::client::error::Error;
use crate::client::message::Gap;
use crate::client::message::Message;
use crate::client::mode::Mode;

/// What happened, with the step for the marks of the caller
/// ([`Marks`](crate::client::cursor::marks::Marks)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new message.
    Message(Message, Step),
    /// Messages of a channel (of one of the channels, if none is named) are lost. The message has
    /// the text of the server.
    Missed(Message, Gap, Option<Step>),
    /// A channel was deleted, with the text of the deletion; the others continue.
    Deleted(String, Vec<u8>, Step),
    /// Only the marks move.
    Moved(Step),
    /// The connection failed; the next attempt is after this delay.
    Retrying(Error, Duration),
    /// The mode failed, and this one is tried next.
    ModeFallback(Error, Mode),
    /// A condition that the user should know about.
    Notice(Notice),
}
