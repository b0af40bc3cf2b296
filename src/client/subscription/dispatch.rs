//! Dispatch of received messages: each becomes an event, moves the cursor, or is dropped.

use super::Subscription;
use super::event::Event;
use crate::client::cursor::marks::Step;
use crate::client::message::Message;
use crate::client::message::{Gap, Kind};
use crate::client::transport::lp;

impl Subscription {
    pub(super) fn accept(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.dispatch(message);
        }
        self.report_start();
    }

    pub(super) fn report_start(&mut self) {
        self.ready.extend(self.cursor.start().map(Event::Moved));
    }

    /// Dispatches a received message by its kind; pings, time-outs and repetitions produce no
    /// event.
    pub(super) fn dispatch(&mut self, message: Message) {
        let only = if self.settings.channels.len() == 1 {
            self.settings.channels.first()
        } else {
            None
        };
        let channel = message
            .channel
            .clone()
            .or_else(|| only.map(|channel| channel.id.clone()));
        match message.kind() {
            Kind::Ping => {}
            Kind::Timeout => self.has_delivered |= self.has_waited(),
            Kind::Gap(gap) => {
                let step = channel
                    .as_deref()
                    .map(|channel| self.cursor.skip(channel, message.position(), gap));
                if step != Some(None) {
                    self.ready.push_back(Event::Missed(
                        Message { channel, ..message },
                        gap,
                        step.flatten(),
                    ));
                }
            }
            Kind::Deleted => self.handle_deleted(channel, message.text),
            Kind::Data => self.handle_data(message, channel),
        }
    }

    fn handle_deleted(&mut self, channel: Option<String>, text: Vec<u8>) {
        let Some(channel) = channel else { return };
        self.cursor.forget(&channel);
        let before = self.settings.channels.len();
        self.settings.channels.retain(|other| other.id != channel);
        self.has_delivered = true;
        if self.settings.channels.len() < before {
            let step = Step::Forget(channel.clone());
            self.ready.push_back(Event::Deleted(channel, text, step));
        }
    }

    fn handle_data(&mut self, message: Message, channel: Option<String>) {
        let now = self.clock.map(|(date, at)| date + at.elapsed().as_secs());
        // Dropped messages advance the position as well.
        self.has_delivered |= self.is_unframed();
        self.breaks = 0;
        let Some(accepted) = self
            .cursor
            .record_message(&message, channel.as_deref(), now)
        else {
            return;
        };
        self.has_delivered = true;
        self.succeeded();
        if let Some(missing) = accepted.missing {
            self.ready.push_back(Event::Missed(
                missed(channel),
                missing.gap,
                Some(missing.step),
            ));
        }
        self.ready.push_back(Event::Message(message, accepted.step));
    }

    /// Accepts the messages and the position of a poll response.
    pub(super) fn accept_poll(&mut self, response: lp::PollResponse, is_common: bool) {
        let ids = self.ids();
        // If channels have different positions, the gap header may count messages that were
        // received: then their ids are evaluated. A restart affects all channels. Notices in the
        // body have the same information as the header, and more.
        let has_notices = response
            .messages
            .iter()
            .any(|message| matches!(message.kind(), Kind::Gap(_)));
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
            self.ready.push_back(Event::Missed(missed(only), gap, None));
        }
        self.accept_poll_messages(response.messages);
        if response.is_cut {
            self.cursor.record_cut_poll();
        } else {
            let step = self
                .cursor
                .record_poll(response.last_modified.as_deref(), response.etag.as_deref());
            self.ready.extend(step.map(Event::Moved));
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
