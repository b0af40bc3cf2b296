//! Received messages: each becomes an event, moves the cursor, or is dropped. Does no I/O.

use std::collections::VecDeque;
use std::time::Instant;

use super::event::Event;
use super::family::ServerFamily;
use super::notice::Notice;
use super::settings::FollowedChannel;
use crate::client::cursor::Cursor;
use crate::client::cursor::marks::Step;
use crate::client::message::{Gap, Message, MessageKind};
use crate::client::transport::lp::PollResponse;
use crate::protocol::DELETED_ID;

/// The channels of a subscription, what was received from them, and the events for the caller.
pub(super) struct Delivery {
    cursor: Cursor,
    ready: VecDeque<Event>,
    /// The channels that were not deleted, in the order of the user.
    channels: Vec<FollowedChannel>,
    /// The server's clock at its first response, and the local time.
    clock: Option<(u64, Instant)>,
    /// The uncertain start was reported to the user.
    has_reported_uncertain_start: bool,
}

/// What messages show about their connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The connection was useful.
    pub(super) is_success: bool,
    /// There was a published message, possibly a repeated one.
    pub(super) has_data: bool,
    /// There was a new message.
    pub(super) has_new: bool,
}

impl Receipt {
    fn add(&mut self, other: Self) {
        self.is_success |= other.is_success;
        self.has_data |= other.has_data;
        self.has_new |= other.has_new;
    }
}

impl Delivery {
    pub(super) fn new(channels: Vec<FollowedChannel>, cursor: Cursor) -> Self {
        Self {
            cursor,
            ready: VecDeque::new(),
            channels,
            clock: None,
            has_reported_uncertain_start: false,
        }
    }

    /// The position of the subscription.
    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The position of the subscription.
    pub(super) fn cursor_mut(&mut self) -> &mut Cursor {
        &mut self.cursor
    }

    /// Sets the cursor to NHPM and nchan if the server is known to speak one of them.
    pub(super) fn apply_family(&mut self, family: ServerFamily) {
        if family.is_unframed() {
            self.cursor.set_unframed();
        }
    }

    /// The channels that were not deleted.
    pub(super) fn channels(&self) -> &[FollowedChannel] {
        &self.channels
    }

    /// The ids of the channels in the order of the request.
    pub(super) fn ids(&self) -> Vec<String> {
        self.channels
            .iter()
            .map(|channel| channel.id.clone())
            .collect()
    }

