//! Paths of requests, channels of paths, and cursors. Each is compared with an independent
//! implementation of the reference.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use pushctl::message::{http_date, parse_http_date};
use pushctl::server::broker::Cursor;
use pushctl::server::config::{Expression, LocationSettings, Variables, normalise};
use pushctl::server::config::expression::percent::percent_decode;
use pushctl::server::push_stream::{channels_path, cursor};

/// A request in which all headers and arguments have the same value.
struct All<'a>(&'a [u8]);

impl Variables for All<'_> {
    fn argument(&self, _: &[u8]) -> Option<&[u8]> {
        Some(self.0)
    }
    fn header(&self, _: &str) -> Option<&[u8]> {
        Some(self.0)
    }
    fn capture(&self, _: usize) -> Option<&[u8]> {
        None
    }
    fn named_capture(&self, _: &str) -> Option<&[u8]> {
        None
    }
    fn builtin(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
}

fn encoded(path: &[u8]) -> Vec<u8> {
    path.iter()
        .flat_map(|byte| {
            if *byte == b'/' {
                vec![b'/']
            } else {
                format!("%{byte:02x}").into_bytes()
            }
        })
        .collect()
}

fuzz_target!(|data: &[u8]| {
    if let Ok(path) = normalise(data) {
        assert!(path.first() == Some(&b'/') && path.len() <= data.len() && !path.contains(&0));
        assert!(
            !path
                .split(|byte| *byte == b'/')
                .any(|segment| segment == b"." || segment == b".."),
            "{path:?}"
        );
        assert!(!path.windows(2).any(|pair| pair == b"//"), "{path:?}");
        assert_eq!(
            normalise(&encoded(&path)).expect("a normal path").as_ref(),
            path.as_ref(),
            "normal paths stay as they are"
        );
    }

    let channels = channels_path::parse(data);
    let bytes: usize = channels.iter().map(|channel| channel.id.len()).sum();
    assert!(bytes + channels.len().saturating_sub(1) <= data.len());
    for channel in &channels {
        assert!(!channel.id.contains(&b'/') && channel.backtrack != Some(0));
    }
    // Ids survive formatting and parsing, with any backlog.
    let ids: Vec<_> = channels
        .iter()
        .map(|channel| encoded(&channel.id))
        .collect();
    if !ids.is_empty()
        && !data.contains(&b'?')
        && !channels.iter().any(|channel| channel.id.contains(&b'?'))
    {
        let again = channels_path::parse(&[ids.join(&b".b7/"[..]).as_slice(), b".b9"].concat());
        assert!(
            again
                .iter()
                .map(|channel| &channel.id)
                .eq(channels.iter().map(|channel| &channel.id))
        );
        assert_eq!(again.last().and_then(|channel| channel.backtrack), Some(9));
    }

    let mut settings = LocationSettings::default();
    let headers = cursor::of_request(&settings, &All(data));
    settings.last_received_message_time = Some(Expression::argument("time"));
    settings.last_received_message_tag = Some(Expression::argument("tag"));
    settings.last_event_id = Some(Expression::argument("eventid"));
    let arguments = cursor::of_request(&settings, &All(data));
    if !data.contains(&b'%') {
        let parts = |cursor: &Cursor| (cursor.time, cursor.tag, cursor.event_id.clone());
        assert_eq!(
            parts(&arguments),
            parts(&headers),
            "without escapes arguments mean what headers mean"
        );
    }
    assert_eq!(headers.event_id.as_deref().unwrap_or_default(), data);
    if let Some(tag) = headers.tag {
        let digits = data.strip_prefix(b"W/").unwrap_or(data);
        assert_eq!(
            tag.to_string().as_bytes(),
            &digits[digits
                .iter()
                .position(|digit| *digit != b'0')
                .unwrap_or(digits.len() - 1)..]
        );
    }
    assert_eq!(headers.time, parse_http_date(data));
    if let Some(time) = headers.time {
        assert_eq!(
            parse_http_date(http_date(time).as_bytes()),
            Some(time),
            "{}",
            String::from_utf8_lossy(data)
        );
    }
    if let Some(eight) = data.first_chunk::<8>() {
        let time = u64::from_le_bytes(*eight);
        assert_eq!(
            parse_http_date(http_date(time).as_bytes()),
            Some(time.min(253_402_300_799))
        );
    }
    assert!(percent_decode(data).len() <= data.len());
    assert_eq!(percent_decode(&encoded(data)).as_ref(), data);
});
