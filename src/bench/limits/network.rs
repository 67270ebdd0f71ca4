//! Loopback TCP between two threads: bytes one way, and requests with their replies.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Limit;
use super::stopwatch::{Spent, Stopwatch, repeat};

/// Bytes of one write: a small batch, and two large ones.
const WRITES: [usize; 3] = [1 << 10, 16 << 10, 64 << 10];
/// What the receiver takes at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes of a request, and of a reply.
const REQUEST_BYTES: usize = 64;
/// Requests sent before their replies are waited for.
const IN_FLIGHT: [usize; 3] = [1, 5, 32];

pub(super) fn limits(each: Duration) -> io::Result<Vec<Limit>> {
    let mut limits = Vec::new();
    for bytes in WRITES {
        limits.extend(one_way(each, bytes)?);
    }
    for count in IN_FLIGHT {
        limits.extend(request_reply(each, count)?);
    }
    Ok(limits)
}

fn one_way(each: Duration, write_bytes: usize) -> io::Result<[Limit; 2]> {
    let (mut stream, receiver) = connected(|mut stream| {
        let mut buffer = vec![0; READ_BYTES];
        while stream.read(&mut buffer)? > 0 {}
        Ok(())
    })?;
    let chunk = vec![1; write_bytes];
    let mut failed = None;
    let (sent, count) = repeat(each, || failed = stream.write_all(&chunk).err());
    drop(stream);
    let received = joined(receiver)?;
    if let Some(error) = failed {
        return Err(error);
    }
    let bytes = write_bytes as u64 * count;
    let kib = write_bytes >> 10;
    Ok([
        sent.bytes(format!("loopback_send_{kib}_kib"), bytes),
        received.bytes(format!("loopback_receive_{kib}_kib"), bytes),
    ])
}

fn request_reply(each: Duration, in_flight: usize) -> io::Result<[Limit; 2]> {
    let (mut stream, server) = connected(move |mut stream| {
        let mut requests = vec![0; REQUEST_BYTES * in_flight];
        loop {
            match stream.read(&mut requests)? {
                0 => return Ok(()),
                count => stream.write_all(&requests[..count])?,
            }
        }
    })?;
    let mut requests = vec![1; REQUEST_BYTES * in_flight];
    let mut failed = None;
    let (client, rounds) = repeat(each, || {
        failed = stream.write_all(&requests).and_then(|()| stream.read_exact(&mut requests)).err();
    });
    drop(stream);
    let server = joined(server)?;
    if let Some(error) = failed {
        return Err(error);
    }
    let count = rounds * in_flight as u64;
    Ok([
        client.operations(format!("request_{in_flight}_in_flight"), count),
        server.operations(format!("reply_{in_flight}_in_flight"), count),
    ])
}

/// A connection, and a thread that serves its other end until it is closed.
fn connected(
    serve: impl FnOnce(TcpStream) -> io::Result<()> + Send + 'static,
) -> io::Result<(TcpStream, JoinHandle<io::Result<Spent>>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    other.set_nodelay(true)?;
    let thread = std::thread::spawn(move || {
        let watch = Stopwatch::start();
        serve(other)?;
        Ok(watch.spent())
    });
    Ok((stream, thread))
}

fn joined(thread: JoinHandle<io::Result<Spent>>) -> io::Result<Spent> {
    thread.join().map_err(|_| io::Error::other("the other end of a loopback connection panicked"))?
}
