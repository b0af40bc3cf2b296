//! Settings of an nginx_http_push_module (NHPM) location, resolved through all levels
//! (nhpm-nchan.md, section 1.1).

use std::time::Duration;

use bytes::Bytes;

use crate::server::config::Expression;

/// `push_subscriber_concurrency`: policy for several long-polling subscribers of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// All of them get the message.
    #[default]
    Broadcast,
    /// The first one stays; later ones are rejected.
    First,
    /// The last one stays; a new one ends the others.
    Last,
}

/// Settings of an NHPM publisher or subscriber location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NhpmSettings {
    /// `$push_channel_id`
    pub channel_id: Expression,
    /// `push_channel_group`: a literal text.
    pub channel_group: Bytes,
    /// `push_store_messages`: whether messages are buffered at all.
    pub store_messages: bool,
    /// `push_max_message_buffer_length`
    pub max_message_buffer_length: u64,
    /// `push_min_message_buffer_length`
    pub min_message_buffer_length: u64,
    /// `push_delete_oldest_received_message`
    pub delete_oldest_received_message: bool,
    /// `push_min_message_recipients`
    pub min_message_recipients: u64,
    /// `push_message_timeout`; `None` = messages do not expire.
    pub message_timeout: Option<Duration>,
    /// `push_subscriber_timeout`; `None` = none.
    pub subscriber_timeout: Option<Duration>,
    /// `push_channel_timeout`
    pub channel_timeout: Duration,
    /// `push_authorized_channels_only`
    pub authorized_channels_only: bool,
    /// `push_max_channel_id_length`
    pub max_channel_id_length: u64,
    /// `push_max_channel_subscribers`; `None` = unlimited.
    pub max_channel_subscribers: Option<u64>,
    /// `push_ignore_queue_on_no_cache`
    pub ignore_queue_on_no_cache: bool,
    /// `push_subscriber_concurrency`
    pub concurrency: Concurrency,
}

/// The module's defaults.
impl Default for NhpmSettings {
    fn default() -> Self {
        Self {
            channel_id: Expression::default(),
            channel_group: Bytes::new(),
            store_messages: true,
            max_message_buffer_length: 10,
            min_message_buffer_length: 1,
            delete_oldest_received_message: false,
            min_message_recipients: 0,
            message_timeout: Some(Duration::from_secs(3600)),
            subscriber_timeout: None,
            channel_timeout: Duration::from_secs(5),
            authorized_channels_only: false,
            max_channel_id_length: 1024,
            max_channel_subscribers: None,
            ignore_queue_on_no_cache: false,
            concurrency: Concurrency::Broadcast,
        }
    }
}
