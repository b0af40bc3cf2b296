//! The requests of a client: all messages, the newest few, new ones only, or those after its
//! cursor.

use super::{Client, Mode, Place};
use crate::soak::ledger::Ledger;

impl Client {
    /// Path and headers, with the cursor in one of its possible forms.
    pub(super) fn request(&mut self, ledger: &Ledger) -> (String, String) {
        let ids: Vec<String> = self
            .channels
            .iter()
            .map(|channel| format!("s{channel}"))
            .collect();
        let mut path = format!("/{}/{}", self.mode.location(), ids.join("/"));
        let mut headers = String::new();
        let place = self.place.clone();
        let event = place
            .as_ref()
            .and_then(|place| place.event.clone())
            .filter(|_| self.random.u8(0..4) == 0);
        let event =
            event.filter(|(_, channel, number)| ledger.event_id_leads_on(*channel, *number));
        if let Some((id, ..)) = event {
            headers = format!("Last-Event-ID: {id}\r\n");
        } else if let Some(Place { time, tag, .. }) = place {
            if self.random.bool() {
                headers = format!("If-Modified-Since: {time}\r\nIf-None-Match: {tag}\r\n");
            } else {
                path = format!(
                    "{path}?time={}&tag={}",
                    time.replace(' ', "%20"),
                    tag.trim_start_matches("W/")
                );
            }
        } else {
            match self.random.u8(0..4) {
                // New messages or the newest few: any message may be the first.
                0 if !self.finishing => self.last.fill(None),
                1 if !self.finishing => {
                    self.last.fill(None);
                    path = format!("/{}/{}.b3", self.mode.location(), ids.join(".b3/"));
                }
                _ => {
                    self.last.fill(Some(0));
                    headers = "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                               If-None-Match: 0\r\n"
                        .to_owned();
                }
            }
        }
        if self.mode == Mode::WebSocket {
            headers.push_str(
                "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            );
            headers.push_str("Sec-WebSocket-Version: 13\r\n");
        }
        (path, headers)
    }
}
