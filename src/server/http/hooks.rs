//! The hooks of nchan locations (NHPM and nchan reference, section 2.9): who is asked, what, and what the answer means.

use std::borrow::Cow;

use axum::http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Uri};
use bytes::Bytes;

use super::backend::{Ask, Told, Unreachable, header, is_passed};
use super::connection::{Over, Requests, Served};
use super::decision::{Again, Decision};
use super::head::{self, BodyLength, Parsed};
use super::rewriting::{Answering, Destination, Start};
use super::route::{Next, Router};
use crate::server::config::web::Gate;
use crate::server::config::{Captures, Expression, Frame, NchanSettings, ProxySettings, Variables};
use crate::server::dialect::nchan::negotiation::Wanted;
use crate::server::dialect::nchan::variables::{NchanVariables, Values};
use crate::server::dialect::nchan::{VARY, message_id};
use crate::server::dialect::push_stream::cursor::percent_decode;
use crate::server::rarely::Rarely;
use crate::server::request::{Request, RequestVariables};
use crate::server::response::{Response, Status};

/// Clients choose such values, so that they must not fill the log.
static RARELY: Rarely = Rarely::new();

/// Most questions about a request that a back-end has redirected: its password, `auth_request`, a hook.
const MAX_DECISIONS: usize = 6;

/// Whether a request may go on.
pub(super) struct Authorization {
    pub(super) ask: Result<Ask, Unreachable>,
    pub(super) wanted: Wanted,
}

/// Requests about a subscriber that stays: when it comes and when it leaves.
#[derive(Debug, Default)]
pub(super) struct Notices {
    pub(super) came: Option<Ask>,
    pub(super) left: Option<Ask>,
}

/// The variables of a request for its hooks.
pub(super) fn values(settings: &NchanSettings, variables: &dyn Variables, wanted: Wanted) -> Values {
    let expressions = if matches!(wanted, Wanted::Subscribe(_)) { &settings.subscriber_ids } else { &settings.publisher_ids };
    let named = crate::server::dialect::nchan::channels(settings, expressions, variables);
    let id = message_id::of_request(settings, variables).ok().flatten();
    let position = id.map_or_else(|| "0:0".to_owned(), |id| id.to_string());
    Values {
        channel_ids: named.map(|named| named.ids).unwrap_or_default(),
        subscriber_type: if let Wanted::Subscribe(mode) = wanted { mode.name() } else { "" },
        publisher_type: match wanted {
            Wanted::Publish => "http",
            Wanted::PublishWebSocket => "websocket",
            _ => "",
        },
        prev_message_id: if wanted == Wanted::Publish { String::new() } else { position },
        ..Values::default()
    }
}

/// The request that an internal URI stands for.
pub(super) fn ask_hook(
    uri: &Expression,
    variables: &RequestVariables<'_>,
    values: &Values,
    (method, tells_length): (Method, bool),
) -> Result<Ask, Unreachable> {
    let (path, own_arguments) = uri.evaluate_to_uri(&NchanVariables { request: variables, values });
    let query = own_arguments.as_deref().unwrap_or(variables.request.query);
    // What stands in its location sees the request of the hook, not the client's; what was set stays set.
    let request = Request { path: Cow::Borrowed(&path), query, ..*variables.request };
    let none = Frame::default();
    let mut frame = Frame::new(Captures::default(), variables.frame.assigned.clone());
    let start = RequestVariables { request: &request, frame: &none, client: Some(variables), ..*variables };
    let start = Start {
        variables: start,
        values: Some(values),
        method: method.as_str(),
        may_enter_internal: &|_| true,
        body_bytes: None,
        max_body_bytes: None,
    };
    let Destination { location, settings, gate, end, .. } = start.walk(&mut frame);
    let proxy = settings.proxy.as_ref().filter(|_| location.is_some() && gate != Gate::Closed && matches!(end, Answering::Location));
    let Some(proxy) = proxy else { return Err(leads_nowhere(&path)) };
    let rewritten =
        frame.uri.as_ref().map(|uri| Request { path: Cow::Borrowed(&uri.path), query: &uri.arguments, ..*start.variables.request });
    let request = rewritten.as_ref().unwrap_or(&request);
    let own = RequestVariables { request, frame: &frame, client: Some(variables), ..*variables }.under(&settings.web);
    ask(proxy, request, &NchanVariables { request: &own, values }, frame.stays, (method.clone(), tells_length))
}

fn leads_nowhere(path: &[u8]) -> Unreachable {
    RARELY.warn(|left_out| {
        let path = path.escape_ascii().to_string();
        tracing::warn!(path, left_out, "a hook leads to no location with proxy_pass, or to a return: it counts as down");
    });
    Unreachable
}

