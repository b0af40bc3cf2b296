//! What is known about the protocol family of the server. Does no I/O.
//!
//! ```text
//! Unknown ─ response, OPTIONS, usual path ─> PushStream | Unframed
//! Unframed: NhpmOrNchan ─ OPTIONS ─> Nhpm | Nchan
//!           Nchan(Multipart) ─ 403 ─> Nchan(Chunked)
//! ```

use crate::client::dialect::Dialect;

/// After this many broken connections to NHPM or nchan in a row, each without a message, the
/// request is sent without a message id: nchan crashes on an id in a channel whose messages have
/// expired (nhpm-nchan.md, section 2.3). The cursor drops the repeated messages.
const MAX_BREAKS: u32 = 3;

/// The protocol family of the server, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerFamily {
    /// Nothing has shown the family.
    Unknown {
        /// OPTIONS was sent and did not show it.
        was_probed: bool,
        /// Broken connections in a row, without a message.
        breaks: u32,
    },
    /// nginx-push-stream-module, or the built-in locations of pushctl.
    PushStream,
    /// NHPM or nchan.
    Unframed {
        /// Which of them.
        kind: UnframedKind,
        /// Broken connections in a row, without a message.
        breaks: u32,
    },
}

/// NHPM, nchan, or one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnframedKind {
    /// NHPM.
    Nhpm,
    /// A poll response, which is the same in both. OPTIONS before the next request shows which one
    /// it is.
    NhpmOrNchan,
    /// nchan, whose streams have this format.
    Nchan(StreamFormat),
}

/// The format of the streams that are requested from nchan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFormat {
    /// `multipart/mixed`, with the id of each message.
    Multipart,
    /// One chunk per message: the location has no multipart streams.
    Chunked,
}

impl ServerFamily {
    /// The family that the user set, if any.
    pub(super) fn new(configured: Option<Dialect>) -> Self {
        let unknown = Self::Unknown {
            was_probed: false,
            breaks: 0,
        };
        configured.map_or(unknown, |dialect| unknown.become_known(dialect))
    }

