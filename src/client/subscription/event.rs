//! The events of a subscription, as its caller sees them.

use std::time::Duration;

use super::Notice;
use crate::client::marks::Step;
use crate::client::message::Gap;
use crate::client::{Error, Message, Mode};

/// What happened, and how it moves the [`Marks`](crate::client::marks::Marks) that the caller
/// keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new message.
    Message(Message, Step),
    /// Messages of a channel (of one of them, if none is named) can no longer be had. The message
    /// has the server's words.
    Missed(Message, Gap, Option<Step>),
    /// A channel was deleted, with this farewell; the others continue.
    Deleted(String, Vec<u8>, Step),
    /// Only the marks move.
    Moved(Step),
    /// The connection failed and is tried again after the delay.
    Retrying(Error, Duration),
    /// The mode does not work, and this one is tried.
    Falling(Error, Mode),
    /// Something that the user may want to know.
    Noticed(Notice),
}
