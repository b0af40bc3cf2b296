//! What a subscription asks for: the server's clock, and the URL and the headers of a request.

use std::time::Instant;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};

use super::{CLOCK_TIMEOUT, Subscription};
use crate::client::cursor::Sent;
use crate::client::dialect::WS_META;
use crate::client::endpoint::split_backtrack;
use crate::client::{Dialect, Error, Mode, http};
use crate::message::unix_now;
use crate::protocol::LAST_EVENT_ID;

impl Subscription {
    /// Asks for the server's clock, which is the start of a subscription to new messages.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub(super) async fn ask_for_clock(&mut self) -> Result<(), Error> {
        let url = self.endpoints.statistics(None)?;
        self.has_asked_for_clock = true;
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
            Ok(response) => self.note_clock(&response),
            Err(
                error
                @ (Error::Unreachable { .. } | Error::Behind { .. } | Error::Untrusted { .. }),
            ) => return Err(error),
            // A server that will not tell may still be followed.
            Err(_) => {}
        }
        if self.clock.is_none() && self.settings.keeps_start {
            // The clock of this machine is better than no start at all.
            self.cursor.answered_at(unix_now());
        }
        Ok(())
    }

    pub(super) fn note_clock(&mut self, response: &Response) {
        if let (Some(date), None) = (http::date(response), self.clock) {
            self.clock = Some((date, Instant::now()));
            self.cursor.answered_at(date);
        }
    }

    /// The channels, with their backtracks as long as those are wanted.
    pub(super) fn url(&self, sent: &Sent) -> Result<Url, Error> {
        if self.is_bare() {
            return self.endpoints.subscribe(self.mode(), &self.ids().join("/"));
        }
        let path: Vec<String> = self
            .settings
            .channels
            .iter()
            .map(|channel| match self.cursor.backlog(&channel.id) {
                Some(backlog) => format!("{}.b{backlog}", channel.id),
                // What looks like a backtrack is part of the name here.
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
                // Spaces as %20: servers do not read '+' as one here (push-stream.md, section
                // 7.1).
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

    pub(super) fn headers(&self, sent: &Sent) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        if self.mode() == Mode::Ev {
            headers.insert("Accept", HeaderValue::from_static("text/event-stream"));
            headers.insert("Cache-Control", HeaderValue::from_static("no-cache"));
        }
        // What nchan chooses by on its one URL; the others look at neither.
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
            // An event id that no header can carry still goes as an argument.
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