impl Router<'_> {
    /// Asks whether a request may go on, if its location has that hook.
    pub(super) fn authorization(
        &self,
        settings: &NchanSettings,
        variables: &RequestVariables<'_>,
        wanted: Wanted,
    ) -> Option<Authorization> {
        let uri = settings.hooks.authorize.as_ref().filter(|_| !self.again.authorized)?;
        if !matches!(wanted, Wanted::Subscribe(_) | Wanted::Publish | Wanted::PublishWebSocket) {
            return None;
        }
        let values = values(settings, variables, wanted);
        Some(Authorization { ask: ask_hook(uri, variables, &values, (Method::GET, false)), wanted })
    }

    /// What is told of a subscriber that stays.
    pub(super) fn notices(settings: &NchanSettings, variables: &RequestVariables<'_>, wanted: Wanted) -> Notices {
        if !matches!(wanted, Wanted::Subscribe(mode) if mode.is_stream()) {
            return Notices::default();
        }
        let ask = |uri: &Option<Expression>| {
            let values = values(settings, variables, wanted);
            ask_hook(uri.as_ref()?, variables, &values, (Method::GET, true)).ok()
        };
        Notices { came: ask(&settings.hooks.subscribe), left: ask(&settings.hooks.unsubscribe) }
    }
}

/// A request to the back-end of a location; `is_rewritten` = a `break` keeps it at its location with another URI.
pub(super) fn ask(
    proxy: &ProxySettings,
    request: &Request<'_>,
    variables: &dyn Variables,
    is_rewritten: bool,
    (method, tells_length): (Method, bool),
) -> Result<Ask, Unreachable> {
    let address = proxy.address(&request.path, request.query, variables, is_rewritten);
    // What is none, with a space in it for example, is not sent.
    let address = Uri::try_from(address.as_slice()).ok().filter(|address| address.host().is_some()).ok_or(Unreachable)?;
    // A back-end may take them for a way to somewhere else.
    let path = percent_decode(address.path().as_bytes());
    if path.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| matches!(segment, b"." | b"..")) {
        RARELY.warn(|left_out| tracing::warn!(%address, left_out, "the path of a hook has a segment of dots: the hook counts as down"));
        return Err(Unreachable);
    }
    let mut headers = HeaderMap::new();
    if proxy.passes_headers {
        for passed in request.headers.iter().filter(|header| is_passed(header.name)) {
            if let Some((name, value)) = header(passed.name.as_bytes(), passed.value) {
                headers.append(name, value);
            }
        }
    }
    for (name, value) in &proxy.headers {
        let value = value.evaluate(variables);
        // The client's header goes in any case: nothing of it may pass for what the server says.
        let Some((name, value)) = HeaderName::from_bytes(name).ok().and_then(|name| {
            headers.remove(&name);
            Some((name, HeaderValue::from_bytes(&value).ok()?))
        }) else {
            RARELY.warn(|left_out| {
                let (header, value) = (String::from_utf8_lossy(name), value.escape_ascii().to_string());
                tracing::warn!(%header, value, left_out, "a value of proxy_set_header cannot be sent: the hook counts as down");
            });
            return Err(Unreachable);
        };
        // How long a body is is known here better.
        if !value.is_empty() && name != CONTENT_LENGTH {
            headers.insert(name, value);
        }
    }
    let method = proxy.method.as_ref().and_then(|method| Method::from_bytes(method).ok()).unwrap_or(method);
    Ok(Ask { method, address, headers, timeout: proxy.timeout, tells_length, passes_body: proxy.passes_body })
}

impl Authorization {
    /// The answer to a request that may not go on.
    pub(super) fn refusal(wanted: Wanted, told: Result<Told, Unreachable>) -> Response {
        let is_publisher = wanted == Wanted::Publish;
        let waits = matches!(wanted, Wanted::Subscribe(mode) if !mode.is_stream());
        let vary: &[u8] = if waits { VARY } else { b"" };
        match told {
            Ok(_) if is_publisher => Response::error_page(Status::FORBIDDEN),
            Err(Unreachable) if is_publisher => Response::error_page(Status(502)),
            Ok(told) => told.response().with_headers(vary),
            Err(Unreachable) => Response::header_only(Status(502), vary),
        }
    }
}

