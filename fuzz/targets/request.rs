//! HTTP/1.x heads and bodies. The same bytes must have the same meaning however they are cut, and
//! buffers stay within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pushctl::server::fuzzing::{RequestPart, RequestReader};
use pushctl_fuzz::cut;

const MAX_HEAD: usize = 300;
const MAX_BODY: u64 = 100;
/// A chunk line, and the longest piece that arrives at once.
const MAX_HELD: usize = 4096 + 200;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, bounded: bool) -> (Vec<RequestPart>, usize) {
    let mut reader = RequestReader::new(MAX_HEAD, MAX_BODY);
    for piece in pieces {
        reader.push(piece);
        assert!(
            !bounded || reader.held() <= MAX_HELD + MAX_BODY as usize,
            "{} bytes are held",
            reader.held()
        );
    }
    reader.finish()
}

fuzz_target!(|data: &[u8]| {
    let whole = read(std::iter::once(data), false);
    for seed in [0, 1] {
        assert_eq!(read(cut(data, seed), true), whole, "cut with seed {seed}");
    }
    let mut body_bytes = 0;
    for piece in &whole.0 {
        match piece {
            RequestPart::Head { path, query, .. } => {
                assert!(path.first() == Some(&b'/') && !path.contains(&0));
                assert!(
                    !path
                        .split(|byte| *byte == b'/')
                        .any(|segment| segment == b"." || segment == b".."),
                    "{path:?}"
                );
                assert!(path.len() + query.len() <= MAX_HEAD);
            }
            RequestPart::Body(body) => {
                assert!(body.len() as u64 <= MAX_BODY);
                body_bytes += body.len();
            }
            RequestPart::Bad(status) => assert!((400..=599).contains(status)),
        }
    }
    assert!(body_bytes + whole.1 <= data.len());
});
