//! Requests that are like the one before them on their connection: which are noted, and how the
//! next one is recognised and answered without being understood again. `repeated` knows those of
//! publishers, `polled` long polls.

use bytes::Buf;

use super::connection::Requests;
use super::head::BodyLength;
use super::polled;
use super::remembered::Remembered;
use super::repeated::{self, Publication};
use super::route::{Following, Next, Routed};
use super::shape::{Places, Shape};
use crate::server::request::Request;

/// What is known of the requests of a connection, while it serves them.
#[derive(Default)]
pub(super) struct Habit {
    /// The last request of a publisher. Polls are the connection's: it follows between them.
    pub(super) published: Remembered<Publication>,
    /// The request at hand, if it can be repeated.
    pub(super) coming: Option<Box<Shape>>,
    /// The answer to a repeated request was the last one of the connection.
    pub(super) is_over: bool,
    /// A repeated poll follows now.
    pub(super) follows: bool,
}

impl Requests<'_> {
    /// Where the next request may differ from this one at the front of the buffer, if it can be
    /// repeated and that is likely; `poll`, if it turned out to be one.
    pub(super) fn places(
        &self,
        request: &Request<'_>,
        length: BodyLength,
        routed: &Routed,
        poll: Option<Places>,
    ) -> Option<Places> {
        let plan = match &routed.next {
            Next::Read(plan, ..) => plan,
            Next::Follow(Following::LongPoll(Some(_)), _) | Next::Prepared(.., Some(_)) => {
                return poll;
            }
            _ => return None,
        };
        let is_likely = self.served_any && self.habit.published.is_worth_it();
        let is_usual = matches!(length, BodyLength::Bytes(_))
            && !routed.expects_continue
            && routed.connection.keep_alive;
        let argument = plan.argument_alone().filter(|_| is_likely && is_usual)?;
        repeated::places(&self.connection.buffer, request, argument)
    }

    /// Begins to remember the request at the front of the buffer, whose head takes so many bytes.
    /// Only with its whole body, as repetitions must come, too: so nothing is kept while it comes
    /// in.
    pub(super) fn note_shape(&mut self, places: Option<Places>, taken: usize, length: BodyLength) {
        let buffer = &self.connection.buffer;
        let has_come = match length {
            BodyLength::None => true,
            BodyLength::Bytes(length) => length <= (buffer.len() - taken) as u64,
            BodyLength::Chunked => false,
        };
        let places = places.filter(|_| has_come);
        self.habit.coming = places
            .and_then(|places| Shape::new(&buffer[..taken], places))
            .map(Box::new);
    }

    /// Answers the request at the front of `bytes`, if it is like the one before: how many bytes it
    /// has, then.
    pub(super) fn repeat(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.connection.goes_on() {
            return None;
        }
        self.publish_again(bytes)
            .or_else(|| self.answer_again(bytes))
    }

    /// As [`Requests::repeat`], of what is in the buffer.
    pub(super) fn repeat_buffered(&mut self) -> bool {
        let mut buffer = std::mem::take(&mut self.connection.buffer);
        let repeated = self.repeat(&buffer);
        buffer.advance(repeated.unwrap_or(0));
        self.connection.buffer = buffer;
        repeated.is_some()
    }

    /// Where a poll may differ from the one at the front of the buffer, if that can be recognised
    /// again.
    pub(super) fn poll_places(&self, request: &Request<'_>) -> Option<Places> {
        if request.keep_alive {
            polled::places(&self.connection.buffer, request)
        } else {
            None
        }
    }
}
