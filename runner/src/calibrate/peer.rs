//! The server of a calibration: one thread that answers in a protocol's frames, one write for each,
//! and stamps the first of every answer just before it is written.
//!
//! The simulator would do too, but its batches wake tasks that write; here nothing stands between
//! the stamp and the write, so that what is measured is the client.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use bakeoff_crds::run::Protocol;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use crate::{
    clock::{self, MILLISECOND, Nanos},
    drive::vitals,
    simulate::{
        Engine,
        frames::{self, Interface, TritonOutputs},
    },
};

const LISTENER: Token = Token(usize::MAX);
/// Header field that numbers a request; the number has a fixed width, so that all requests are of
/// one length.
const NUMBER: &str = "x-bakeoff-number";
const DIGITS: usize = 8;
/// Longest sleep, after which new requests are looked for.
const LONGEST_SLEEP: Nanos = MILLISECOND;

/// When frames are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// One every so often, to one stream after the other.
    Every(Nanos),
    /// One to each stream, as often as the sockets take them.
    AsFastAsRead,
}

/// What the server did.
#[derive(Debug)]
pub(super) struct Truth {
    /// Just before the first frame of each request's answer was written, by the request's number.
    pub(super) first_written: Vec<Option<Nanos>>,
    /// CPU time of the server.
    pub(super) cpu: Nanos,
}

/// The header field of a request's number.
pub(super) fn number_field(number: usize) -> (String, String) {
    (NUMBER.into(), format!("{number:0DIGITS$}"))
}

/// A listener on a free port of the loopback device.
pub(super) fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// The writes of an answer: head and first frame in one, then a frame each, the end with the last.
#[derive(Debug)]
pub(super) struct Answer(Vec<Vec<u8>>);

impl Answer {
    pub(super) fn new(protocol: Protocol, tokens: u32) -> Self {
        let answer = frames::Answer {
            engine: Engine::native(protocol),
            interface: match protocol {
                Protocol::OpenAiCompletions => Interface::Completions,
                Protocol::OpenAiChat => Interface::Chat,
                _ => Interface::Native,
            },
            id: "calibration".into(),
            created: 0,
            model: "\"calibration\"".into(),
            prompt: String::new(),
            hash: 1,
            input_tokens: 1,
            output_tokens: tokens,
            at_limit: true,
            include_usage: true,
            continuous_usage: false,
            choice: 0,
            of_request: (1, tokens),
            outputs: TritonOutputs::default(),
        };
        let writes = (0..tokens).map(|token| {
            let mut bytes = Vec::new();
            if token == 0 {
                bytes.extend_from_slice(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
                );
            }
            let last = token + 1 == tokens;
            for frame in answer.frames(token, last) {
                bytes.extend_from_slice(format!("{:x}\r\n", frame.bytes.len()).as_bytes());
                bytes.extend_from_slice(&frame.bytes);
                bytes.extend_from_slice(b"\r\n");
            }
            if last {
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
            bytes
        });
        Self(writes.collect())
    }
}

/// A server under way.
pub(super) struct Peer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Truth>>,
}

