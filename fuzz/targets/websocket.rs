//! Frames of websocket clients: the same events however they are cut, within the limit of messages.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use pushctl::server::endpoint::websocket_frame as frame;
use pushctl::server::endpoint::websocket_frame::{Opcode, Parsed};
use pushctl::server::push_stream::subscribe::websocket::inbound::{Inbound, InboundAction};
use pushctl_fuzz::cut;

const MAX_MESSAGE: usize = 300;

/// The events up to the first close, and the number of buffered bytes.
fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    as_module: bool,
) -> (Vec<InboundAction>, usize, usize) {
    let mut inbound = Inbound::new(as_module);
    let mut buffer = BytesMut::new();
    let mut events = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(event) = inbound.next(&mut buffer, MAX_MESSAGE) {
            let is_over = matches!(event, InboundAction::Close(_));
            events.push(event);
            if is_over {
                return (events, 0, 0);
            }
        }
        // Buffers grow by doubling.
        assert!(inbound.pending_bytes() <= 2 * MAX_MESSAGE);
        assert!(
            buffer.len() <= MAX_MESSAGE + 14,
            "an incomplete frame has no more than its limit"
        );
    }
    (events, buffer.len(), inbound.pending_bytes())
}

fuzz_target!(|data: &[u8]| {
    for as_module in [false, true] {
        let whole = read(std::iter::once(data), as_module);
        for seed in [0, 1] {
            assert_eq!(
                read(cut(data, seed), as_module),
                whole,
                "cut with seed {seed}"
            );
        }
        let mut texts = 0;
        for event in &whole.0 {
            match event {
                InboundAction::Text(text) => {
                    assert!(text.len() <= MAX_MESSAGE && std::str::from_utf8(text).is_ok());
                    texts += text.len();
                }
                InboundAction::Reply(bytes) => well_formed(bytes, Opcode::Pong),
                InboundAction::Close(bytes) if bytes.is_empty() => {}
                InboundAction::Close(bytes) => well_formed(bytes, Opcode::Close),
            }
        }
        assert!(texts + whole.1 <= data.len() && whole.2 <= 2 * data.len() + 8);
    }
    let mut out = Vec::new();
    frame::push(Opcode::Text, data, &mut out);
    let Parsed::Complete(back, taken) = frame::parse(&out, data.len()) else {
        panic!("a frame that we wrote is complete")
    };
    assert!(taken == out.len() && back.payload == data && back.fin && back.opcode == Opcode::Text);
});

/// A single frame, as a server may send it.
fn well_formed(bytes: &[u8], opcode: Opcode) {
    let Parsed::Complete(frame, taken) = frame::parse(bytes, MAX_MESSAGE) else {
        panic!("{bytes:?} is no frame")
    };
    assert!(taken == bytes.len() && frame.opcode == opcode && bytes[1] & 0x80 == 0);
    assert!(opcode != Opcode::Close || frame.payload.len() <= 125);
}
