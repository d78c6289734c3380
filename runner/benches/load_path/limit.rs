//! The least that a load generator can do: sends, stamps each read, and counts frames by a search
//! for `data:`. No HTTP, no JSON, nothing kept of a frame. What it needs, any client needs.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::SocketAddr,
};

use anyhow::{Context, bail};
use bakeoff_runner::clock::{self, MILLISECOND, Nanos, SECOND};
use memchr::memmem::Finder;
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{measure::Said, timer::Timer};

const TIMER: Token = Token(usize::MAX);
/// The end of a body that comes in chunks.
const END: &[u8] = b"\r\n0\r\n\r\n";
/// Bytes of a read that are kept, in case a frame's beginning is cut.
const CARRIED: usize = 4;

/// A load.
pub struct Load {
    /// Port on the loopback.
    pub port: u16,
    /// Requests in flight; connections to begin with in an open loop.
    pub concurrency: usize,
    /// Requests in all; an open loop's follow from the other two.
    pub requests: u64,
    /// Tokens of an answer.
    pub tokens: u32,
    /// Requests a second, and for how many seconds.
    pub rate: Option<(f64, f64)>,
}

struct Connection {
    socket: TcpStream,
    sent: Nanos,
    first: Nanos,
    last: Nanos,
    frames: u32,
    carried: [u8; CARRIED],
    carries: usize,
}

#[derive(Default)]
struct Samples {
    first: Vec<f64>,
    gaps: Vec<f64>,
    per_token: Vec<f64>,
    delays: Vec<f64>,
}

/// Makes the load and tells what it saw.
pub fn run(load: &Load) -> anyhow::Result<Said> {
    let body = format!(
        "{{\"model\":\"mock\",\"prompt\":\"hello\",\"max_tokens\":{},\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}",
        load.tokens
    );
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        load.port,
        body.len()
    );
    let due = load.rate.map(|(rate, seconds)| schedule(rate, seconds));
    let requests = due.as_ref().map_or(load.requests, |due| due.len() as u64);
    let mut poll = Poll::new()?;
    let mut timer = Timer::new(poll.registry(), TIMER)?;
    let mut connections = Vec::new();
    let mut idle = VecDeque::new();
    for _ in 0..load.concurrency {
        idle.push_back(open(&poll, &mut connections, load.port)?);
    }
    let finder = Finder::new(b"data:");
    let mut buffer = vec![0; CARRIED + (256 << 10)];
    let mut events = Events::with_capacity(1024);
    let mut ended = Vec::new();
    let mut samples = Samples::default();
    let (mut sent, mut done) = (0, 0);
    let start = clock::now() + 10 * MILLISECOND;
    while done < requests {
        let mut next = None;
        while sent < requests {
            let now = clock::now();
            if let Some(due) = &due {
                let at = start + due.get(sent as usize).copied().unwrap_or_default();
                if at > now {
                    next = Some(at);
                    break;
                }
                samples.delays.push((now - at) as f64);
            } else if idle.is_empty() {
                break;
            }
            let slot = match idle.pop_front() {
                Some(slot) => slot,
                None => open(&poll, &mut connections, load.port)?,
            };
            let connection: &mut Connection = connections.get_mut(slot).context("no slot")?;
            (connection.first, connection.frames, connection.carries) = (0, 0, 0);
            connection.sent = clock::now();
            if connection.socket.write(request.as_bytes())? < request.len() {
                bail!("the kernel took half a request");
            }
            sent += 1;
        }
        let now = clock::now();
        let timeout = timer.timeout(now, next, now + SECOND)?;
        poll.poll(&mut events, Some(timeout))?;
        for event in events.iter().filter(|event| event.token() != TIMER) {
            let Token(slot) = event.token();
            let connection = connections.get_mut(slot).context("no slot")?;
            if connection.read(&mut buffer, &finder, &mut samples)? {
                ended.push(slot);
            }
        }
        done += ended.len() as u64;
        idle.extend(ended.drain(..));
    }
    Ok(samples.said())
}

impl Connection {
    /// Reads once; true where an answer is whole.
    fn read(
        &mut self,
        buffer: &mut [u8],
        finder: &Finder<'_>,
        samples: &mut Samples,
    ) -> anyhow::Result<bool> {
        loop {
            let room = buffer.get_mut(CARRIED..).context("no room")?;
            let bytes = match self.socket.read(room) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let stamp = clock::now();
            let full = bytes == buffer.len() - CARRIED;
            let from = CARRIED - self.carries;
            let carried = self.carried.get(..self.carries).context("no carry")?;
            buffer
                .get_mut(from..CARRIED)
                .context("no room")?
                .copy_from_slice(carried);
            let piece = buffer.get(from..CARRIED + bytes).context("no piece")?;
            let found = finder.find_iter(piece).count() as u32;
            if found > 0 {
                if self.first == 0 {
                    self.first = stamp;
                    samples.first.push((stamp - self.sent) as f64);
                } else {
                    samples.gaps.push((stamp - self.last) as f64);
                }
                self.last = stamp;
                self.frames += found;
            }
            if piece.ends_with(END) {
                // Usage and the end are frames too.
                let tokens = self.frames.saturating_sub(2);
                if tokens > 1 {
                    let spent = (self.last - self.first) as f64;
                    samples.per_token.push(spent / f64::from(tokens - 1));
                }
                return Ok(true);
            }
            self.carries = piece.len().min(CARRIED);
            let tail = piece.get(piece.len() - self.carries..).context("no tail")?;
            self.carried
                .get_mut(..self.carries)
                .context("no carry")?
                .copy_from_slice(tail);
            if !full {
                return Ok(false);
            }
        }
    }
}

fn open(poll: &Poll, connections: &mut Vec<Connection>, port: u16) -> anyhow::Result<usize> {
    let socket = std::net::TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    let mut socket = TcpStream::from_std(socket);
    let slot = connections.len();
    poll.registry()
        .register(&mut socket, Token(slot), Interest::READABLE)?;
    connections.push(Connection {
        socket,
        sent: 0,
        first: 0,
        last: 0,
        frames: 0,
        carried: [0; CARRIED],
        carries: 0,
    });
    Ok(slot)
}

/// Due times of a Poisson process, from the start.
fn schedule(rate: f64, seconds: f64) -> Vec<Nanos> {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut due = Vec::new();
    let mut at = 0.0;
    loop {
        at -= (1.0 - random.random::<f64>()).ln() / rate;
        if at > seconds {
            return due;
        }
        due.push(clock::nanos(at));
    }
}

impl Samples {
    fn said(mut self) -> Said {
        use crate::figures::{mean, quantile};
        let milliseconds = |value: Option<f64>| value.map(|value| value / 1e6);
        Said {
            first_mean: milliseconds(mean(&self.first)),
            first_p99: milliseconds(quantile(&mut self.first, 0.99)),
            per_token_mean: milliseconds(mean(&self.per_token)),
            gap_p99: milliseconds(quantile(&mut self.gaps, 0.99)),
            delay_p99: milliseconds(quantile(&mut self.delays, 0.99)),
            refused: None,
        }
    }
}
