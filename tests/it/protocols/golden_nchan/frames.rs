//! Websocket frames of a recorded case.

use super::matching::blob;
use super::replay::text;
use crate::support::frame_with;
use serde_json::Value;
use std::io::Read;

pub(super) fn client_frame(frame: &Value) -> Vec<u8> {
    let bit = |name: &str| u8::from(frame[name] == 1 || frame[name] == true);
    let payload = match frame["close_code"].as_u64() {
        Some(code) => [
            &u16::try_from(code).unwrap_or(0).to_be_bytes()[..],
            text(&frame["reason"]).as_bytes(),
        ]
        .concat(),
        None => blob(&frame["payload"]),
    };
    let opcode = u8::try_from(frame["opcode"].as_u64().unwrap_or(0)).unwrap_or(0);
    frame_with(
        bit("fin") << 7 | bit("rsv1") << 6 | opcode,
        &payload,
        (bit("masked") == 1).then_some([1, 2, 3, 4]),
    )
}

pub(super) fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    // It is one block of an unfinished stream.
    let _ = flate2::read::DeflateDecoder::new(&input[..]).read_to_end(&mut out);
    out
}
