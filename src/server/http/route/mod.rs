//! From a request to its endpoint: server by name, location by path, settings by conditions, then
//! whether it may enter.

mod admission;
mod failed_search;
mod logging;
mod subscribing;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use axum::http::Method;
use bytes::Bytes;

use super::backend::{Ask, Unreachable};
use super::browser_guard::Guard;
use super::client_address;
use super::companion::LiveCompanion;
use super::decision::{Again, Decision, Question};
use super::files;
use super::head::BodyLength;
use super::log_entry::Entry;
use super::proxy_request;
use super::repeated;
use super::rewriting::{Answering, Destination, Start};
use super::site::Site;
use super::target;
use super::web;
use crate::server::compression::Compression;
use crate::server::config::regex_pattern;
use crate::server::config::web::{AddedHeaders, Gate};
use crate::server::config::{
    Endpoint, Location, LocationSettings, RewriteFrame, SubscriberMode, VirtualServer, WebSettings,
};
use crate::server::dialect::nchan::negotiation;
use crate::server::dialect::nchan::status;
use crate::server::failpoints;
use crate::server::fanout::{ConnectionKey, Outlet, Shard};
use crate::server::generation::LocationAddress;
use crate::server::limits_log::Limit;
use crate::server::publisher::{self, Plan, batch::Batch};
use crate::server::request::{Endpoints, Request, RequestVariables};
use crate::server::response::{Response, ResponseContext, Status};
use crate::server::statistics::{self, Listing};
use crate::server::subscriber::{self, PollAgain, Socket, websocket::WebSocketPublisher};

/// What the connection does next.
pub(super) enum Next {
    /// Send this response.
    Respond(Response),
    /// Read the body, up to this many bytes, and finish the plan with it; maybe a back-end is asked
    /// about it before.
    Read(Box<Plan>, u64, Option<Box<Result<Ask, Unreachable>>>),
    /// Find out something about the request, and route it again.
    Decide(Box<Decision>),
    /// Let a back-end answer it.
    PassOn(Box<Result<Ask, Unreachable>>),
    /// Read the body line by line; each is a message.
    ReadBatch(Box<Batch>),
    /// Send these bytes, a response; the connection goes on or not, with polls like this one.
    Prepared(Rc<Vec<u8>>, bool, Option<Box<PollAgain>>),
    /// Send these bytes and close.
    Last(Vec<u8>),
    /// It follows now.
    Follow(Following, Option<Box<LiveCompanion>>),
    /// Read the body, which nobody wants, and route the request again: a follower has no place for
    /// it.
    Discard(Box<Again>),
    /// Let the pages answer this method and target.
    Page(String, String),
    /// Make a list of channels, and send it.
    List(Box<Listing>),
    /// Look for a file.
    File(Box<files::Job>),
}

impl Next {
    /// The head of the request is looked at again.
    pub(super) fn needs_head(&self) -> bool {
        matches!(
            self,
            Self::Discard(_) | Self::File(_) | Self::Decide(_) | Self::PassOn(_)
        )
    }
}

impl From<statistics::StatisticsReply> for Next {
    fn from(answer: statistics::StatisticsReply) -> Self {
        match answer {
            statistics::StatisticsReply::Respond(response) => Next::Respond(response),
            statistics::StatisticsReply::List(listing) => Next::List(listing),
        }
    }
}

/// How a connection follows.
pub(super) enum Following {
    /// An endless response: what the client sends is ignored.
    Stream,
    /// One answer: what the client sends are further requests, maybe polls like this one.
    LongPoll(Option<Box<PollAgain>>),
    /// Websocket frames.
    WebSocket(WebSocketPublisher),
    /// One answer: whatever the client sends ends the wait.
    Interruptible,
    /// Websocket frames of nchan.
    Socket(Box<Socket>, Option<Box<Result<Ask, Unreachable>>>),
}

/// A request's answer and what writing it needs.
pub(super) struct Routed {
    pub(super) next: Next,
    pub(super) connection: ResponseContext,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    /// Largest body that is read to get rid of it.
    pub(super) max_body: u64,
    /// Header lines for the response.
    pub(super) added: AddedHeaders,
    /// Whether the response is compressed.
    pub(super) compression: Compression,
    /// What is logged of it.
    pub(super) log: Option<Box<Entry>>,
    /// Content type of an error page.
    pub(super) page_type: Bytes,
    /// The location that answers.
    pub(super) location: LocationAddress,
}

