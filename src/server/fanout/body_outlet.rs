//! The outlet of a follower's response: frames the payload, holds what the socket did not accept,
//! and records how the subscription ended.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::end_reason::EndReason;
use super::frame::PayloadFrame;
use super::outlet::{Outlet, socket_incident};
use super::pending_charges::PendingCharges;
use super::subscription::{Subscription, SubscriptionOutcome};
use crate::server::broker::{Broker, Charge, Incident, OutOfMemory, Reservation};
use crate::server::exchange::response::Framing;

/// The outlet of a follower. Holds all its flags, so that they share the padding of one struct.
pub(super) struct BodyOutlet {
    outlet: Rc<Outlet>,
    pending: Option<Box<PendingWrites>>,
    framing: Framing,
    /// The connection serves further requests after the subscription.
    keeps_connection: bool,
    /// The last bytes are written or pending; nothing may follow them.
    has_ended: bool,
    outcome: Option<SubscriptionOutcome>,
    /// Reason for dropping the follower that is not yet counted.
    incident: Option<Incident>,
}

/// Frames that wait for a full socket: the rest of a partly written one, at most one reply, and the
/// last bytes of the subscription.
#[derive(Default)]
struct PendingWrites {
    frames: VecDeque<Rc<PayloadFrame>>,
    /// Bytes of the first frame that are already written.
    offset: usize,
    /// The last frame is a reply.
    ends_with_reply: bool,
    /// Charges to the memory bound: for the first frame, which other followers may share, and for
    /// the rest.
    charges: Option<(Rc<Charge>, Reservation)>,
}

/// What a follower's socket is ready for.
pub(super) enum SocketReadiness {
    /// There is input, or the end.
    Readable,
    /// It accepts the pending bytes.
    Writable,
}

/// Result of writing pending bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct FlushProgress {
    /// The socket has accepted some.
    pub(super) has_written: bool,
    /// The socket has accepted the last of them.
    pub(super) has_drained: bool,
}

impl BodyOutlet {
    pub(super) fn new(outlet: Rc<Outlet>, subscription: &Subscription) -> Self {
        Self {
            outlet,
            pending: None,
            framing: subscription.framing,
            keeps_connection: subscription.keeps_connection,
            has_ended: false,
            outcome: None,
            incident: None,
        }
    }

