//! From a request to its endpoint: server by name, location by path, settings by conditions, then whether it may enter.

mod failed_search;
mod subscribing;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use axum::http::Method;

use super::access_log::Entry;
use super::auth::{Credentials, Verdict};
use super::backend::{Ask, Unreachable};
use super::client_address;
use super::companion::LiveCompanion;
use super::files;
use super::head::BodyLength;
use super::hooks::{self, Authorization};
use super::repeated;
use super::sending::Again;
use super::site::Site;
use super::target;
use super::web::{self, Access};
use crate::server::compression::Compression;
use crate::server::config::regex_pattern;
use crate::server::config::web::{Added, Gate};
use crate::server::config::{Captures, Endpoint, Frame, Location, LocationSettings, SubscriberMode, VirtualServer, WebSettings, condition};
use crate::server::dialect::nchan::negotiation;
use crate::server::dialect::nchan::status;
use crate::server::fanout::{ConnectionKey, Outlet, Shard};
use crate::server::faults;
use crate::server::generation::LocationAddress;
use crate::server::publisher::{self, Plan, batch::Batch};
use crate::server::request::{Endpoints, Request, RequestVariables};
use crate::server::response::{Connection, Response, Status};
use crate::server::statistics::{self, Listing};
use crate::server::subscriber::{self, PollAgain, Socket, websocket::Publishing};

/// What the connection does next.
pub(super) enum Next {
    /// Send this response.
    Respond(Response),
    /// Read the body, up to this many bytes, and finish the plan with it; maybe a back-end is asked about it before.
    Read(Box<Plan>, u64, Option<Box<Result<Ask, Unreachable>>>),
    /// Ask a back-end whether the request may go on, and route it again.
    Authorize(Box<Authorization>),
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
    /// Read the body, which nobody wants, and route the request again: a follower has no place for it.
    Discard(Box<Again>),
    /// Let the pages answer this method and target.
    Page(String, String),
    /// Make a list of channels, and send it.
    List(Box<Listing>),
    /// Look for a file.
    File(Box<files::Job>),
    /// Check these credentials, and route the request again.
    Check(Box<Credentials>),
}

impl Next {
    /// The head of the request is looked at again.
    pub(super) fn needs_head(&self) -> bool {
        matches!(self, Self::Discard(_) | Self::File(_) | Self::Check(_) | Self::Authorize(_) | Self::PassOn(_))
    }
}

