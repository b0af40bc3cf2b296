//! Publisher locations (push-stream.md, section 4).
//!
//! | method | normal | admin |
//! |---|---|---|
//! | GET | 200 channel info, 404 | the same |
//! | POST, PUT | 200 published; 400, 403, 413, 500 | the same |
//! | DELETE | 405 | 200 deleted, 404 |
//! | OPTIONS | 200 | 200 |
//! | any other | 405 | 405 |
//!
//! A POST or PUT of a batch has separate responses: see [`batch`].
//!
//! A request with a body is handled in two steps, because channels are created before the body is
//! read: [`PublishCall::respond`] makes a [`Plan`], which is executed when the body is complete.

pub mod batch;
mod plan;
mod publish_replay;

use crate::server::nchan::publish as nchan;
use crate::server::nhpm::publish as nhpm;
use std::borrow::Cow;

use bytes::Bytes;
use smallvec::SmallVec;

use self::batch::{Batch, BatchLimits};
use super::channels_path;
use super::channels_path::ChannelRef;
use super::cors::cors_lines;
use super::explain::Rejection;
use super::info::InfoNotation;
use crate::protocol::{BATCH_TYPE, EVENT_ID, EVENT_TYPE};
use crate::server::broker::{Broker, ChannelInfo, CreateError};
use crate::server::config::{Endpoint, LocationSettings, Variables};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{NO_CACHE, Response, Status};

pub(in crate::server) use self::plan::Action;
pub use self::plan::Plan;
use self::plan::ReplyTraits;
pub use self::publish_replay::PublishReplay;

/// Outcome of a publisher's request.
pub enum PublishReply {
    /// A response; the body of the request is discarded.
    Respond(Response),
    /// Read the body, then execute the plan.
    Read(Box<Plan>),
    /// Read the body line by line.
    ReadBatch(Box<Batch>),
}

/// A request at a publisher location.
pub struct PublishCall<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Its variables.
    pub variables: &'a dyn Variables,
    /// The settings of the location, after its conditions.
    pub settings: &'a LocationSettings,
    /// `admin` mode.
    pub admin: bool,
    /// The broker.
    pub broker: &'a Broker,
    /// Maximum number of channels in one request.
    pub max_channels: usize,
    /// The result of [`is_batch`].
    pub is_batch: bool,
    /// Maximum length of a message, in bytes.
    pub max_body: u64,
}

/// Whether the body of a request is a batch of messages.
#[must_use]
pub fn is_batch(request: &Request<'_>, settings: &LocationSettings, endpoint: Endpoint) -> bool {
    settings.batch
        && matches!(endpoint, Endpoint::Publisher { .. })
        && matches!(request.method, "POST" | "PUT")
        && request.header("content-type").is_some_and(|value| {
            let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
            media_type
                .trim_ascii()
                .eq_ignore_ascii_case(BATCH_TYPE.as_bytes())
        })
}

