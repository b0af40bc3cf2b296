//! A publisher of `bench`: one keep-alive connection with one message at a time.

use reqwest::Url;

use super::response::{ResponseDecoder, ResponseHead, ResponsePart};
use super::shared_buffer::{Buffer, broken, read, write};
use super::socket::Socket;
use super::target::Target;
use crate::client::error::Error;
use crate::client::transport::page;
use crate::client::url::shown;

/// A keep-alive connection for publishing.
#[derive(Debug)]
pub struct RawPublisher {
    target: Target,
    socket: Option<Socket>,
}

impl RawPublisher {
    /// Creates a publisher, which connects with its first message.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            socket: None,
        }
    }

    /// Posts `text` to `url` and waits for the response.
    ///
    /// # Errors
    /// Any [`Error`]; the message is not sent again.
    pub async fn post(&mut self, url: &Url, text: &[u8], buffer: &Buffer) -> Result<(), Error> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.target.connect().await?,
        };
        let mut request = self
            .target
            .request("POST", url, &format!("Content-Length: {}\r\n", text.len()))
            .into_bytes();
        request.extend_from_slice(text);
        write(&mut socket, &request)
            .await
            .map_err(|error| broken(url, &error))?;
        let (head, has_body) = read_response(&mut socket, url, buffer).await?;
        // nchan returns 201 or 202 depending on whether the channel has subscribers.
        if !(200..300).contains(&head.status) {
            return Err(Error::of_status(
                url,
                head.status,
                head.explain,
                head.location.as_deref(),
            ));
        }
        if head.is_html && has_body {
            return Err(page::error(url, "--pub-path"));
        }
        if !head.closes {
            self.socket = Some(socket);
        }
        Ok(())
    }
}

async fn read_response(
    socket: &mut Socket,
    url: &Url,
    buffer: &Buffer,
) -> Result<(ResponseHead, bool), Error> {
    let mut decoder = ResponseDecoder::default();
    let mut head = None;
    let mut has_body = false;
    let mut ended = false;
    let mut wrong = None;
    while !ended {
        let take = |mut bytes: &[u8]| loop {
            match decoder.next(&mut bytes) {
                Ok(ResponsePart::More) => break,
                Ok(ResponsePart::ResponseHead(found)) if found.status >= 200 => head = Some(found),
                Ok(ResponsePart::ResponseHead(_)) => {}
                Ok(ResponsePart::Data(_)) => has_body = true,
                Ok(ResponsePart::End) => {
                    ended = true;
                    break;
                }
                Err(reason) => {
                    wrong = Some(reason);
                    break;
                }
            }
        };
        let length = read(socket, buffer, take)
            .await
            .map_err(|error| broken(url, &error))?;
        if let Some(reason) = wrong {
            return Err(Error::Protocol {
                url: shown(url),
                reason,
            });
        }
        if length == 0 {
            break;
        }
    }
    let head = head.ok_or_else(|| Error::Broken {
        url: shown(url),
        reason: "closed without a response".to_owned(),
    })?;
    Ok((head, has_body))
}