impl From<statistics::Answer> for Next {
    fn from(answer: statistics::Answer) -> Self {
        match answer {
            statistics::Answer::Respond(response) => Next::Respond(response),
            statistics::Answer::List(listing) => Next::List(listing),
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
    WebSocket(Publishing),
    /// One answer: whatever the client sends ends the wait.
    Interruptible,
    /// Websocket frames of nchan.
    Socket(Box<Socket>, Option<Box<Result<Ask, Unreachable>>>),
}

impl Following {
    /// The connection is one of websocket frames.
    pub(super) fn is_websocket(&self) -> bool {
        matches!(self, Following::WebSocket(_) | Following::Socket(..))
    }
}

/// A request's answer and what writing it needs.
pub(super) struct Routed {
    pub(super) next: Next,
    pub(super) connection: Connection,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    /// Largest body that is read to get rid of it.
    pub(super) max_body: u64,
    /// Header lines for the response.
    pub(super) added: Added,
    /// Whether the response is compressed.
    pub(super) compression: Compression,
    /// What is logged of it.
    pub(super) log: Option<Box<Entry>>,
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
    /// What came of checking the request's password.
    pub(super) checked: Option<Verdict>,
    /// The path that the request was led to instead of its own.
    pub(super) redirected: Option<&'a [u8]>,
    /// A hook has agreed to it.
    pub(super) authorized: bool,
    /// What polls like this one come to is remembered.
    pub(super) notes_polls: bool,
}

impl Router<'_> {
    /// Finds the answer to a request; a subscriber that is accepted is a follower afterwards.
    pub(super) fn route(&self, request: &Request<'_>, length: BodyLength) -> Routed {
        faults::point("request");
        // Of what was evaluated for an earlier request when that was answered already.
        drop(regex_pattern::take_failure());
        let server = self.server(request);
        let path = if server.keeps_slashes && self.redirected.is_none() { target::path_with_slashes(request.unparsed_uri) } else { None };
        let real = self.real_endpoints(&server.settings.web, request);
        if path.is_none() && real.is_none() {
            return self.route_at(server, request, length, request.endpoints);
        }
        let path = path.unwrap_or(Cow::Borrowed(&request.path));
        let changed = Request { path, endpoints: real.as_ref().unwrap_or(request.endpoints), ..*request };
        self.route_at(server, &changed, length, request.endpoints)
    }

    /// As [`Router::route`], at a server that has its say already; `peer` are the ends of the connection.
    fn route_at(&self, server: &Arc<VirtualServer>, request: &Request<'_>, length: BodyLength, peer: &Endpoints) -> Routed {
        let server_captures = server.captures(|| request.host().unwrap_or_default());
        let none = Captures::default();
        let mut frame = Frame::default();
        let first = RequestVariables {
            request,
            captures: &none,
            location_captures: &none,
            server_captures: &server_captures,
            peer,
            assigned: &[],
            server,
            root: server.settings.web.root.as_ref(),
            client: None,
        };
        let outcome = condition::run(&server.steps, &first, &mut frame);
        let located = if outcome.returned.is_none() { server.locate(&request.path) } else { None };
        let (location, captures) = located.unzip();
        let location_captures = captures.unwrap_or_default();
        let (settings, returned) = match location {
            Some(location) => {
                // What a condition of the server captured is over, unless it was set.
                frame.captures = None;
                let root = location.settings.web.root.as_ref();
                let second = RequestVariables { captures: &location_captures, location_captures: &location_captures, root, ..first };
                let choice = location.choose(&second, &mut frame);
                (choice.settings, choice.returned)
            }
            None => (outcome.settings.unwrap_or(&server.settings), outcome.returned),
        };
        // Whom the server does not believe the location may.
        let is_peer = std::ptr::eq(request.endpoints, peer);
        let real = if is_peer { self.real_endpoints(&settings.web, request) } else { None };
        let moved = real.as_ref().map(|endpoints| request.between(endpoints));
        let request = moved.as_ref().unwrap_or(request);
        let is_last = settings.web.keepalive_requests.is_some_and(|most| self.requests >= most);
        let last = is_last.then(|| request.last());
        let request = last.as_ref().unwrap_or(request);
        let variables = RequestVariables {
            request,
            captures: frame.captures.as_ref().unwrap_or(&location_captures),
            location_captures: &location_captures,
            assigned: &frame.assigned,
            root: settings.web.root.as_ref(),
            ..first
        };
        let added = if settings.web.added_headers.is_empty() { Added::default() } else { settings.web.added(&variables) };
        let compression = Compression::of(settings.gzip.as_ref(), request);
        let (next, max_body) = match returned {
            // What the rules say is not known.
            _ if regex_pattern::has_failure() => (Next::Respond(Response::error_page(Status::INTERNAL).closing()), 0),
            Some(_) if !self.passes(settings.web.answer_gate, &settings.web, peer) => (forbidden(), 0),
            Some(answer) => (web::returned(answer, request, &settings.types, &variables).map_or(Next::Last(Vec::new()), Next::Respond), 0),
            None => self.admitted(location, settings, &variables, (length, &added, &compression)),
        };
        let next = self.unless_failed(next);
        let expects_continue = request.header("expect").is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"));
        let connection = self.connection(request);
        // A request that is routed again is logged then.
        let is_final = !matches!(next, Next::Discard(_) | Next::Check(_));
        let log = if is_final { Entry::begin(&settings.web, &variables) } else { None };
        Routed { next, connection, expects_continue, max_body, added, compression, log, location: location.into() }
    }

    /// The answer for a request that no `return` answers.
    fn admitted(
        &self,
        location: Option<&Location>,
        settings: &Arc<LocationSettings>,
        variables: &RequestVariables<'_>,
        (length, added, compression): (BodyLength, &Added, &Compression),
    ) -> (Next, u64) {
        let request = variables.request;
        let web = &settings.web;
        if web.internal && self.redirected.is_none() && !(web.internal_from_front && self.is_front(web, variables.peer)) {
            return (Next::Respond(Response::error_page(Status::NOT_FOUND)), 0);
        }
        match web::access(&settings.web, request, variables, self.checked) {
            Access::Granted => {}
            Access::Denied(response) => return (Next::Respond(response), 0),
            Access::Check(credentials) => return (Next::Check(credentials), 0),
        }
        match location {
            Some(location) => self.located(location, settings, variables, (length, added, compression)),
            None if variables.server.welcome => {
                (Next::Page(request.method.to_owned(), String::from_utf8_lossy(request.target).into_owned()), 0)
            }
            None => (file(settings, variables), 0),
        }
    }

    /// The ends of the connection as a proxy tells them that the command line, or else these settings, believe.
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
        self.site.listener.server(&request.endpoints.local_address, || request.host().unwrap_or_default())
    }

    /// What is known of the request, for the time when its body is gone.
    fn again(&self) -> Box<Again> {
        let redirected = self.redirected.map(<[u8]>::to_vec);
        Box::new(Again { checked: self.checked, redirected, authorized: self.authorized })
    }

    fn connection(&self, request: &Request<'_>) -> Connection {
        let goes_on = !self.shard.is_stopping() && !self.site.is_closed();
        let keep_alive = request.keep_alive && goes_on && !self.site.limits.keepalive_timeout.is_zero();
        Connection { minor_version: request.minor_version, keep_alive, is_head: request.method == "HEAD" }
    }