/// A connection, as far as routing needs it.
pub(super) struct Router<'a> {
    pub(super) site: &'a Site,
    pub(super) shard: &'a Shard,
    pub(super) key: ConnectionKey,
    pub(super) outlet: &'a Rc<Outlet>,
    /// Number of this request on its connection.
    pub(super) requests: u64,
    /// What is known of the request already.
    pub(super) again: &'a Again,
    /// What polls like this one come to is remembered.
    pub(super) notes_polls: bool,
}

impl Router<'_> {
    /// Finds the answer to a request; a subscriber that is accepted is a follower afterwards.
    pub(super) fn route(&self, request: &Request<'_>, length: BodyLength) -> Routed {
        failpoints::point("request");
        // Of what was evaluated for an earlier request when that was answered already.
        drop(regex_pattern::take_failure());
        let server = self.server(request);
        let path = if server.keeps_slashes && self.again.redirected.is_none() {
            target::path_with_slashes(request.unparsed_uri)
        } else {
            None
        };
        let real = self.real_endpoints(&server.settings.web, request);
        if path.is_none() && real.is_none() {
            return self.route_at(server, request, length, request.endpoints);
        }
        let path = path.unwrap_or(Cow::Borrowed(&request.path));
        let changed = Request {
            path,
            endpoints: real.as_ref().unwrap_or(request.endpoints),
            ..*request
        };
        self.route_at(server, &changed, length, request.endpoints)
    }

    /// As [`Router::route`], at a server that has its say already; `peer` are the ends of the
    /// connection.
    fn route_at(
        &self,
        server: &Arc<VirtualServer>,
        request: &Request<'_>,
        length: BodyLength,
        peer: &Endpoints,
    ) -> Routed {
        let none = RewriteFrame::default();
        let mut frame = RewriteFrame::new(
            server.captures(|| request.host().unwrap_or_default()),
            Vec::new(),
        );
        let variables = RequestVariables {
            request,
            frame: &none,
            peer,
            server,
            root: None,
            secure_link: None,
            client: None,
        };
        let body_bytes = if let BodyLength::Bytes(bytes) = length {
            Some(bytes)
        } else {
            None
        };
        let max_body_bytes = self.site.limits.max_body_bytes;
        let is_internal = self.again.redirected.is_some();
        let may_enter = |web: &WebSettings| {
            is_internal || (web.internal_from_front && self.is_front(web, peer))
        };
        let start = Start {
            variables,
            values: None,
            method: request.method,
            may_enter_internal: &may_enter,
            body_bytes,
            max_body_bytes,
        };
        let destination = start.walk(&mut frame);
        let settings = destination.settings;
        self.assign_inquired(&destination, &start.variables, &mut frame);
        let rewritten = frame.uri.as_ref().map(|uri| Request {
            path: Cow::Borrowed(&uri.path),
            query: &uri.arguments,
            ..*request
        });
        let request = rewritten.as_ref().unwrap_or(request);
        // Whom the server does not believe the location may.
        let is_peer = std::ptr::eq(request.endpoints, peer);
        let real = if is_peer {
            self.real_endpoints(&settings.web, request)
        } else {
            None
        };
        let moved = real
            .as_ref()
            .map(|endpoints| request.with_endpoints(endpoints));
        let request = moved.as_ref().unwrap_or(request);
        let is_last = settings
            .web
            .keepalive_requests
            .is_some_and(|most| self.requests >= most);
        let last = is_last.then(|| request.last());
        let request = last.as_ref().unwrap_or(request);
        let unframed = settings.web.without_chunks.then(|| request.unframed());
        let request = unframed.as_ref().unwrap_or(request);
        let variables = RequestVariables {
            request,
            frame: &frame,
            ..start.variables
        }
        .in_location(&settings.web);
        let (mut added, guarded) = match Guard::of(server, request, peer, self.site) {
            Some(guard) => (guard.added, guard.answer),
            None if settings.web.added_headers.is_empty() => (AddedHeaders::default(), None),
            None => (settings.web.added(&variables), None),
        };
        self.again
            .kept
            .iter()
            .for_each(|kept| kept.add_to(&mut added));
        let compression = Compression::for_request(settings.gzip.as_ref(), request);
        let is_known =
            !regex_pattern::has_failure() && self.passes(destination.gate, &settings.web, peer);
        let (next, max_body) = match (guarded, &destination.end) {
            (Some(response), _) => (Next::Respond(response), 0),
            (None, Answering::Location) if is_known => {
                self.admitted(&destination, &variables, (length, &added, &compression))
            }
            _ if is_known => (answered(&destination, &variables), 0),
            _ => (forbidden(), 0),
        };
        let mut next = self.unless_failed(next);
        if let (Some(kept), Next::Respond(response)) = (&self.again.kept, &mut next) {
            kept.complete(response);
        }
        let location = destination.location;
        let expects_continue = request
            .header("expect")
            .is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"));
        let connection = self.connection(request);
        // A request that is routed again is logged then.
        let is_final = !matches!(next, Next::Discard(_));
        let log = if is_final {
            logging::entry(location, settings, &variables)
        } else {
            None
        };
        Routed {
            next,
            connection,
            expects_continue,
            max_body,
            added,
            compression,
            log,
            location: location.into(),
            page_type: settings.types.page_type.clone(),
        }
    }

    /// The ends of the connection as a proxy tells them that the command line, or else these
    /// settings, believe.
    fn real_endpoints(&self, web: &WebSettings, request: &Request<'_>) -> Option<Endpoints> {
        let real_ip = self.site.limits.real_ip.as_ref().or(web.real_ip.as_ref())?;
        client_address::endpoints(real_ip, request)
    }

    /// Whether a peer may enter in spite of directives that are not enforced here.
    fn passes(&self, gate: Gate, web: &WebSettings, peer: &Endpoints) -> bool {
        match gate {
            Gate::Open => true,
            Gate::Front => self.is_front(web, peer),
            Gate::Closed => false,
        }
    }

    /// Whether the peer is a proxy that is trusted to name its clients.
    fn is_front(&self, web: &WebSettings, peer: &Endpoints) -> bool {
        let real_ip = self.site.limits.real_ip.as_ref().or(web.real_ip.as_ref());
        real_ip.is_some_and(|real_ip| real_ip.trusts(&peer.remote_address))
    }

    /// The server that the connection's address and the Host header choose.
    fn server(&self, request: &Request<'_>) -> &Arc<VirtualServer> {
        self.site
            .listener
            .server(&request.endpoints.local_address, || {
                request.host().unwrap_or_default()
            })
    }

    /// What is known of the request, for the time when its body is gone.
    fn again(&self) -> Box<Again> {
        Box::new(self.again.clone())
    }

    fn connection(&self, request: &Request<'_>) -> ResponseContext {
        let goes_on = !self.shard.is_stopping() && !self.site.is_closed();
        let keep_alive =
            request.keep_alive && goes_on && !self.site.limits.keepalive_timeout.is_zero();
        ResponseContext {
            minor_version: request.framing_version(),
            keep_alive,
            is_head: request.method == "HEAD",
        }
    }

    fn located(
        &self,
        location: &Location,
        settings: &Arc<LocationSettings>,
        variables: &RequestVariables<'_>,
        (length, added, compression): (BodyLength, &AddedHeaders, &Compression),
    ) -> (Next, u64) {
        let request = variables.request;
        // Files are not there at all, then.
        let has_content = location.endpoint != Endpoint::None || settings.proxy.is_some();
        if has_content && !self.passes(settings.web.content_gate, &settings.web, variables.peer) {
            return (forbidden(), 0);
        }
        let max_body = match self
            .site
            .limits
            .max_body_bytes
            .unwrap_or(settings.client_max_body_size)
        {
            0 => self.shard.broker().settings().shared_memory_size,
            most => most,
        };
        // The limit is that of a message: a batch has its own.
        let is_batch = publisher::is_batch(request, settings, location.endpoint);
        if !is_batch && matches!(length, BodyLength::Bytes(announced) if announced > max_body) {
            Limit::Body.log();
            return (
                Next::Respond(Response::error_page(Status(413)).closing()),
                0,
            );
        }
        if let (Endpoint::Nchan(roles), Some(nchan)) = (location.endpoint, &settings.nchan)
            && let Some(authorization) = self.authorization(
                nchan,
                variables,
                negotiation::requested_action(request, roles),
            )
        {
            return (self.decide(Question::Hook(authorization)), max_body);
        }
        if let (Endpoint::None, Some(proxy)) = (location.endpoint, &settings.proxy) {
            let method = Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::GET);
            let ask = proxy_request::ask(
                proxy,
                request,
                variables,
                variables.frame.stays,
                (method, false),
            );
            return (Next::PassOn(Box::new(ask)), max_body);
        }
        let next = match location.endpoint {
            Endpoint::None => file(settings, variables),
            Endpoint::NchanStubStatus => Next::Respond(status::respond(self.shard.broker())),
            Endpoint::Statistics => {
                statistics::respond(request, variables, settings, self.shard.broker()).into()
            }
            Endpoint::Publisher { .. }
            | Endpoint::NhpmPublisher
            | Endpoint::NchanGroup(_)
            | Endpoint::Nchan(_)
                if publishes(location.endpoint, request) =>
            {
                let admin = matches!(location.endpoint, Endpoint::Publisher { admin: true });
                let broker = self.shard.broker();
                let max_channels = self.site.limits.max_channels_per_request;
                let call = publisher::PublishCall {
                    request,
                    variables,
                    settings,
                    admin,
                    broker,
                    max_channels,
                    is_batch,
                    max_body,
                };
                if let (Endpoint::NchanGroup(verbs), Some(nchan)) =
                    (location.endpoint, &settings.nchan)
                {
                    return (
                        Next::Respond(publisher::respond_to_group(&call, nchan, verbs)),
                        max_body,
                    );
                }
                match call.respond() {
                    publisher::PublishReply::Respond(response) => Next::Respond(response),
                    publisher::PublishReply::Read(mut plan) => {
                        plan.set_argument_alone(Self::argument_alone(
                            variables, location, settings,
                        ));
                        Next::Read(
                            plan,
                            max_body,
                            Self::message_hook(
                                settings,
                                variables,
                                negotiation::RequestedAction::Publish,
                            ),
                        )
                    }
                    publisher::PublishReply::ReadBatch(batch) => Next::ReadBatch(batch),
                }
            }
            Endpoint::Subscriber(_)
                if !matches!(length, BodyLength::None | BodyLength::Bytes(0)) =>
            {
                Next::Discard(self.again())
            }
            Endpoint::NhpmSubscriber { .. }
            | Endpoint::Nchan(_)
            | Endpoint::NchanSubscriberInfo
                if request.method == "GET"
                    && !matches!(length, BodyLength::None | BodyLength::Bytes(0)) =>
            {
                Next::Discard(self.again())
            }
            _ => self.subscribe(
                &subscriber::SubscribeCall {
                    request,
                    variables,
                    settings,
                    endpoint: location.endpoint,
                    mode: if let Endpoint::Subscriber(mode) = location.endpoint {
                        mode
                    } else {
                        SubscriberMode::LongPolling
                    },
                    broker: self.shard.broker(),
                    formats: &self.site.formats,
                    max_channels: self.site.limits.max_channels_per_request,
                    connection: self.connection(request),
                    compression,
                    added: &added.good,
                },
                added,
                self.notes_polls
                    && variables.frame.uri.is_none()
                    && repeated::is_alike(variables.server, location, settings),
            ),
        };
        (next, max_body)
    }

    /// The argument that names the channel, if requests like this one differ in nothing else that
    /// counts.
    fn argument_alone(
        variables: &RequestVariables<'_>,
        location: &Location,
        settings: &LocationSettings,
    ) -> Option<Bytes> {
        let name = repeated::argument_alone(variables.server, location, settings)?;
        // The directives of another location have led here.
        variables.frame.uri.is_none().then(|| name.clone())
    }
}