/// The path that a back-end leads to, decoded, and its arguments; `None` if it leads outside or is none, of which nginx takes
/// none either.
fn safe_target(target: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let (path, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
    let path = percent_decode(path);
    let is_safe = path.starts_with(b"/") && !path.contains(&0) && !path.split(|byte| *byte == b'/').any(|segment| segment == b"..");
    is_safe.then(|| (path, query.get(1..).unwrap_or_default()))
}

/// What becomes of a message that a back-end was asked about.
pub(super) enum Verdict {
    /// It is published, or what the back-end made of it.
    Publish(Bytes, Option<Bytes>),
    /// It is not published, which is fine.
    Drop,
    /// It is refused.
    Refuse,
    /// The back-end is down.
    Down,
}

impl Verdict {
    /// Reads the answer of a back-end about a message.
    pub(super) fn of(told: Result<Told, Unreachable>, text: Bytes, content_type: Option<Bytes>) -> Self {
        match told {
            Ok(told) => match told.status {
                200..=202 => Self::Publish(told.body.clone(), told.content_type()),
                304 => Self::Publish(text, content_type),
                204 => Self::Drop,
                _ => Self::Refuse,
            },
            Err(Unreachable) => Self::Down,
        }
    }
}

impl Requests<'_> {
    /// Finds out what has to be known of a request, and routes it again.
    pub(super) async fn decide(
        &mut self,
        decision: Decision,
        head: Bytes,
        length: BodyLength,
    ) -> Result<Result<Option<Served>, Response>, Over> {
        // Earlier answers do not wait for it.
        self.flush().await?;
        self.connection.cover(head.len() + self.out.capacity()).map_err(|_| Over)?;
        let site = std::rc::Rc::clone(&self.connection.site);
        match decision.find(&site.backend).await {
            Ok(again) => Box::pin(self.route_again(head, length, again)).await.map(Ok),
            Err(response) => Ok(Err(response)),
        }
    }

    /// Passes a request on to a back-end, and follows where that leads.
    pub(super) async fn pass_on(
        &mut self,
        ask: Result<Ask, Unreachable>,
        (head, length): (Bytes, BodyLength),
        (max_body, expects_continue): (u64, bool),
    ) -> Result<Result<Option<Served>, Response>, Over> {
        let body = match self.read_body(length, max_body, expects_continue).await? {
            Ok(body) => body,
            Err(response) => return Ok(Err(response)),
        };
        let told = match ask {
            Ok(ask) => self.connection.site.backend.ask(ask, body.clone()).await,
            Err(Unreachable) => Err(Unreachable),
        };
        let Ok(told) = told else { return Ok(Err(Response::error_page(Status(502)))) };
        match told.header("x-accel-redirect").map(<[u8]>::to_vec) {
            Some(target) => self.redirect(target, head, body).await,
            None => Ok(Err(told.response())),
        }
    }

    /// Serves the request as one for an internal location; its body is read already.
    async fn redirect(&mut self, target: Vec<u8>, head: Bytes, body: Bytes) -> Result<Result<Option<Served>, Response>, Over> {
        let Some((path, query)) = safe_target(&target) else { return Ok(Err(Response::error_page(Status::NOT_FOUND))) };
        let mut again = Again::redirected(path.to_vec());
        for _ in 0..MAX_DECISIONS {
            let site = std::rc::Rc::clone(&self.connection.site);
            let connection = &*self.connection;
            let router = Router {
                site: &site,
                shard: &connection.shard,
                key: connection.key,
                outlet: &connection.outlet,
                requests: connection.requests,
                notes_polls: false,
                again: &again,
            };
            let length = if body.is_empty() { BodyLength::None } else { BodyLength::Bytes(body.len() as u64) };
            let parsed = head::parse(&head, site.limits.max_header_bytes, &connection.peer, |request, _| {
                router.route(&Request { path: Cow::Borrowed(&path), query, ..*request }, length)
            });
            let Parsed::Complete(_, _, mut routed) = parsed else { return Err(Over) };
            let goes_on = !matches!(routed.next, Next::Read(..) | Next::Decide(_)) && !routed.next.needs_head();
            // It is logged as the request that it was.
            routed.log.iter_mut().filter(|_| !goes_on).for_each(|log| log.forget());
            match routed.next {
                Next::Read(plan, _, asking) => {
                    let response = self.finish(&plan, asking, body).await;
                    return Ok(Err(response));
                }
                Next::Decide(decision) => match decision.find(&site.backend).await {
                    Ok(known) => again = known,
                    Err(response) => return Ok(Err(response)),
                },
                // One redirection is enough.
                Next::Discard(_) | Next::PassOn(_) | Next::File(_) => break,
                _ => return Box::pin(self.perform(routed, BodyLength::None, Bytes::new())).await.map(Ok),
            }
        }
        Ok(Err(Response::error_page(Status::INTERNAL).closing()))
    }

    /// Finishes what a publisher wants, after asking a back-end about its message if its location says so.
    pub(super) async fn finish(
        &mut self,
        plan: &crate::server::publisher::Plan,
        asking: Option<Box<Result<Ask, Unreachable>>>,
        body: Bytes,
    ) -> Response {
        let broker = self.connection.shard.broker().clone();
        let Some(asking) = asking else { return plan.finish(&broker, body) };
        let told = match *asking {
            Ok(ask) => self.connection.site.backend.ask(ask, body.clone()).await,
            Err(Unreachable) => Err(Unreachable),
        };
        match Verdict::of(told, body, plan.content_type()) {
            Verdict::Publish(text, content_type) => plan.finish_with(&broker, text, content_type),
            Verdict::Drop => Response { bodiless: true, ..Response::header_only(Status(204), &b""[..]) },
            Verdict::Refuse => Response::error_page(Status::FORBIDDEN),
            Verdict::Down => Response::error_page(Status::INTERNAL).closing(),
        }
    }
}
