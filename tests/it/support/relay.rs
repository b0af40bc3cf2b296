//! A TCP relay in front of a server: a network that a test can interrupt and restore.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A running relay.
pub(crate) struct Relay {
    address: String,
    state: Arc<State>,
}

/// State shared by the threads of the relay.
#[derive(Default)]
struct State {
    is_away: AtomicBool,
    /// Connections that were made so far.
    made: AtomicUsize,
    /// Connections with lower numbers are silent: data of the server is discarded.
    silent_below: AtomicUsize,
    /// Reads from the server so far.
    pieces: AtomicUsize,
    /// Both ends of every connection; shutting down an ended one has no effect.
    ends: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// A relay to `ADDRESS:PORT`.
    pub(crate) fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let server = server.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // While the relay is down, connections are accepted and closed: equivalent to a
                // refusal, on the same port.
                let Some(server) = (!shared.is_away.load(Ordering::SeqCst))
                    .then(|| TcpStream::connect(&server).ok())
                    .flatten()
                else {
                    continue;
                };
                shared.join(client, server);
            }
        });
        Self { address, state }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections that were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.made.load(Ordering::SeqCst)
    }

    /// Number of pieces received from the server.
    pub(crate) fn pieces(&self) -> usize {
        self.state.pieces.load(Ordering::SeqCst)
    }

    /// Discards data of the server on existing connections, which stay open; new ones work.
    pub(crate) fn swallow(&self) {
        self.state
            .silent_below
            .store(self.connections(), Ordering::SeqCst);
    }

    /// Breaks all connections; new ones may be made.
    pub(crate) fn cut(&self) {
        let mut ends = self
            .state
            .ends
            .lock()
            .expect("no thread panics with the lock");
        for end in ends.drain(..) {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Breaks all connections, and new ones too, until [`Relay::restore`].
    pub(crate) fn take_away(&self) {
        self.state.is_away.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Lets connections through again.
    pub(crate) fn restore(&self) {
        self.state.is_away.store(false, Ordering::SeqCst);
    }
}

impl State {
    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let copy = |end: &TcpStream| end.try_clone().expect("a socket can be cloned");
        let mut ends = self.ends.lock().expect("no thread panics with the lock");
        ends.extend([copy(&client), copy(&server)]);
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let back_from = copy(&server);
        let back_to = copy(&client);
        let state = Arc::clone(self);
        std::thread::spawn(move || pass(client, server, || true));
        std::thread::spawn(move || pass(back_from, back_to, || state.lets_through(number)));
    }

    /// Counts a piece from the server.
    fn lets_through(&self, number: usize) -> bool {
        self.pieces.fetch_add(1, Ordering::SeqCst);
        number >= self.silent_below.load(Ordering::SeqCst)
    }
}

/// Forwards bytes until one side ends, or discards them while it is silent.
fn pass(mut from: TcpStream, mut to: TcpStream, lets_through: impl Fn() -> bool) {
    let mut buffer = [0; 16384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if lets_through() && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
