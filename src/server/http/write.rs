//! What a connection writes while it serves requests: responses, as far as the socket takes them,
//! within their time.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::task::yield_now;

use super::connection::{Connection, Disconnected, MAX_UNWRITTEN_BYTES, Requests, Served};
use super::log_entry::Entry;
use crate::server::broker::Incident;
use crate::server::response::{self, Response, ResponseBody};

impl Requests<'_> {
    /// Sends an answer, and ends the connection if it is the last one.
    pub(super) async fn answer(
        &mut self,
        response: Response,
        connection: response::ResponseContext,
        log: Option<Box<Entry>>,
    ) -> Result<Option<Served>, Disconnected> {
        let connection = self.begin_answer(&response, connection, log);
        let goes_on = response.write(connection, &mut self.out);
        // Its connection may linger.
        drop(response);
        if goes_on {
            Ok(None)
        } else {
            self.close().await
        }
    }

    /// What holds of the connection when this answer is sent, which is logged.
    pub(super) fn begin_answer(
        &mut self,
        response: &Response,
        connection: response::ResponseContext,
        mut log: Option<Box<Entry>>,
    ) -> response::ResponseContext {
        self.held = 0;
        // The end may have begun while the request came in, or waited.
        let connection = response::ResponseContext {
            keep_alive: connection.keep_alive && self.connection.goes_on(),
            ..connection
        };
        if let Some(log) = &mut log {
            let mut head = Vec::new();
            let (_, framing) = response.write_head(connection, &mut head);
            let has_body = !connection.is_head && !response.bodiless;
            log.add_received(self.received);
            log.answered(
                &head,
                if has_body {
                    response.body.sent_bytes(framing)
                } else {
                    0
                },
            );
        }
        connection
    }

    /// Sends an answer that somebody else holds, and counts, part by part, so that others of the
    /// shard come between; whether the connection can serve another request.
    pub(super) async fn send_in_parts(
        &mut self,
        response: &Response,
        connection: response::ResponseContext,
    ) -> Result<bool, Disconnected> {
        let (goes_on, framing) = response.write_head(connection, &mut self.out);
        match &response.body {
            _ if connection.is_head || response.bodiless => {}
            ResponseBody::Sized(body) => self.send_parts(body).await?,
            ResponseBody::Pieces(pieces) => {
                for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                    framing.begin(piece.len(), &mut self.out);
                    self.send_parts(piece).await?;
                    framing.end(&mut self.out);
                }
                framing.last(&mut self.out);
            }
        }
        Ok(goes_on)
    }

    async fn send_parts(&mut self, mut bytes: &[u8]) -> Result<(), Disconnected> {
        loop {
            let room = MAX_UNWRITTEN_BYTES.saturating_sub(self.out.len());
            let (part, rest) = bytes.split_at(room.min(bytes.len()));
            self.out.extend_from_slice(part);
            if rest.is_empty() {
                return Ok(());
            }
            bytes = rest;
            self.flush().await?;
            yield_now().await;
        }
    }

    /// Writes what there is and ends the connection.
    pub(super) async fn close<T>(&mut self) -> Result<T, Disconnected> {
        self.flush().await?;
        self.linger().await;
        Err(Disconnected)
    }

    /// Writes all responses.
    pub(super) async fn flush(&mut self) -> Result<(), Disconnected> {
        let mut written = 0;
        while written < self.out.len() {
            match self.connection.outlet.try_write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => {
                    self.connection.record_failure(&error);
                    return Err(Disconnected);
                }
            }
        }
        if self.out.capacity() > MAX_UNWRITTEN_BYTES {
            self.out = Vec::new();
        }
        self.out.clear();
        Ok(())
    }

    async fn writable(&mut self) -> Result<(), Disconnected> {
        self.cover(self.out.capacity()).map_err(|_| Disconnected)?;
        let connection = &*self.connection;
        let Connection {
            shard,
            key,
            outlet,
            site,
            ..
        } = connection;
        shard.set_deadline(*key, Some(site.limits.send_timeout));
        let written = poll_fn(|cx| {
            if shard
                .interruption(*key, false, || outlet.has_room(), cx)
                .is_some()
            {
                connection.record_end(Incident::SendTimeout);
                return Poll::Ready(Err(Disconnected));
            }
            outlet.poll_write_ready(cx).map_err(|_| Disconnected)
        });
        let written = written.await;
        shard.set_deadline(*key, None);
        written
    }
}
