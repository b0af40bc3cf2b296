//! Parsing of qualities, conditions for proxies, and interoperability with gzip decoders.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::*;
use crate::server::exchange::response::{HeaderList, Status, header_list};

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(bytes)
        .read_to_end(&mut plain)
        .expect("a complete member");
    plain
}

#[test]
fn qualities_are_parsed_as_in_nginx() {
    for (header, expected) in [
        ("gzip", true),
        ("deflate, GZIP", true),
        ("gzip;q=0", false),
        ("gzip;q=0.000", false),
        ("gzip; q=0.001, br", true),
        ("gzip;q=1.000", true),
        ("gzip;q=1.001", false),
        ("gzip;q=2", false),
        ("gzip;q=", false),
        ("gzip;q=0.1234", false),
        ("gzip;x=1", false),
        ("x-gzip", false),
        ("*", false),
        ("", false),
    ] {
        assert_eq!(accepts_gzip(header.as_bytes()), expected, "{header}");
    }
}

#[test]
fn blocks_are_independent_and_their_checksums_combine() {
    let texts: [&[u8]; 4] = [b"one message", &[b'x'; 200_000], b"", b"one message"];
    let mut stream = HEADER.to_vec();
    let sum = texts
        .iter()
        .filter(|text| !text.is_empty())
        .fold(Checksum::default(), |sum, text| {
            sum.concat(block(6, text, &mut stream))
        });
    end(sum, &mut stream);
    assert_eq!(unzipped(&stream), texts.concat());
    // Any block can be the first one of a follower.
    let mut late = HEADER.to_vec();
    let sum = block(1, texts[3], &mut late);
    end(sum, &mut late);
    assert_eq!(unzipped(&late), texts[3]);
}

#[test]
fn incompressible_bytes_are_not_truncated() {
    // Pseudo-random bytes: xorshift.
    let mut state = 88_172_645_463_325_252_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(300_000)
    .collect();
    let mut deflating = Deflating::new(1);
    let mut out = HEADER.to_vec();
    noise
        .chunks(65_536)
        .for_each(|piece| deflating.push(piece, &mut out));
    deflating.finish(&mut out);
    assert!(unzipped(&out) == noise);
    let mut out = HEADER.to_vec();
    let sum = block(9, &noise, &mut out);
    end(sum, &mut out);
    assert!(unzipped(&out) == noise);
}

fn compression(proxied: &[ProxiedCondition], client: ClientTraits) -> Compression {
    let settings = GzipSettings {
        proxied: proxied.to_vec(),
        vary: true,
        ..GzipSettings::default()
    };
    Compression {
        settings: Some(Arc::new(settings)),
        client,
    }
}

#[test]
fn gzip_proxied_decides_about_requests_of_proxies() {
    use ProxiedCondition::{Any, Auth, CacheControl, Expired, NoEtag, NoLastModified};
    let proxy = ClientTraits {
        accepts: true,
        is_proxied: true,
        is_authorized: false,
    };
    let past = &header_list!(
        "Expires": "Thu, 01 Jan 1970 00:00:01 GMT", "Cache-Control": "no-cache"
    );
    let future = &header_list!("Expires": "Thu, 01 Jan 2099 00:00:01 GMT");
    let none = &HeaderList::default();
    let etag = &header_list!("ETag": "x");
    for (proxied, headers, has_last_modified, expected) in [
        (&[][..], none, false, false),
        (&[Any], past, true, true),
        (&[Expired], past, false, true),
        (&[Expired], future, false, false),
        (&[CacheControl("no-cache")], past, false, false),
        (
            &[CacheControl("no-cache")],
            &header_list!("Cache-Control": "No-Cache"),
            false,
            true,
        ),
        (
            &[CacheControl("private")],
            &header_list!("Cache-Control": "no-cache"),
            false,
            false,
        ),
        (&[NoLastModified], none, true, false),
        (&[NoLastModified], etag, false, true),
        (&[NoEtag], etag, false, false),
        (&[NoEtag], none, true, true),
        (&[Auth], past, false, false),
    ] {
        let response = ResponseFacts {
            status: 200,
            content_type: b"text/html",
            length: None,
            has_last_modified,
            headers,
        };
        let decision = compression(proxied, proxy).decide(&response);
        assert_eq!(
            decision,
            CompressionDecision {
                level: expected.then_some(1),
                varies: true
            },
            "{proxied:?} {headers:?}"
        );
        let authorized = compression(
            &[Auth],
            ClientTraits {
                is_authorized: true,
                ..proxy
            },
        );
        assert_eq!(authorized.decide(&response).level, Some(1), "{headers:?}");
    }
}

#[test]
fn short_responses_and_other_types_and_statuses_are_not_compressed() {
    let compression = compression(
        &[],
        ClientTraits {
            accepts: true,
            ..ClientTraits::default()
        },
    );
    let response = |status, content_type, length| {
        Response::sized(
            Status(status),
            content_type,
            HeaderList::default(),
            vec![b'a'; length],
        )
    };
    for (status, content_type, length, expected) in [
        (200, "text/html", 20, true),
        (403, "text/html", 20, true),
        (404, "text/html", 20, true),
        (200, "text/html", 19, false),
        (200, "text/plain", 2000, false),
        (400, "text/html", 2000, false),
        (206, "text/html", 2000, false),
    ] {
        let sent = compression.apply(response(status, content_type, length), false);
        let is_compressed = sent.head.headers.get("content-encoding") == Some(b"gzip");
        assert_eq!(is_compressed, expected, "{status} {content_type} {length}");
        if let (ResponseBody::Pieces(pieces), true) = (&sent.body, is_compressed) {
            assert_eq!(unzipped(&pieces.concat()), vec![b'a'; length]);
        }
    }
}