    /// The family; that of nchan while it is NHPM or nchan.
    pub(super) fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Unknown { .. } => None,
            Self::PushStream => Some(Dialect::PushStream),
            Self::Unframed { kind, .. } => Some(match kind {
                UnframedKind::Nhpm => Dialect::Nhpm,
                UnframedKind::NhpmOrNchan | UnframedKind::Nchan(_) => Dialect::Nchan,
            }),
        }
    }

    /// True if it is NHPM or nchan.
    pub(super) fn is_unframed(self) -> bool {
        matches!(self, Self::Unframed { .. })
    }

    /// True if OPTIONS is to be sent before the next request; `is_needed` if this request depends
    /// on the family. It is sent once.
    pub(super) fn needs_probe(self, is_needed: bool) -> bool {
        match self {
            Self::Unknown { was_probed, .. } => is_needed && !was_probed,
            Self::PushStream => false,
            Self::Unframed { kind, .. } => kind == UnframedKind::NhpmOrNchan,
        }
    }

    /// True if the next request is sent without the id of the last message.
    pub(super) fn omits_position(self) -> bool {
        matches!(self, Self::Unframed { breaks, .. } if breaks >= MAX_BREAKS)
    }

    /// The format of a stream to request; `None` if the server has only one.
    pub(super) fn stream_format(self) -> Option<StreamFormat> {
        match self {
            Self::PushStream => None,
            Self::Unframed {
                kind: UnframedKind::Nchan(format),
                ..
            } => Some(format),
            Self::Unknown { .. } | Self::Unframed { .. } => Some(StreamFormat::Multipart),
        }
    }

    /// Records what a response to a subscription, or an event of it, shows. Only the first one
    /// counts.
    pub(super) fn record_response(&mut self, shown: Option<Dialect>, is_poll: bool) {
        let (Self::Unknown { was_probed, breaks }, Some(shown)) = (*self, shown) else {
            return;
        };
        *self = if shown == Dialect::Nchan && is_poll && !was_probed {
            Self::Unframed {
                kind: UnframedKind::NhpmOrNchan,
                breaks,
            }
        } else {
            self.become_known(shown)
        };
    }

    /// Records what the response to OPTIONS shows; `None` if it shows nothing, or there is none.
    pub(super) fn record_probe(&mut self, shown: Option<Dialect>) {
        *self = match (*self, shown) {
            (Self::Unknown { .. }, Some(shown)) => self.become_known(shown),
            (Self::Unknown { breaks, .. }, None) => Self::Unknown {
                was_probed: true,
                breaks,
            },
            (
                Self::Unframed {
                    kind: UnframedKind::NhpmOrNchan,
                    ..
                },
                shown,
            ) => {
                // The server is one of the two.
                let nhpm = shown.filter(|shown| *shown == Dialect::Nhpm);
                self.become_known(nhpm.unwrap_or(Dialect::Nchan))
            }
            (known, _) => known,
        };
    }

    /// Records that a server of this family was found at its usual path: the responses of the
    /// missing location do not identify it.
    pub(super) fn record_usual_path(&mut self, found: Dialect) {
        *self = self.become_known(found);
    }

    /// Records that a stream was rejected (403). Returns true if the other format of nchan is to be
    /// tried: the location may support chunked streams only.
    pub(super) fn record_rejected_stream(&mut self) -> bool {
        let Self::Unframed {
            kind: UnframedKind::Nchan(format @ StreamFormat::Multipart),
            ..
        } = self
        else {
            return false;
        };
        *format = StreamFormat::Chunked;
        true
    }

    /// Records a connection that broke, or a stream that ended, without a message.
    pub(super) fn record_break(&mut self) {
        match self {
            Self::Unknown { breaks, .. } | Self::Unframed { breaks, .. } => *breaks += 1,
            Self::PushStream => {}
        }
    }

    /// Records a message.
    pub(super) fn record_message(&mut self) {
        match self {
            Self::Unknown { breaks, .. } | Self::Unframed { breaks, .. } => *breaks = 0,
            Self::PushStream => {}
        }
    }

    /// This state once the family is known. What was learnt about streams of nchan is kept.
    fn become_known(self, dialect: Dialect) -> Self {
        let breaks = match self {
            Self::Unknown { breaks, .. } | Self::Unframed { breaks, .. } => breaks,
            Self::PushStream => 0,
        };
        let kind = match (dialect, self) {
            (Dialect::PushStream, _) => return Self::PushStream,
            (Dialect::Nhpm, _) => UnframedKind::Nhpm,
            (
                Dialect::Nchan,
                Self::Unframed {
                    kind: kind @ UnframedKind::Nchan(_),
                    ..
                },
            ) => kind,
            (Dialect::Nchan, _) => UnframedKind::Nchan(StreamFormat::Multipart),
        };
        Self::Unframed { kind, breaks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: ServerFamily = ServerFamily::Unknown {
        was_probed: false,
        breaks: 0,
    };

    fn unframed(kind: UnframedKind) -> ServerFamily {
        ServerFamily::Unframed { kind, breaks: 0 }
    }

    fn multipart() -> ServerFamily {
        unframed(UnframedKind::Nchan(StreamFormat::Multipart))
    }

    #[test]
    fn a_configured_family_is_final() {
        for dialect in [Dialect::PushStream, Dialect::Nhpm, Dialect::Nchan] {
            let mut family = ServerFamily::new(Some(dialect));
            let configured = family;
            assert_eq!(family.dialect(), Some(dialect));
            assert!(!family.needs_probe(true));
            family.record_response(Some(Dialect::PushStream), true);
            family.record_probe(Some(Dialect::Nhpm));
            assert_eq!(family, configured, "{dialect:?}");
        }
        assert_eq!(ServerFamily::new(None), UNKNOWN);
    }

    #[test]
    fn a_poll_response_of_nchan_is_followed_by_one_probe() {
        for (shown, known) in [
            (Some(Dialect::Nhpm), unframed(UnframedKind::Nhpm)),
            (Some(Dialect::Nchan), multipart()),
            (Some(Dialect::PushStream), multipart()),
            (None, multipart()),
        ] {
            let mut family = UNKNOWN;
            family.record_response(None, true);
            assert!(!family.needs_probe(false) && family.needs_probe(true));
            family.record_response(Some(Dialect::Nchan), true);
            assert_eq!(family, unframed(UnframedKind::NhpmOrNchan));
            assert_eq!(family.dialect(), Some(Dialect::Nchan));
            assert!(family.is_unframed() && family.needs_probe(false));
            assert!(!family.record_rejected_stream());
            family.record_probe(shown);
            assert_eq!(family, known, "{shown:?}");
            assert!(!family.needs_probe(true));
        }
    }

    #[test]
    fn streams_and_probes_identify_the_server_at_once() {
        let mut family = UNKNOWN;
        family.record_response(Some(Dialect::Nchan), false);
        assert_eq!(family, multipart());
        family.record_response(Some(Dialect::PushStream), false);
        assert_eq!(family, multipart(), "only the first response counts");

        let mut family = UNKNOWN;
        family.record_probe(None);
        assert!(!family.needs_probe(true), "it is sent once");
        family.record_response(Some(Dialect::Nchan), true);
        assert_eq!(family, multipart());

        let mut family = UNKNOWN;
        family.record_probe(Some(Dialect::PushStream));
        assert_eq!(family, ServerFamily::PushStream);
        assert_eq!(family.stream_format(), None);
    }

    #[test]
    fn a_rejected_multipart_stream_is_tried_as_chunks_once() {
        let mut family = UNKNOWN;
        assert_eq!(family.stream_format(), Some(StreamFormat::Multipart));
        assert!(!family.record_rejected_stream());
        family.record_response(Some(Dialect::Nchan), false);
        assert!(family.record_rejected_stream());
        assert_eq!(family.stream_format(), Some(StreamFormat::Chunked));
        assert!(!family.record_rejected_stream());
        family.record_usual_path(Dialect::Nchan);
        assert_eq!(family.stream_format(), Some(StreamFormat::Chunked));
        assert!(!ServerFamily::PushStream.record_rejected_stream());
    }

    #[test]
    fn a_usual_path_overrides_what_the_missing_location_showed() {
        for found in [Dialect::Nhpm, Dialect::Nchan] {
            for mut family in [UNKNOWN, ServerFamily::PushStream, multipart()] {
                family.record_usual_path(found);
                assert_eq!(family.dialect(), Some(found));
                assert!(!family.needs_probe(true));
            }
        }
    }

    #[test]
    fn the_position_is_omitted_after_three_breaks_until_a_message_arrives() {
        let mut family = UNKNOWN;
        family.record_break();
        family.record_break();
        family.record_response(Some(Dialect::Nchan), true);
        family.record_probe(None);
        assert!(!family.omits_position());
        family.record_break();
        assert!(family.omits_position());
        family.record_message();
        assert!(!family.omits_position());
        let mut framed = ServerFamily::PushStream;
        (0..9).for_each(|_| framed.record_break());
        assert!(!framed.omits_position());
    }
}
