//! The requests of a subscription: the server's clock, the URL and the headers.

use std::time::Instant;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};

use super::{CLOCK_TIMEOUT, Subscription};
use crate::client::cursor::ResumePoint;
use crate::client::dialect::Dialect;
use crate::client::dialect::WS_META;
use crate::client::endpoint::split_backtrack;
use crate::client::error::Error;
use crate::client::mode::Mode;
use crate::client::transport::http;
use crate::message::unix_now;
use crate::protocol::LAST_EVENT_ID;

impl Subscription {
    /// Requests the server's clock, which is the start of a subscription to new messages.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached.
    pub(super) async fn request_clock(&mut self) -> Result<(), Error> {
        let url = self.endpoints.statistics(None)?;
        self.has_requested_clock = true;
        match self
            .client
            .request(
                Method::HEAD,
                &url,
                HeaderMap::new(),
                None,
                Some(CLOCK_TIMEOUT),
            )
            .await
        {
            Ok(response) => self.record_clock(&response),
            Err(
                error @ (Error::Unreachable { .. }
                | Error::ProxyUnreachable { .. }
                | Error::Untrusted { .. }),
            ) => return Err(error),
            // Other failures do not prevent a subscription.
            Err(_) => {}
        }
        if self.clock.is_none() && self.settings.keeps_start {
            // The local clock is better than no start.
            self.cursor.record_server_clock(unix_now());
        }
        Ok(())
    }

    pub(super) fn record_clock(&mut self, response: &Response) {
        if let (Some(date), None) = (http::date(response), self.clock) {
            self.clock = Some((date, Instant::now()));
            self.cursor.record_server_clock(date);
        }
    }

    /// Returns the URL of the channels, with the backtracks that are still outstanding.
    pub(super) fn url(&self, sent: &ResumePoint) -> Result<Url, Error> {
        if self.is_unframed() {
            return self.endpoints.subscribe(self.mode(), &self.ids().join("/"));
        }
        let path: Vec<String> = self
            .settings
            .channels
            .iter()
            .map(|channel| match self.cursor.backlog(&channel.id) {
                Some(backlog) => format!("{}.b{backlog}", channel.id),
                // A suffix that looks like a backtrack is part of the name.
                None if split_backtrack(&channel.id).1.is_some() => format!("{}.b0", channel.id),
                None => channel.id.clone(),
            })
            .collect();
        let mut url = self.endpoints.subscribe(self.mode(), &path.join("/"))?;
        let arguments = [
            ("time", sent.time.as_deref()),
            ("tag", sent.tag.as_deref().map(bare_tag)),
            ("eventid", sent.event_id.as_deref()),
        ];
        for (name, value) in arguments {
            if let Some(value) = value {
                // Spaces as %20: servers do not decode '+' here (push-stream.md, section 7.1).
                let value = value
                    .replace('%', "%25")
                    .replace('&', "%26")
                    .replace('#', "%23")
                    .replace('+', "%2B")
                    .replace(' ', "%20");
                let query = url
                    .query()
                    .map(|query| format!("{query}&"))
                    .unwrap_or_default();
                url.set_query(Some(&format!("{query}{name}={value}")));
            }
        }
        Ok(url)
    }

    pub(super) fn headers(&self, sent: &ResumePoint) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        if self.mode() == Mode::Ev {
            headers.insert("Accept", HeaderValue::from_static("text/event-stream"));
            headers.insert("Cache-Control", HeaderValue::from_static("no-cache"));
        }
        // nchan selects the format of its only URL by these headers; other servers ignore them.
        if self.mode() == Mode::Stream && self.dialect != Some(Dialect::PushStream) {
            let (name, value) = if self.is_chunked {
                ("TE", "chunked")
            } else {
                ("Accept", "multipart/mixed, */*")
            };
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.mode() == Mode::Ws && self.dialect != Some(Dialect::PushStream) {
            headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(WS_META));
        }
        if let Some(time) = &sent.time {
            headers.insert(
                "If-Modified-Since",
                http::header_value("the last message's time", time)?,
            );
        }
        if let Some(tag) = &sent.tag {
            headers.insert(
                "If-None-Match",
                http::header_value("the last message's tag", tag)?,
            );
        }
        if let Some(event_id) = &sent.event_id {
            let name = reqwest::header::HeaderName::from_static("last-event-id");
            debug_assert!(LAST_EVENT_ID.eq_ignore_ascii_case(name.as_str()));
            // An event id that is no valid header value is sent as an argument only.
            if let Ok(value) = HeaderValue::from_str(event_id) {
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }
}

fn bare_tag(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}
