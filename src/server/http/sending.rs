//! What is done with a request beyond one answer in memory: files, and requests that are routed a
//! second time.

use bytes::Bytes;
use futures_util::StreamExt;

use super::connection::{Connection, Disconnected, Requests, Served};
use super::decision::Again;
use super::files::Found;
use super::head::{self, BodyLength, Parsed};
use super::log_entry::Entry;
use super::route::Router;
use crate::server::compression::{self, Deflating};
use crate::server::config::web::AddedHeaders;
use crate::server::response::{self, Framing, Head, Response, Status};

/// Records an answer that is rendered already; nothing = the connection is closed without one.
pub(super) fn record_rendered(log: Option<&mut Box<Entry>>, bytes: &[u8]) {
    let Some(log) = log else { return };
    match memchr::memmem::find(bytes, b"\r\n\r\n") {
        Some(end) => log.answered(&bytes[..end + 4], (bytes.len() - end - 4) as u64),
        None => log.closed(),
    }
}

impl Requests<'_> {
    /// Routes a request again whose head was taken from the buffer already.
    pub(super) async fn route_again(
        &mut self,
        head: Bytes,
        length: BodyLength,
        again: Again,
    ) -> Result<Option<Served>, Disconnected> {
        let Connection {
            site,
            shard,
            key,
            outlet,
            peer,
            requests,
            ..
        } = &*self.connection;
        let router = Router {
            site,
            shard,
            key: *key,
            outlet,
            requests: *requests,
            again: &again,
            notes_polls: false,
        };
        let parsed =
            head::parse(
                &head,
                site.limits.max_header_bytes,
                peer,
                |request, _| match &again.redirected {
                    Some(path) => router.route(
                        &crate::server::request::Request {
                            path: path.as_slice().into(),
                            ..*request
                        },
                        length,
                    ),
                    None => router.route(request, length),
                },
            );
        let Parsed::Complete(_, _, mut routed) = parsed else {
            return Err(Disconnected);
        };
        if again.redirected.is_some()
            && matches!(routed.next, super::route::Next::File(ref job) if job.is_index())
        {
            // The index of an index: nginx gives up after ten.
            routed.next =
                super::route::Next::Respond(Response::error_page(Status::INTERNAL).closing());
        }
        let head = if routed.next.needs_head() {
            head
        } else {
            Bytes::new()
        };
        self.held = head.len();
        Box::pin(self.perform(routed, length, head)).await
    }

    /// Reads the body of a request that becomes a follower, then routes its head again, as one
    /// without a body.
    pub(super) async fn discard_and_route(
        &mut self,
        (head, length, again): (Bytes, BodyLength, Again),
        (max_body, expects): (u64, bool),
    ) -> Result<Option<Served>, Disconnected> {
        if let Err(response) = self.read_body(length, max_body, expects).await? {
            // Nobody looks at it any more while the answer is on its way.
            drop(head);
            self.held = 0;
            response.write(
                response::ResponseContext {
                    minor_version: 1,
                    keep_alive: false,
                    is_head: false,
                },
                &mut self.out,
            );
            return self.close().await;
        }
        self.flush().await?;
        self.route_again(head, BodyLength::None, again).await
    }

    /// Sends a file piece by piece.
    pub(super) async fn stream(
        &mut self,
        response: Response,
        found: Found,
        connection: response::ResponseContext,
        (added, mut log): (&AddedHeaders, Option<Box<Entry>>),
    ) -> Result<Option<Served>, Disconnected> {
        let Found {
            length,
            body,
            level,
        } = found;
        let status = response.status;
        let response = response.with_headers(added.for_status(status.0));
        let framing = level.map_or(Framing::Raw, |_| Framing::of(connection.minor_version));
        // Without a length only the end of the connection ends an HTTP/1.0 response.
        let keep_alive = connection.keep_alive
            && !response.close
            && (level.is_none() || framing == Framing::Chunked);
        let start = self.out.len();
        Head {
            status: response.status,
            content_type: response.content_type.as_deref(),
            content_length: level.is_none().then_some(length),
            last_modified: response.last_modified.as_deref(),
            chunked: framing == Framing::Chunked && !connection.is_head,
            keep_alive,
            headers: &response.headers,
        }
        .write(&mut self.out);
        let head = log.as_ref().map(|_| self.out[start..].to_vec());
        let sent = match level {
            _ if connection.is_head => 0,
            None => self.send_plain(length, body).await?,
            Some(level) => self.send_compressed((length, body), level, framing).await?,
        };
        if let (Some(log), Some(head)) = (&mut log, head) {
            log.add_received(self.received);
            log.answered(&head, sent);
        }
        if keep_alive {
            return Ok(None);
        }
        self.close().await
    }

    /// Sends a body as it is; returns its length.
    async fn send_plain(
        &mut self,
        length: u64,
        body: axum::body::Body,
    ) -> Result<u64, Disconnected> {
        let mut pieces = Pieces {
            body: body.into_data_stream(),
            left: length,
        };
        while let Some(piece) = pieces.next(self).await? {
            self.out.extend_from_slice(&piece);
            self.flush().await?;
        }
        Ok(length)
    }

    /// Sends a body in gzip; returns how long it became.
    async fn send_compressed(
        &mut self,
        (length, body): (u64, axum::body::Body),
        level: u32,
        framing: Framing,
    ) -> Result<u64, Disconnected> {
        self.held += compression::STATE_BYTES;
        self.cover(0).map_err(|_| Disconnected)?;
        let mut pieces = Pieces {
            body: body.into_data_stream(),
            left: length,
        };
        let (mut deflating, mut packed, mut sent) =
            (Deflating::new(level), compression::HEADER.to_vec(), 0);
        while let Some(piece) = pieces.next(self).await? {
            deflating.push(&piece, &mut packed);
            sent += packed.len() as u64;
            framing.piece(&packed, &mut self.out);
            packed.clear();
            self.flush().await?;
        }
        deflating.finish(&mut packed);
        framing.piece(&packed, &mut self.out);
        framing.last(&mut self.out);
        self.held -= compression::STATE_BYTES;
        Ok(sent + packed.len() as u64)
    }
}

/// A file that is being sent.
struct Pieces {
    body: axum::body::BodyDataStream,
    left: u64,
}

impl Pieces {
    /// The next piece; `None` at the end.
    async fn next(&mut self, requests: &mut Requests<'_>) -> Result<Option<Bytes>, Disconnected> {
        if self.left == 0 {
            return Ok(None);
        }
        // A file that became shorter cannot be completed: the client sees it by the missing end.
        let Some(Ok(piece)) = self.body.next().await else {
            requests.flush().await?;
            return Err(Disconnected);
        };
        let piece = piece.slice(
            ..piece
                .len()
                .min(usize::try_from(self.left).unwrap_or(usize::MAX)),
        );
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }
}
