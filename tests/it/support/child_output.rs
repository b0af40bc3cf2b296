//! Output of a child process, line by line or as a whole.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Passes on the lines of a stream until it ends.
pub(super) fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // The test may have ended; the pipe must still be drained.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Collects a stream until it ends.
pub(super) fn collect(
    mut stream: impl Read + Send + 'static,
) -> (Arc<Mutex<Vec<u8>>>, JoinHandle<()>) {
    let collected = Arc::new(Mutex::new(Vec::new()));
    let target = Arc::clone(&collected);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            target
                .lock()
                .expect("no thread panics with the lock")
                .extend_from_slice(&buffer[..count]);
        }
    });
    (collected, reader)
}
