//! Requests of a publisher that differ from the one before them in their channel and their message
//! only: what was found out about that one holds for them, too, and is not found out again.
//!
//! A publisher sends the same head again and again. Understanding it, and finding its server,
//! location and settings, was a third of the instructions of a publish (callgrind), and as much of
//! the code that has to come into the processor's caches between two calls of the system. Whatever
//! is not exactly alike takes the usual way, which `route` begins.

use bytes::Bytes;

use super::connection::Requests;
use super::remembered::Known;
use super::shape::{Places, Shape};
use crate::server::config::{Location, LocationSettings, VirtualServer, WebSettings};
use crate::server::failpoints;
use crate::server::publisher::{Plan, Repeatable};
use crate::server::request::Request;
use crate::server::response::ResponseContext;

/// Digits of a length that are looked at here.
const MAX_DIGITS: usize = 9;

/// What was found out about a publisher's request.
pub(super) struct Publication {
    plan: Repeatable,
    /// Most bytes of a channel's id, and of a message.
    max_id: usize,
    max_body: u64,
    connection: ResponseContext,
}

/// A request like one that is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alike<'a> {
    pub(super) id: &'a [u8],
    /// Bytes of its head.
    pub(super) taken: usize,
    pub(super) text: &'a [u8],
}

/// Whether all requests of a method to a location that differ in the argument for their channel
/// only are answered alike: nothing else in their target is looked at. The name of that argument,
/// if so.
pub(super) fn argument_alone<'a>(
    server: &VirtualServer,
    location: &Location,
    settings: &'a LocationSettings,
) -> Option<&'a Bytes> {
    if is_alike(server, location, settings) {
        argument_of(settings)
    } else {
        None
    }
}

/// Whether requests with the same head come through a server and a location in the same way.
pub(super) fn is_alike(
    server: &VirtualServer,
    location: &Location,
    settings: &LocationSettings,
) -> bool {
    server.steps.is_empty() && location.steps.is_empty() && web_is_alike(&settings.web)
}

/// The argument that names the channel, where nothing else in these settings looks at what is
/// particular to a request. All of them are named, so that whoever adds one has to think of this.
fn argument_of(settings: &LocationSettings) -> Option<&Bytes> {
    let LocationSettings {
        channels_path,
        allowed_origins: None,
        gzip: None,
        nhpm: None,
        nchan: None,
        web: _,
        // They are the same for all channels.
        store_messages: _,
        channel_info_on_publish: _,
        message_format: _,
        batch: _,
        types: _,
        client_max_body_size: _,
        // They are about subscribers, or back-ends.
        authorized_channels_only: _,
        header_template: _,
        footer_template: _,
        wildcard_channel_max_qtd: _,
        ping_message_interval: _,
        subscriber_connection_ttl: _,
        longpolling_connection_ttl: _,
        websocket_allow_publish: _,
        last_received_message_time: _,
        last_received_message_tag: _,
        last_event_id: _,
        cursor_headers_as_fallback: _,
        user_agent: _,
        paddings: _,
        allow_connections_to_events_channel: _,
        slow_consumer: _,
        slow_consumer_bytes: _,
        gap_notice: _,
        is_builtin: _,
        proxy: _,
    } = settings
    else {
        return None;
    };
    channels_path.as_ref()?.as_argument()
}

/// Nothing in these settings looks at what is particular to a request.
fn web_is_alike(web: &WebSettings) -> bool {
    let WebSettings {
        added_headers,
        access_logs,
        // Files of passwords change.
        authentication: None,
        limit_except: None,
        keepalive_requests: None,
        // They look at the address, the method and what is the same in all these requests.
        access: _,
        satisfy_any: _,
        internal: _,
        internal_from_front: _,
        content_gate: _,
        answer_gate: _,
        real_ip: _,
        // They are about files.
        root: _,
        index: _,
        without_etag: _,
        // Answers to publishers have a length.
        without_chunks: _,
        unmodified: _,
        max_ranges: _,
        // It is asked about every request.
        auth_request: None,
        // It matters where a variable asks for it: in a directive of the rewrite phase, or in an
        // expression that is looked at there.
        secure_link: _,
    } = web
    else {
        return false;
    };
    added_headers.is_empty() && access_logs.is_empty()
}

