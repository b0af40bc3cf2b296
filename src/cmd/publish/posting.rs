//! Builds the request for each message of the input: its URL, headers and expanded text.

use std::sync::Arc;

use reqwest::Url;

use super::args::Args;
use super::input::{InputMessage, InputSource};
use super::template::{PayloadTemplate, Random};
use crate::client::publish::{Posting, Publication};
use crate::client::{Endpoints, Error};

/// Settings and templates of the command line that apply to each message.
pub(super) struct PostingBuilder<'a> {
    args: &'a Args,
    endpoints: &'a Endpoints,
    /// URL of messages without their own channel.
    default: Option<Arc<Url>>,
    channel: Option<PayloadTemplate>,
    text: Option<PayloadTemplate>,
    event_id: Option<PayloadTemplate>,
    random: Random,
}

impl<'a> PostingBuilder<'a> {
    /// Parses the templates of the command line.
    pub(super) fn new(
        args: &'a Args,
        source: &InputSource,
        endpoints: &'a Endpoints,
        default: Option<Url>,
    ) -> anyhow::Result<Self> {
        let template = |text: &Option<String>| {
            text.as_deref()
                .filter(|_| args.many.template)
                .map(|text| PayloadTemplate::new(text.as_bytes()))
                .transpose()
        };
        let text = match source {
            InputSource::Text(text) if args.many.template => Some(PayloadTemplate::new(text)?),
            _ => None,
        };
        Ok(Self {
            args,
            endpoints,
            default: default.map(Arc::new),
            channel: template(&args.channels())?,
            text,
            event_id: template(&args.event_id)?,
            random: Random::new(),
        })
    }

    /// The request for a message.
    ///
    /// # Errors
    /// [`Error::Request`] if a template of the line is invalid, or it has no channel.
    pub(super) fn build(&mut self, message: InputMessage) -> Result<Posting, Error> {
        let number = message.number;
        let read = |text: &[u8]| {
            PayloadTemplate::new(text)
                .map_err(|error| Error::Request(format!("cannot publish line {number}: {error}")))
        };
        let mut expand = |template: &PayloadTemplate| template.expand(number, &mut self.random);
        let mut words =
            |template: &PayloadTemplate| String::from_utf8_lossy(&expand(template)).into_owned();
        let url = match (message.channel, &self.channel, &self.default) {
            (Some(channel), ..) if self.args.many.template => {
                Arc::new(self.endpoints.publish(&words(&read(channel.as_bytes())?))?)
            }
            (Some(channel), ..) => Arc::new(self.endpoints.publish(&channel)?),
            (None, Some(template), _) => Arc::new(self.endpoints.publish(&words(template))?),
            (None, None, Some(url)) => Arc::clone(url),
            (None, None, None) => {
                let reason = "it has no field 'channel', and the command line has no CHANNEL";
                return Err(Error::Request(format!(
                    "cannot publish line {number}: {reason}"
                )));
            }
        };
        let event_id = message.event_id.or_else(|| match &self.event_id {
            Some(template) => Some(words(template)),
            None => self.args.event_id.clone(),
        });
        let text = match &self.text {
            Some(template) => expand(template),
            None if self.args.many.template => expand(&read(&message.text)?),
            None => message.text,
        };
        let event_type = message.event_type.or_else(|| self.args.event_type.clone());
        let publication = Publication {
            text,
            event_id,
            event_type,
            content_type: self.args.content_type.clone(),
        };
        Ok(Posting {
            number,
            url,
            publication,
        })
    }
}
