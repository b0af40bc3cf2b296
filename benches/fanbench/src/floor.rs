//! The floor: the cost of the same bytes in the kernel without a server, with a loop of `send`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::time::{ClockId, clock_gettime};

use crate::machine::{SERVER_CORE, pin};
use crate::net::{self, Got, Interest, Net};

/// Microseconds of CPU per message and connection, with `together` messages per call.
///
/// # Errors
/// When sockets cannot be opened or written.
pub fn measure(connections: usize, messages: u64, bytes: usize, together: usize) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let SocketAddr::V4(address) = listener.local_addr()? else {
        unreachable!("the listener has an IPv4 address")
    };
    let mut net = Net::new()?;
    let mut readers: Vec<OwnedFd> = Vec::new();
    let mut writers: Vec<TcpStream> = Vec::new();
    for token in 0..connections {
        let fd = net::connect(address, None)?;
        net.watch(&fd, token as u64, Interest::Read)?;
        readers.push(fd);
        writers.push(listener.accept()?.0);
    }
    let rounds = messages / together as u64;
    // The next round starts when all bytes of the last one were read: no data is queued in the
    // kernel.
    let (read, all_read) = channel();
    let sender =
        thread::spawn(move || send(&writers, rounds, &vec![b'x'; bytes * together], &all_read));
    drain(
        &mut net,
        &readers,
        rounds,
        connections * bytes * together,
        &read,
    )?;
    let cpu = sender.join().expect("the sender does not panic")?;
    Ok(cpu.as_secs_f64() * 1e6 / (rounds * together as u64 * connections as u64) as f64)
}

fn send(
    writers: &[TcpStream],
    rounds: u64,
    payload: &[u8],
    all_read: &Receiver<()>,
) -> io::Result<Duration> {
    pin(SERVER_CORE);
    let before = thread_cpu();
    for _ in 0..rounds {
        for writer in writers {
            if net::write(writer, payload) != Some(payload.len()) {
                return Err(io::Error::other("a socket did not accept a message"));
            }
        }
        if all_read.recv().is_err() {
            break;
        }
    }
    Ok(thread_cpu().saturating_sub(before))
}

fn drain(
    net: &mut Net,
    readers: &[OwnedFd],
    rounds: u64,
    bytes_per_round: usize,
    read: &Sender<()>,
) -> Result<()> {
    let mut ready = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..rounds {
        let mut left = bytes_per_round;
        while left > 0 {
            net.wait(Duration::from_secs(10), &mut ready)?;
            ensure!(!ready.is_empty(), "no data for 10 seconds");
            for event in &ready {
                if let Got::Bytes(count) =
                    net::read(&readers[usize::try_from(event.token)?], &mut buffer)
                {
                    left -= count;
                }
            }
        }
        read.send(())?;
    }
    Ok(())
}

/// CPU time of this thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