    /// Takes the next event.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// True if there are events.
    pub(super) fn has_events(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Appends an event.
    pub(super) fn report(&mut self, event: Event) {
        self.ready.push_back(event);
    }

    /// Reports the start as soon as it is known.
    pub(super) fn report_start(&mut self) {
        self.ready.extend(self.cursor.start().map(Event::Moved));
    }

    /// Reports the start although backlogs are outstanding.
    pub(super) fn report_start_without_backlogs(&mut self) {
        self.ready
            .extend(self.cursor.start_without_backlogs().map(Event::Moved));
    }

    /// Reports, once, that the server may ignore the start: `url` has no counters of the channel.
    pub(super) fn report_uncertain_start(&mut self, url: String) {
        if !std::mem::replace(&mut self.has_reported_uncertain_start, true) {
            self.report(Event::Notice(Notice::UncertainStart { url }));
        }
    }

    /// True if the server's clock is known.
    pub(super) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Records the server's clock at a response. Only the first one counts.
    pub(super) fn record_clock(&mut self, date: Option<u64>) {
        if let (Some(date), None) = (date, self.clock) {
            self.clock = Some((date, Instant::now()));
            self.cursor.record_server_clock(date);
        }
    }

    /// Accepts messages of a connection; `has_waited` if it took as long as a time-out of the
    /// server.
    pub(super) fn accept(&mut self, messages: Vec<Message>, has_waited: bool) -> Receipt {
        let mut receipt = Receipt::default();
        for message in messages {
            receipt.add(self.dispatch(message, has_waited));
        }
        self.report_start();
        receipt
    }

    /// Accepts the messages and the position of a poll response; `is_common` if the request had the
    /// position of all channels.
    pub(super) fn accept_poll(
        &mut self,
        response: PollResponse,
        is_common: bool,
        has_waited: bool,
    ) -> Receipt {
        let ids = self.ids();
        // If channels have different positions, the gap header may count messages that were
        // received: then their ids are evaluated. A restart affects all channels. Notices in the
        // body have the same information as the header, and more.
        let has_notices = response
            .messages
            .iter()
            .any(|message| matches!(message.kind(), MessageKind::Gap(_)));
        let is_ours = |gap: &Gap| !has_notices && (is_common || ids.len() == 1 || gap.is_unknown());
        if let Some(gap) = response
            .gap
            .filter(is_ours)
            .filter(|gap| self.cursor.skip_somewhere(&ids, *gap))
        {
            let only = if let [only] = ids.as_slice() {
                Some(only.clone())
            } else {
                None
            };
            self.report(Event::Missed(missed(only), gap, None));
        }
        let receipt = self.accept_poll_messages(response.messages, has_waited);
        if response.is_cut {
            self.cursor.record_cut_poll();
        } else {
            let step = self
                .cursor
                .record_poll(response.last_modified.as_deref(), response.etag.as_deref());
            self.ready.extend(step.map(Event::Moved));
        }
        receipt
    }

    /// Accepts the messages of a complete response.
    fn accept_poll_messages(&mut self, mut messages: Vec<Message>, has_waited: bool) -> Receipt {
        match messages.last() {
            Some(last) if self.cursor.is_unframed() => {
                if !self.cursor.begin_batch(last) {
                    // Only the last message has the position.
                    messages.drain(..messages.len() - 1);
                }
                let receipt = self.accept(messages, has_waited);
                self.cursor.end_batch();
                receipt
            }
            _ => self.accept(messages, has_waited),
        }
    }

    /// Accepts a response that all channels are deleted.
    pub(super) fn accept_deletion(&mut self) -> Receipt {
        let mut receipt = Receipt::default();
        for channel in self.ids() {
            let message = Message {
                id: Some(DELETED_ID),
                channel: Some(channel),
                ..Message::default()
            };
            receipt.add(self.dispatch(message, false));
        }
        receipt
    }

    /// Dispatches a received message by its kind; pings, time-outs and repetitions produce no
    /// event.
    fn dispatch(&mut self, message: Message, has_waited: bool) -> Receipt {
        let only = if self.channels.len() == 1 {
            self.channels.first()
        } else {
            None
        };
        let channel = message
            .channel
            .clone()
            .or_else(|| only.map(|channel| channel.id.clone()));
        match message.kind() {
            MessageKind::Ping => Receipt::default(),
            MessageKind::Timeout => Receipt {
                is_success: has_waited,
                ..Receipt::default()
            },
            MessageKind::Gap(gap) => {
                let step = channel
                    .as_deref()
                    .map(|channel| self.cursor.skip(channel, message.position(), gap));
                if step != Some(None) {
                    self.report(Event::Missed(
                        Message { channel, ..message },
                        gap,
                        step.flatten(),
                    ));
                }
                Receipt::default()
            }
            MessageKind::Deleted => self.delete_channel(channel, message.text),
            MessageKind::Data => self.deliver(message, channel),
        }
    }

    fn delete_channel(&mut self, channel: Option<String>, text: Vec<u8>) -> Receipt {
        let Some(channel) = channel else {
            return Receipt::default();
        };
        self.cursor.forget(&channel);
        let before = self.channels.len();
        self.channels.retain(|other| other.id != channel);
        if self.channels.len() < before {
            let step = Step::Forget(channel.clone());
            self.report(Event::Deleted(channel, text, step));
        }
        Receipt {
            is_success: true,
            ..Receipt::default()
        }
    }

    fn deliver(&mut self, message: Message, channel: Option<String>) -> Receipt {
        let now = self.clock.map(|(date, at)| date + at.elapsed().as_secs());
        let Some(accepted) = self
            .cursor
            .record_message(&message, channel.as_deref(), now)
        else {
            return Receipt {
                // With NHPM and nchan, dropped messages advance the position as well.
                is_success: self.cursor.is_unframed(),
                has_data: true,
                has_new: false,
            };
        };
        if let Some(missing) = accepted.missing {
            self.report(Event::Missed(
                missed(channel),
                missing.gap,
                Some(missing.step),
            ));
        }
        self.report(Event::Message(message, accepted.step));
        Receipt {
            is_success: true,
            has_data: true,
            has_new: true,
        }
    }
}

/// Returns the message of a gap for which the server sent no text.
fn missed(channel: Option<String>) -> Message {
    Message {
        channel,
        ..Message::default()
    }
}
