//! Long-polling and polling: one request, one answer, read whole.
//!
//! | status | meaning |
//! |---|---|
//! | 200 | messages, one JSON object per line or one right after the other |
//! | 304 | nothing new until the server's time-out, or nothing there (polling) |
//! | 408, 410 | the same, and the end of the channel, of nchan: [`super::subscription`] takes them |

use reqwest::{Response, StatusCode, Url};

use super::dialect::{MessageId, Multipart};
use super::error::shown;
use super::message::Gap;
use super::parse::Splitter;
use super::{Error, Message, http, page};
use crate::protocol::MISSED;

/// An answer that has been read.
pub struct PollResponse {
    /// Its whole messages.
    pub messages: Vec<Message>,
    /// The header that goes back as `If-Modified-Since`.
    pub last_modified: Option<String>,
    /// The header that goes back as `If-None-Match`.
    pub etag: Option<String>,
    /// True if the body ended within a message, so that the headers tell of more than there is.
    pub is_cut: bool,
    /// Messages that the server could not give us any more.
    pub gap: Option<Gap>,
}

impl PollResponse {
    /// Reads it; with `bare` channels it is that of NHPM or nchan, whose body is the message.
    /// It has at most `limit` bytes.
    pub(super) async fn read(
        response: Response,
        url: &Url,
        bare: Option<&[String]>,
        limit: usize,
    ) -> Result<Self, Error> {
        let own = |name| http::header(&response, name).map(str::to_owned);
        let last_modified = own("Last-Modified");
        let etag = own("Etag");
        let gap = http::header(&response, MISSED).and_then(Gap::from_header);
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Self {
                messages: Vec::new(),
                last_modified,
                etag,
                is_cut: false,
                gap,
            });
        }
        let is_framed = http::is_framed(&response);
        let kind = own("Content-Type");
        let is_html = http::header(&response, "Content-Type").is_some_and(page::is_html);
        let body = http::body_up_to(limit, response, url, None).await?;
        // A message of nchan has the type of its publisher.
        let is_page = match bare {
            Some(_) => page::is_document(&body),
            None => page::beginning(&body, true) == page::Beginning::Page,
        };
        if is_html && is_page {
            return Err(page::error(url, "--sub-path"));
        }
        if let Some(channels) = bare {
            let id = last_modified
                .as_deref()
                .zip(etag.as_deref())
                .and_then(|(time, tags)| MessageId::of_headers(time, tags));
            let id = id.or_else(|| etag.as_deref().and_then(MessageId::parse));
            if last_modified.is_none() && etag.is_none() {
                // The next request could only get the same answer.
                let reason =
                    "it has neither Last-Modified nor Etag (something else is there? see --url, \
                     --dialect and --sub-path)"
                        .to_owned();
                return Err(Error::Protocol {
                    url: shown(url),
                    reason,
                });
            }
            let message = |id: Option<&MessageId>, text: &[u8]| {
                id.map_or_else(|| Message::raw(text), |id| id.message(text, channels))
            };
            let Some(mut multipart) = kind.as_deref().and_then(Multipart::new) else {
                return Ok(Self {
                    messages: vec![message(id.as_ref(), &body)],
                    last_modified,
                    etag,
                    is_cut: false,
                    gap,
                });
            };
            // Several messages; the headers are those of the last one.
            let parts = multipart.push(&body);
            let last = parts.len().saturating_sub(1);
            let only = (channels.len() == 1).then(|| channels[0].clone());
            let inner = |text: &[u8]| Message {
                channel: only.clone(),
                ..Message::raw(text)
            };
            let messages = parts
                .iter()
                .enumerate()
                .map(|(at, (_, text))| {
                    if at == last {
                        message(id.as_ref(), text)
                    } else {
                        inner(text)
                    }
                })
                .collect();
            return Ok(Self {
                messages,
                last_modified,
                etag,
                is_cut: false,
                gap,
            });
        }
        let mut splitter = Splitter::default();
        let mut messages = splitter.push(&body);
        let rest = splitter.finish(is_framed);
        messages.extend(rest.messages);
        Ok(Self {
            messages,
            last_modified,
            etag,
            is_cut: rest.is_cut,
            gap,
        })
    }
}