    /// The framing of the response.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Outlet {
        &self.outlet
    }

    /// True if its socket is full.
    pub(super) fn is_blocked(&self) -> bool {
        self.pending.is_some()
    }

    /// True if nothing may follow its last bytes.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Records that its last bytes are written or pending.
    pub(super) fn mark_ended(&mut self) {
        self.has_ended = true;
    }

    /// How the subscription ended, once everything is written.
    pub(super) fn outcome(&self) -> Option<SubscriptionOutcome> {
        self.outcome
    }

    /// The reason for dropping the follower, if that is to be counted and was not.
    pub(super) fn take_incident(&mut self) -> Option<Incident> {
        self.incident.take()
    }

    /// Records why the subscription is ended, for the access log.
    pub(super) fn record_ending(&self, ending: EndReason) {
        self.outlet.record_ending(ending);
    }

    /// What its socket is ready for. Otherwise the task of `cx` is woken when it is.
    pub(super) fn poll_socket(&self, cx: &mut Context<'_>) -> Poll<SocketReadiness> {
        if self.is_blocked() && self.outlet.poll_write_ready(cx).is_ready() {
            return Poll::Ready(SocketReadiness::Writable);
        }
        if self.outlet.poll_read_ready(cx).is_ready() {
            return Poll::Ready(SocketReadiness::Readable);
        }
        Poll::Pending
    }

    /// Writes as much of `frame` as the socket accepts. The rest becomes pending. Returns true if
    /// that has filled the socket.
    pub(super) fn write(&mut self, frame: &Rc<PayloadFrame>) -> bool {
        let frame = frame.for_framing(self.framing);
        if let Some(pending) = &mut self.pending {
            pending.frames.push_back(Rc::clone(frame));
            pending.ends_with_reply = false;
            return false;
        }
        if frame.is_empty() {
            return false;
        }
        let bytes = frame.framed(self.framing);
        let written = match self.outlet.try_write(bytes) {
            Ok(written) if written == bytes.len() => return false,
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                self.abort_write(&error);
                return false;
            }
        };
        self.pending = Some(Box::new(PendingWrites {
            frames: VecDeque::from([Rc::clone(frame)]),
            offset: written,
            ..PendingWrites::default()
        }));
        true
    }

    /// Adds the trailer and the end of the response to its last payload.
    pub(super) fn end(&self, last: PayloadFrame, trailer: &[u8]) -> PayloadFrame {
        if self.framing == Framing::Raw && trailer.is_empty() {
            return last;
        }
        let mut bytes = last.framed(self.framing).to_vec();
        self.framing.piece(trailer, &mut bytes);
        self.framing.last(&mut bytes);
        PayloadFrame::unframed(bytes)
    }

    /// Adds a reply to the pending frames, if there are any. Only the newest reply is pending.
    pub(super) fn queue_reply(&mut self, reply: &Rc<PayloadFrame>) -> bool {
        let Some(pending) = &mut self.pending else {
            return false;
        };
        // The first frame may be partly written, so it has to stay.
        if pending.ends_with_reply && pending.frames.len() > 1 {
            pending.frames.pop_back();
        }
        pending.frames.push_back(Rc::clone(reply));
        pending.ends_with_reply = true;
        true
    }

    /// Continues writing after the socket has become writable.
    pub(super) fn flush(&mut self) -> FlushProgress {
        let mut progress = FlushProgress::default();
        let Some(pending) = &mut self.pending else {
            return progress;
        };
        while let Some(frame) = pending.frames.front() {
            let bytes = frame.framed(self.framing);
            match self.outlet.try_write(&bytes[pending.offset..]) {
                Ok(written) => {
                    progress.has_written = true;
                    pending.offset += written;
                    if pending.offset < bytes.len() {
                        return progress;
                    }
                    pending.frames.pop_front();
                    pending.charges = None;
                    pending.offset = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return progress,
                Err(error) => {
                    self.abort_write(&error);
                    return progress;
                }
            }
        }
        self.pending = None;
        progress.has_drained = true;
        progress
    }

    /// Charges the pending bytes to the memory bound.
    ///
    /// # Errors
    /// When the bound is reached.
    pub(super) fn charge_pending(
        &mut self,
        charges: &mut PendingCharges,
        broker: &Broker,
    ) -> Result<(), OutOfMemory> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let Some(first) = pending.frames.front() else {
            return Ok(());
        };
        let rest = pending
            .frames
            .iter()
            .skip(1)
            .map(|frame| frame.capacity())
            .sum();
        if let Some((_, reservation)) = &mut pending.charges {
            return reservation.reserve(rest);
        }
        let charge = charges.charge(first, broker)?;
        let mut reservation = broker.memory().connection_reservation();
        reservation.reserve(rest)?;
        pending.charges = Some((charge, reservation));
        Ok(())
    }

    /// Drops the follower for a reason that is to be counted.
    pub(super) fn abort_for(&mut self, reason: Incident) {
        self.incident = Some(reason);
        self.abort();
    }

    fn abort_write(&mut self, error: &io::Error) {
        self.incident = socket_incident(error);
        self.abort();
    }

    /// Drops the follower without sending anything more.
    pub(super) fn abort(&mut self) {
        self.pending = None;
        self.has_ended = true;
        self.outcome = Some(SubscriptionOutcome::Dropped);
    }

    /// Sets the outcome once the subscription has ended and everything is written.
    pub(super) fn settle(&mut self) {
        if self.has_ended && self.pending.is_none() && self.outcome.is_none() {
            self.outcome = Some(if self.keeps_connection {
                SubscriptionOutcome::Finished
            } else {
                SubscriptionOutcome::Closed
            });
        }
    }
}