    fn located(
        &self,
        location: &Location,
        settings: &Arc<LocationSettings>,
        variables: &RequestVariables<'_>,
        (length, added, compression): (BodyLength, &Added, &Compression),
    ) -> (Next, u64) {
        let request = variables.request;
        // Files are not there at all, then.
        let has_content = location.endpoint != Endpoint::None || settings.proxy.is_some();
        if has_content && !self.passes(settings.web.content_gate, &settings.web, variables.peer) {
            return (forbidden(), 0);
        }
        let max_body = match self.site.limits.max_body_bytes.unwrap_or(settings.client_max_body_size) {
            0 => self.shard.broker().settings().shared_memory_size,
            most => most,
        };
        // The limit is that of a message: a batch has its own.
        let is_batch = publisher::is_batch(request, settings, location.endpoint);
        if !is_batch && matches!(length, BodyLength::Bytes(announced) if announced > max_body) {
            return (Next::Respond(Response::error_page(Status(413)).closing()), 0);
        }
        if let (Endpoint::Nchan(roles), Some(nchan)) = (location.endpoint, &settings.nchan)
            && let Some(authorization) = self.authorization(nchan, variables, negotiation::wanted(request, roles))
        {
            return (Next::Authorize(Box::new(authorization)), max_body);
        }
        if let (Endpoint::None, Some(proxy)) = (location.endpoint, &settings.proxy) {
            let method = Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::GET);
            let ask = hooks::ask(proxy, request, variables, (&request.path, request.query), (method, false));
            return (Next::PassOn(Box::new(ask)), max_body);
        }
        let next = match location.endpoint {
            Endpoint::None => file(settings, variables),
            Endpoint::NchanStubStatus => Next::Respond(status::answer(self.shard.broker())),
            Endpoint::Statistics => statistics::answer(request, variables, settings, self.shard.broker()).into(),
            Endpoint::Publisher { .. } | Endpoint::NhpmPublisher | Endpoint::NchanGroup(_) | Endpoint::Nchan(_)
                if publishes(location.endpoint, request) =>
            {
                let admin = matches!(location.endpoint, Endpoint::Publisher { admin: true });
                let broker = self.shard.broker();
                let max_channels = self.site.limits.max_channels_per_request;
                let call = publisher::Call { request, variables, settings, admin, broker, max_channels, is_batch, max_body };
                if let (Endpoint::NchanGroup(verbs), Some(nchan)) = (location.endpoint, &settings.nchan) {
                    return (Next::Respond(publisher::answer_group(&call, nchan, verbs)), max_body);
                }
                match call.answer() {
                    publisher::Answer::Respond(response) => Next::Respond(response),
                    publisher::Answer::Read(mut plan) => {
                        plan.set_argument_alone(repeated::argument_alone(variables.server, location, settings).cloned());
                        Next::Read(plan, max_body, Self::asking(settings, variables))
                    }
                    publisher::Answer::ReadBatch(batch) => Next::ReadBatch(batch),
                }
            }
            Endpoint::Subscriber(_) if !matches!(length, BodyLength::None | BodyLength::Bytes(0)) => Next::Discard(self.again()),
            Endpoint::NhpmSubscriber { .. } | Endpoint::Nchan(_) | Endpoint::NchanSubscriberInfo
                if request.method == "GET" && !matches!(length, BodyLength::None | BodyLength::Bytes(0)) =>
            {
                Next::Discard(self.again())
            }
            _ => self.subscribe(
                &subscriber::Call {
                    request,
                    variables,
                    settings,
                    endpoint: location.endpoint,
                    mode: if let Endpoint::Subscriber(mode) = location.endpoint { mode } else { SubscriberMode::LongPolling },
                    broker: self.shard.broker(),
                    formats: &self.site.formats,
                    max_channels: self.site.limits.max_channels_per_request,
                    connection: self.connection(request),
                    compression,
                    added: &added.good,
                },
                added,
                self.notes_polls && repeated::is_alike(variables.server, location, settings),
            ),
        };
        (next, max_body)
    }

    /// What a back-end is asked about a message, if the location says so.
    fn asking(settings: &LocationSettings, variables: &RequestVariables<'_>) -> Option<Box<Result<Ask, Unreachable>>> {
        let nchan = settings.nchan.as_ref()?;
        let uri = nchan.hooks.publisher_upstream.as_ref()?;
        let values = hooks::values(nchan, variables, negotiation::Wanted::Publish);
        Some(Box::new(hooks::ask_hook(uri, variables, &values, (Method::POST, true))))
    }
}

/// The answer to a client that does not come from the front.
fn forbidden() -> Next {
    Next::Respond(Response::error_page(Status::FORBIDDEN))
}

/// Whether a request at such a location is one of a publisher.
fn publishes(endpoint: Endpoint, request: &Request<'_>) -> bool {
    match endpoint {
        Endpoint::Nchan(roles) => negotiation::wanted(request, roles) == negotiation::Wanted::Publish,
        _ => true,
    }
}

/// The answer of a location that is no endpoint.
fn file(settings: &LocationSettings, variables: &RequestVariables<'_>) -> Next {
    files::Job::new(settings, variables.request, variables)
        .map_or_else(|| Next::Respond(Response::error_page(Status::NOT_FOUND)), Next::File)
}