/// The answer to a client that does not come from the front.
fn forbidden() -> Next {
    Next::Respond(Response::error_page(Status::FORBIDDEN))
}

/// What the rewrite phase answers itself.
fn answered(destination: &Destination<'_>, variables: &RequestVariables<'_>) -> Next {
    match &destination.end {
        Answering::Return(answer) => {
            let response = web::returned(
                answer,
                variables.request,
                &destination.settings.types,
                variables,
            );
            response.map_or(Next::Last(Vec::new()), Next::Respond)
        }
        Answering::Redirect(status, address) => {
            Next::Respond(web::redirection(*status, address, variables.request))
        }
        Answering::Error(status) => Next::Respond(web::error(status.0)),
        Answering::Location => Next::Respond(Response::error_page(Status::NOT_FOUND)),
    }
}

/// Whether a request at such a location is one of a publisher.
fn publishes(endpoint: Endpoint, request: &Request<'_>) -> bool {
    match endpoint {
        Endpoint::Nchan(roles) => {
            negotiation::requested_action(request, roles) == negotiation::RequestedAction::Publish
        }
        _ => true,
    }
}

/// The answer of a location that is no endpoint.
pub(super) fn file(settings: &LocationSettings, variables: &RequestVariables<'_>) -> Next {
    files::Job::new(settings, variables.request, variables).map_or_else(
        || Next::Respond(Response::error_page(Status::NOT_FOUND)),
        Next::File,
    )
}
