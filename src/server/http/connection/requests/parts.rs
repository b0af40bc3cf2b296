//! Long responses, which are sent part by part: lists of channels and static files.

use bytes::Bytes;
use tokio::task::yield_now;

use super::super::Disconnected;
use super::{Requests, ServeOutcome, writing};
use crate::server::exchange::compression::{self, Deflating};
use crate::server::exchange::response::{
    Framing, Response, ResponseBody, ResponseContext, ResponseHead,
};
use crate::server::http::h1::response::{self, Announced};
use crate::server::http::lists;
use crate::server::http::log_entry::LogEntry;
use crate::server::http::route::ResponsePlan;
use crate::server::http::static_files::{FileBody, FilePieces, IncompleteFile};
use crate::server::http::writer::MAX_UNWRITTEN_BYTES;
use crate::server::push_stream::statistics::Listing;

/// Sends a long response to the current request.
pub(super) struct PartSender<'r, 'a> {
    requests: &'r mut Requests<'a>,
}

impl<'r, 'a> PartSender<'r, 'a> {
    pub(super) fn new(requests: &'r mut Requests<'a>) -> Self {
        Self { requests }
    }

    /// Sends a list of channels. `keep_alive` is whether the body of the request was discarded.
    pub(super) async fn send_list(
        mut self,
        listing: Listing,
        keep_alive: bool,
        context: ResponsePlan,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        self.requests.flush().await?;
        self.requests.reserve(0).map_err(|_| Disconnected)?;
        let max = self.requests.connection.snapshot.limits.max_waiting_lists;
        let added = context.added.for_status(Listing::STATUS).clone();
        let list = lists::request(listing, added, context.compression.clone(), max).await;
        let list = match list {
            Ok(list) => list,
            Err(response) if keep_alive => return self.requests.finish(response, context).await,
            Err(response) => return self.requests.finish(response.closing(), context).await,
        };
        let connection = ResponseContext {
            keep_alive: context.connection.keep_alive && keep_alive,
            ..context.connection
        };
        let keeps_alive = self
            .send_shared(list.response(), connection, context.log)
            .await?;
        // Not held while the connection lingers.
        drop(list);
        self.requests.end_response(keeps_alive).await
    }

    /// Sends a shared response part by part, so that other connections of the shard have their
    /// turns; returns whether the connection can serve another request.
    async fn send_shared(
        &mut self,
        response: &Response,
        connection: ResponseContext,
        log: Option<Box<LogEntry>>,
    ) -> Result<bool, Disconnected> {
        let connection = writing::begin_response(self.requests, connection);
        let start = self.requests.writer.len();
        let (keeps_alive, framing) =
            response::write_head_of(response, connection, self.requests.writer.out());
        let head = start..self.requests.writer.len();
        let body_bytes = if connection.is_head {
            0
        } else {
            response::body_bytes(&response.body, framing)
        };
        writing::log_response(self.requests, log, response.head.status, head, body_bytes);
        match &response.body {
            _ if connection.is_head => {}
            ResponseBody::None => {}
            ResponseBody::Sized(body) => self.send_parts(body).await?,
            ResponseBody::Buffer(body) => self.send_parts(body).await?,
            ResponseBody::Pieces(pieces) => {
                for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                    framing.begin(piece.len(), self.requests.writer.out());
                    self.send_parts(piece).await?;
                    framing.end(self.requests.writer.out());
                }
                framing.last(self.requests.writer.out());
            }
        }
        Ok(keeps_alive)
    }

    async fn send_parts(&mut self, mut bytes: &[u8]) -> Result<(), Disconnected> {
        loop {
            let room = MAX_UNWRITTEN_BYTES.saturating_sub(self.requests.writer.len());
            let (part, rest) = bytes.split_at(room.min(bytes.len()));
            self.requests.writer.out().extend_from_slice(part);
            if rest.is_empty() {
                return Ok(());
            }
            bytes = rest;
            self.requests.flush().await?;
            yield_now().await;
        }
    }

    /// Sends a file piece by piece.
    pub(super) async fn send_file(
        mut self,
        mut head: ResponseHead,
        file: FileBody,
        context: ResponsePlan,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let ResponsePlan {
            connection,
            added,
            mut log,
            ..
        } = context;
        let status = head.status;
        head.headers.extend(added.for_status(status));
        let framing = file
            .level()
            .map_or(Framing::Raw, |_| Framing::of(connection.minor_version));
        // A compressed response has no length: in HTTP/1.0 it ends with the connection.
        let keep_alive = connection.keep_alive
            && !head.close
            && (file.level().is_none() || framing == Framing::Chunked);
        let start = self.requests.writer.len();
        let announced = Announced {
            length: file.level().is_none().then_some(file.length()),
            is_chunked: framing == Framing::Chunked && !connection.is_head,
            keeps_alive: keep_alive,
        };
        response::write_head(&head, &announced, self.requests.writer.out());
        let written_head = log
            .as_ref()
            .map(|_| self.requests.writer.since(start).to_vec());
        let sent = match file.level() {
            _ if connection.is_head => 0,
            None => self.send_plain(file).await?,
            Some(level) => self.send_compressed(file, level, framing).await?,
        };
        if let (Some(log), Some(head)) = (&mut log, written_head) {
            log.add_received(self.requests.received);
            log.record_response(status, &head, head.len() as u64 + sent);
        }
        self.requests.end_response(keep_alive).await
    }

    /// Sends an uncompressed body; returns its length.
    async fn send_plain(&mut self, file: FileBody) -> Result<u64, Disconnected> {
        let length = file.length();
        let mut pieces = file.into_pieces();
        while let Some(piece) = self.next_piece(&mut pieces).await? {
            self.requests.writer.out().extend_from_slice(&piece);
            self.requests.flush().await?;
        }
        Ok(length)
    }

    /// Sends a body compressed with gzip; returns its compressed length.
    async fn send_compressed(
        &mut self,
        file: FileBody,
        level: u32,
        framing: Framing,
    ) -> Result<u64, Disconnected> {
        self.requests.held += compression::STATE_BYTES;
        self.requests.reserve(0).map_err(|_| Disconnected)?;
        let mut pieces = file.into_pieces();
        let mut deflating = Deflating::new(level);
        let mut packed = compression::HEADER.to_vec();
        let mut sent = 0;
        while let Some(piece) = self.next_piece(&mut pieces).await? {
            deflating.push(&piece, &mut packed);
            sent += packed.len() as u64;
            framing.piece(&packed, self.requests.writer.out());
            packed.clear();
            self.requests.flush().await?;
        }
        deflating.finish(&mut packed);
        framing.piece(&packed, self.requests.writer.out());
        framing.last(self.requests.writer.out());
        self.requests.held -= compression::STATE_BYTES;
        Ok(sent + packed.len() as u64)
    }

    /// Reads the next piece of a file; `None` at the end.
    async fn next_piece(&mut self, pieces: &mut FilePieces) -> Result<Option<Bytes>, Disconnected> {
        match pieces.next().await {
            Ok(piece) => Ok(piece),
            // It cannot be completed: the connection is closed early, so that the client notices.
            Err(IncompleteFile) => {
                self.requests.flush().await?;
                Err(Disconnected)
            }
        }
    }
}