impl PublishCall<'_> {
    /// Responds to the request, or plans what to do with its body.
    #[must_use]
    pub fn respond(&self) -> PublishReply {
        if let Some(settings) = &self.settings.nhpm {
            return nhpm::respond(self, settings);
        }
        if let Some(settings) = &self.settings.nchan {
            return nchan::respond(self, settings);
        }
        let headers = self.headers();
        match self.request.method {
            "OPTIONS" => return PublishReply::Respond(Response::header_only(Status::OK, headers)),
            "GET" | "POST" | "PUT" => {}
            "DELETE" if self.admin => {}
            _ => {
                let allow: &[u8] = if self.admin {
                    b"Allow: GET, POST, PUT, DELETE\r\n"
                } else {
                    b"Allow: GET, POST, PUT\r\n"
                };
                return PublishReply::Respond(
                    Response::header_only(Status::NOT_ALLOWED, headers).with_headers(allow),
                );
            }
        }
        match self.plan(headers.clone()) {
            Ok(answer) => answer,
            Err(rejection) => {
                PublishReply::Respond(rejection.response(&headers[NO_CACHE.len()..], false))
            }
        }
    }

    fn plan(&self, headers: Cow<'static, [u8]>) -> Result<PublishReply, Rejection> {
        let path = self
            .settings
            .channels_path
            .as_ref()
            .and_then(|path| path.evaluate_name(self.variables))
            .unwrap_or_default();
        let ids = channels_path::parse(&path);
        if ids.len() > self.max_channels {
            return Err(Rejection::TooManyIds);
        }
        if self.is_batch {
            return Ok(PublishReply::ReadBatch(Box::new(self.batch(ids, headers))));
        }
        if ids.is_empty() {
            return Err(Rejection::NoChannelId);
        }
        let publishes = matches!(self.request.method, "POST" | "PUT");
        let mut channels = SmallVec::new();
        for ChannelRef { id, .. } in &ids {
            check_publish_channel(self.broker, id)?;
            if publishes {
                channels.push(self.broker.find_or_create(id).map_err(rejection_for)?);
            }
            if self.request.method != "GET" && self.broker.is_events_channel(id) {
                return Err(Rejection::EventsChannel);
            }
        }
        let notation = InfoNotation::accepted(self.request.header("accept"));
        if self.request.method == "GET" {
            return Ok(PublishReply::Respond(self.info(&ids, notation, &headers)));
        }
        let header = |name| self.request.header(name).map(Bytes::copy_from_slice);
        let action = if publishes {
            Action::Publish {
                channels,
                event_id: header(EVENT_ID),
                event_type: header(EVENT_TYPE),
                store: self.settings.store_messages,
            }
        } else {
            Action::Delete { ids }
        };
        let reply = ReplyTraits {
            notation,
            shows_info: self.settings.channel_info_on_publish,
            headers,
        };
        Ok(PublishReply::Read(Box::new(Plan::new(action, reply))))
    }

    fn batch(&self, ids: SmallVec<[ChannelRef; 1]>, headers: Cow<'static, [u8]>) -> Batch {
        let limits = BatchLimits {
            max_channels: self.max_channels,
            max_line_bytes: usize::try_from(self.max_body).unwrap_or(usize::MAX),
        };
        Batch::new(ids, self.settings.store_messages, headers, limits)
    }

    fn info(&self, ids: &[ChannelRef], notation: InfoNotation, headers: &[u8]) -> Response {
        let found: Vec<ChannelInfo> = ids
            .iter()
            .filter_map(|id| self.broker.find(&id.id))
            .map(|channel| channel.info())
            .collect();
        notation.response(&found, self.broker, false, headers.to_vec())
    }

    /// The header lines of every response: cache headers, then CORS.
    fn headers(&self) -> Cow<'static, [u8]> {
        let methods = if self.admin {
            "GET, POST, PUT, DELETE"
        } else {
            "GET, POST, PUT"
        };
        let cors = cors_lines(self.settings, self.variables, methods);
        if cors.is_empty() {
            Cow::Borrowed(NO_CACHE)
        } else {
            Cow::Owned([NO_CACHE, &cors].concat())
        }
    }
}

/// Checks that clients may publish to, or delete, a channel with this id.
pub(in crate::server) fn check_publish_channel(
    broker: &Broker,
    id: &[u8],
) -> Result<(), Rejection> {
    if id == b"ALL" || memchr::memchr(b'*', id).is_some() {
        return Err(Rejection::ForbiddenId);
    }
    if broker
        .settings()
        .max_channel_id_length
        .is_some_and(|max| id.len() as u64 > max)
    {
        return Err(Rejection::IdTooLong);
    }
    Ok(())
}

fn rejection_for(error: CreateError) -> Rejection {
    match error {
        CreateError::TooManyChannels => Rejection::TooManyChannels,
        CreateError::OutOfMemory(_) => Rejection::OutOfMemory,
    }
}
