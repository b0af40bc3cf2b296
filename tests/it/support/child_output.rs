//! Output of a child process, line by line or as a whole.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionread;

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

/// What a child process has written to a stream.
pub(super) struct CollectedOutput {
    text: Arc<Mutex<Vec<u8>>>,
    /// The stream, to see whether something in it was not read yet.
    stream: OwnedFd,
}

impl CollectedOutput {
    /// Collects a stream until it ends.
    pub(super) fn of(mut stream: impl Read + AsFd + Send + 'static) -> (Self, JoinHandle<()>) {
        let text = Arc::new(Mutex::new(Vec::new()));
        let collected = Self {
            text: Arc::clone(&text),
            stream: stream
                .as_fd()
                .try_clone_to_owned()
                .expect("the test has a descriptor left"),
        };
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                wait_for_input(&stream);
                // Locked while it reads, so that nothing is between the stream and the text.
                let mut text = text.lock().expect("no thread panics with the lock");
                match stream.read(&mut buffer) {
                    Ok(count @ 1..) => text.extend_from_slice(&buffer[..count]),
                    _ => return,
                }
            }
        });
        (collected, reader)
    }

    /// Everything that was written so far.
    pub(super) fn text(&self) -> String {
        loop {
            let text = self.text.lock().expect("no thread panics with the lock");
            if ioctl_fionread(&self.stream).unwrap_or(0) == 0 {
                return String::from_utf8_lossy(&text).into_owned();
            }
            drop(text);
            std::thread::yield_now();
        }
    }
}

/// Waits until a stream has input, or has ended.
fn wait_for_input(stream: &impl AsFd) {
    let mut descriptors = [PollFd::new(stream, PollFlags::IN)];
    // Interrupted, it is read at once.
    let _ = poll(&mut descriptors, None);
}