/// The places of channel and length in the head of a publisher's request at the front of `buffer`,
/// if it can be repeated.
pub(super) fn places(buffer: &[u8], request: &Request<'_>, argument: &[u8]) -> Option<Places> {
    Places::of(
        buffer,
        [
            request.argument(argument)?,
            request.header("content-length")?.trim_ascii(),
        ],
    )
}

/// The request at the front of `buffer`, if it is like the one of this shape and has come as a
/// whole.
pub(super) fn find<'a>(shape: &Shape, buffer: &'a [u8]) -> Option<Alike<'a>> {
    let ends = |number: usize, rest: &[u8]| match number {
        0 => rest
            .iter()
            .position(|byte| !is_of_id(*byte))
            .unwrap_or(rest.len()),
        _ => rest
            .iter()
            .take(MAX_DIGITS)
            .take_while(|byte| byte.is_ascii_digit())
            .count(),
    };
    let ([id, digits], rest) = shape.find(buffer, ends)?;
    let length = digits
        .iter()
        .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    let text = rest.get(..length).filter(|text| !text.is_empty())?;
    means_itself(id).then_some(Alike {
        id,
        taken: buffer.len() - rest.len(),
        text,
    })
}

/// Bytes of ids that stand for themselves in a target.
fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':')
}

/// Whether such bytes are the id of one channel that may be published to: `.bN` at their end says
/// how many messages.
fn means_itself(id: &[u8]) -> bool {
    !id.is_empty() && id != b"ALL" && !id.windows(2).any(|pair| pair == b".b")
}