impl Peer {
    /// Serves requests of one length, numbered below `requests`, on a thread of its own.
    pub(super) fn start(
        mut listener: TcpListener,
        answer: Answer,
        request_length: usize,
        requests: usize,
        pace: Pace,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let stop = Arc::new(AtomicBool::new(false));
        let serving = Serving {
            poll,
            listener,
            connections: Vec::new(),
            answer,
            request_length,
            first_written: vec![None; requests],
            turn: 0,
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("calibration".into())
            .spawn(move || serving.run(pace, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends it and gives what it did.
    pub(super) fn stop(self) -> io::Result<Truth> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| io::Error::other("the server of the calibration panicked"))?
    }
}

struct Serving {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Connection>,
    answer: Answer,
    request_length: usize,
    first_written: Vec<Option<Nanos>>,
    /// Whose turn it is.
    turn: usize,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// Number of the request that is answered, and the next frame of its answer.
    answering: Option<(usize, usize)>,
    /// What the socket did not take of the last frame.
    unwritten: Vec<u8>,
    is_open: bool,
}

impl Serving {
    fn run(mut self, pace: Pace, stop: &AtomicBool) -> io::Result<Truth> {
        let mut events = Events::with_capacity(256);
        let mut due = clock::now();
        while !stop.load(Ordering::Relaxed) {
            let wait = match pace {
                Pace::Every(_) => {
                    let wait = due.saturating_sub(clock::now()).min(LONGEST_SLEEP);
                    std::thread::sleep(Duration::from_nanos(wait));
                    Duration::ZERO
                }
                Pace::AsFastAsRead if self.is_busy() => Duration::ZERO,
                Pace::AsFastAsRead => Duration::from_nanos(LONGEST_SLEEP),
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                } else if let Some(connection) = self.connections.get_mut(event.token().0) {
                    connection.read(self.request_length);
                }
            }
            match pace {
                Pace::Every(interval) => {
                    let now = clock::now();
                    if now >= due {
                        self.one_turn();
                        // What was slept over is not made up for: no bursts.
                        due = (due + interval).max(now);
                    }
                }
                Pace::AsFastAsRead => {
                    for _ in 0..self.connections.len() {
                        self.one_turn();
                    }
                }
            }
        }
        Ok(Truth {
            first_written: self.first_written,
            cpu: vitals::thread_cpu(),
        })
    }

    fn is_busy(&self) -> bool {
        let mut open = self
            .connections
            .iter()
            .filter(|connection| connection.is_open);
        open.any(|connection| connection.answering.is_some() || !connection.unwritten.is_empty())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    // A frame must leave at once.
                    stream.set_nodelay(true)?;
                    let token = Token(self.connections.len());
                    self.poll
                        .registry()
                        .register(&mut stream, token, Interest::READABLE)?;
                    self.connections.push(Connection {
                        stream,
                        request: Vec::new(),
                        answering: None,
                        unwritten: Vec::new(),
                        is_open: true,
                    });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes one frame, to the next stream that waits for one.
    fn one_turn(&mut self) {
        for _ in 0..self.connections.len() {
            self.turn = (self.turn + 1) % self.connections.len();
            if let Some(connection) = self.connections.get_mut(self.turn)
                && connection.write(&self.answer, &mut self.first_written)
            {
                return;
            }
        }
    }
}

impl Connection {
    /// Reads what is there; a whole request begins its answer.
    fn read(&mut self, request_length: usize) {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.is_open = false,
                Ok(read) => {
                    self.request
                        .extend_from_slice(bytes.get(..read).unwrap_or_default());
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => self.is_open = false,
            }
            break;
        }
        if self.answering.is_none() && self.request.len() >= request_length {
            self.answering = number_of(&self.request).map(|number| (number, 0));
            self.request.drain(..request_length);
        }
    }

    /// Writes the next frame where there is one; says whether there was.
    fn write(&mut self, answer: &Answer, first_written: &mut [Option<Nanos>]) -> bool {
        if !self.is_open {
            return false;
        }
        if !self.unwritten.is_empty() {
            let rest = std::mem::take(&mut self.unwritten);
            self.put(&rest);
            return true;
        }
        let Some((number, place)) = self.answering else {
            return false;
        };
        let Some(frame) = answer.0.get(place) else {
            self.answering = None;
            return false;
        };
        self.answering = (place + 1 < answer.0.len()).then_some((number, place + 1));
        if place == 0
            && let Some(stamp) = first_written.get_mut(number)
        {
            *stamp = Some(clock::now());
        }
        self.put(frame);
        true
    }

    fn put(&mut self, bytes: &[u8]) {
        let written = match self.stream.write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.is_open = false;
                return;
            }
        };
        self.unwritten = bytes.get(written..).unwrap_or_default().to_vec();
    }
}

/// The number in a request's head.
fn number_of(request: &[u8]) -> Option<usize> {
    let field = format!("{NUMBER}: ");
    let at = memchr::memmem::find(request, field.as_bytes())? + field.len();
    std::str::from_utf8(request.get(at..at + DIGITS)?)
        .ok()?
        .parse()
        .ok()
}
