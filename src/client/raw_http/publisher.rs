//! A publisher of `bench`: one keep-alive connection, one message at a time.

use reqwest::Url;

use super::response::{Decoder, Head, Piece};
use super::socket::Socket;
use super::{Buffer, Target, broken, read, write};
use crate::client::error::shown;
use crate::client::{Error, page};

/// An open connection to publish over.
#[derive(Debug)]
pub struct Publisher {
    target: Target,
    socket: Option<Socket>,
}

impl Publisher {
    /// A publisher that connects with its first message.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            socket: None,
        }
    }

    /// Posts `text` to `url` and waits for the answer.
    ///
    /// # Errors
    /// Any [`Error`]; it is not sent again.
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
        let (head, has_body) = answer(&mut socket, url, buffer).await?;
        // nchan tells with 201 and 202 whether anybody follows.
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

async fn answer(socket: &mut Socket, url: &Url, buffer: &Buffer) -> Result<(Head, bool), Error> {
    let (mut decoder, mut head, mut has_body, mut ended, mut wrong) =
        (Decoder::default(), None, false, false, None);
    while !ended {
        let take = |mut bytes: &[u8]| loop {
            match decoder.next(&mut bytes) {
                Ok(Piece::More) => break,
                Ok(Piece::Head(found)) if found.status >= 200 => head = Some(found),
                Ok(Piece::Head(_)) => {}
                Ok(Piece::Data(_)) => has_body = true,
                Ok(Piece::End) => {
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
        reason: "closed without an answer".to_owned(),
    })?;
    Ok((head, has_body))
}