impl Requests<'_> {
    /// Publishes with the request at the front of `bytes`, if it is like the one before: how many
    /// bytes it has, then.
    pub(super) fn publish_again(&mut self, bytes: &[u8]) -> Option<usize> {
        let connection = &mut *self.connection;
        let Known {
            shape,
            site,
            found,
            is_used,
            ..
        } = self.habit.published.known_or_forget(&connection.site)?;
        let Alike { id, taken, text } = find(shape, bytes)?;
        if taken > site.limits.max_header_bytes
            || id.len() > found.max_id
            || text.len() as u64 > found.max_body
        {
            return None;
        }
        let broker = connection.shard.broker();
        let channel = broker.find(id).filter(|channel| !channel.is_events)?;
        failpoints::point("request");
        *is_used = true;
        let (text, length) = (Bytes::copy_from_slice(text), taken + text.len());
        let is_last = length == bytes.len() && self.out.is_empty();
        let has_waited = self.busy.has_waited();
        let delivering = if is_last {
            connection
                .shard
                .begin_inline_delivery(&connection.outlet, has_waited)
        } else {
            None
        };
        self.habit.is_over =
            !found
                .plan
                .publish(broker, &channel, text, found.connection, &mut self.out);
        connection.requests += 1;
        self.head_since = None;
        match delivering {
            Some(delivering) => self.answer_alone(&delivering),
            None => self.note_news(),
        }
        Some(length)
    }

    /// Remembers the publisher's request at hand, which was answered by this plan and with these
    /// further header lines.
    pub(super) fn remember_publish(
        &mut self,
        plan: Plan,
        max_body: u64,
        connection: ResponseContext,
        added: &[u8],
    ) {
        let Some(shape) = self.habit.coming.take() else {
            return;
        };
        let broker = self.connection.shard.broker();
        let site = &self.connection.site;
        let Some(plan) = plan.repeatable(added) else {
            return self.habit.published.forget();
        };
        let max_id = broker
            .settings()
            .max_channel_id_length
            .map_or(usize::MAX, |most| {
                usize::try_from(most).unwrap_or(usize::MAX)
            });
        let own_bytes = plan.own_bytes();
        self.habit.published.put(
            broker,
            site,
            *shape,
            Publication {
                plan,
                max_id,
                max_body,
                connection,
            },
            own_bytes,
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::shape::{self, tests::assert_others_differ};
    use super::*;
    use crate::server::config::nginx;

    const FIRST: &str = "POST /pub?x=1&id=first&id=other HTTP/1.1\r\nHost: a\r\n\
                         Content-Length:  5 \r\nAccept: */*\r\n\r\n";

    fn shape(head: impl AsRef<[u8]>) -> Option<Shape> {
        let head = head.as_ref();
        shape::of_head(head, |request, _| places(head, request, b"id"))
    }

    #[test]
    fn requests_that_differ_in_channel_and_message_are_alike() {
        let shape = shape(FIRST).expect("a request that can be repeated");
        for (id, length, text) in [
            ("first", "5", "12345"),
            ("a-B_9:c.d", "05", "12345"),
            ("z", "12", "GET / HTTP/1"),
        ] {
            let head = FIRST
                .replace("first", id)
                .replace(" 5 ", &format!(" {length} "));
            let expected = Alike {
                id: id.as_bytes(),
                taken: head.len(),
                text: text.as_bytes(),
            };
            assert_eq!(
                find(&shape, format!("{head}{text}and more").as_bytes()),
                Some(expected),
                "{id}"
            );
        }
    }

    #[test]
    fn all_others_are_not() {
        let shape = shape(FIRST).expect("a request that can be repeated");
        let whole = format!("{FIRST}12345");
        let others = [
            ("first", ""),
            ("first", "a.b5"),
            ("first", "a.b5c"),
            ("first", "a/b"),
            ("first", "a%41"),
            ("first", "a b"),
            ("first", "a#"),
            ("first", "a?"),
            ("first", "é"),
            ("first", "first&id=second"),
            ("x=1", "x=2"),
            ("x=1", "y=1"),
            ("other", "another"),
            ("/pub", "/Pub"),
            ("POST", "PUT"),
            ("1.1", "1.0"),
            ("Host: a", "Host: b"),
            ("5 \r", "5\r"),
            ("5 \r", "+5 \r"),
            ("5 \r", "0 \r"),
            ("5 \r", " \r"),
            ("5 \r", "5, 5 \r"),
            ("5 \r", "0000000005 \r"),
            ("Accept: */*", "Accept: text/plain"),
            ("Accept: */*\r\n", ""),
            ("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"),
        ];
        assert_others_differ(&whole, &others, |other| find(&shape, other).is_some());
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_repeated() {
        for head in [
            &b"POST /pub HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"[..],
            b"POST /pub?id=a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            // Its head is understood in another notation than it has.
            b"POST /pub?id=a&x=\xe4 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        ] {
            assert!(shape(head).is_none(), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn whatever_looks_at_more_than_the_channel_prevents_repetition() {
        let argument = |server: &str, location: &str| {
            let text = format!(
                "events {{}} http {{ push_stream_shared_memory_size 10m; log_format f $arg_id; \
                 server {{ listen 127.0.0.1:9103; {server}
                 location = /asked {{ return 204; }}
                 location /pub {{ push_stream_publisher; push_stream_channels_path $arg_id; \
                 {location} }} }} }}"
            );
            let loaded = nginx::parse("conf", text.as_bytes())
                .unwrap_or_else(|mistakes| panic!("{mistakes}"));
            let server = Arc::clone(loaded.config.listeners[0].server("127.0.0.1", String::new));
            let (location, _) = server.locate(b"/pub").expect("a location");
            argument_alone(&server, location, &location.settings).cloned()
        };
        for location in [
            "",
            "allow 127.0.0.1; deny all;",
            "push_stream_store_messages on;",
            "client_max_body_size 5;",
        ] {
            assert_eq!(
                argument("", location).as_deref(),
                Some(&b"id"[..]),
                "{location}"
            );
        }
        for location in [
            "add_header X-Channel $arg_id;",
            "access_log /dev/null f;",
            "auth_basic a; auth_basic_user_file /dev/null;",
            "limit_except GET { auth_basic a; auth_basic_user_file /dev/null; }",
            "limit_except GET { deny all; }",
            "keepalive_requests 5;",
            "gzip on;",
            "push_stream_allowed_origins $arg_id;",
            "if ($arg_id = a) { return 403; }",
            "set $a $arg_id;",
            "rewrite ^/none /x;",
            "auth_request /asked;",
        ] {
            assert_eq!(argument("", location), None, "{location}");
        }
        for server in [
            "if ($arg_id = a) { return 403; }",
            "rewrite ^/none /x;",
            "auth_request /asked;",
        ] {
            assert_eq!(argument(server, ""), None, "{server}");
        }
    }
}
