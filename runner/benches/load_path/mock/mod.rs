//! A server whose log is the truth: when a request reached the kernel, and when each token was
//! written. One thread and one event loop; it parses as little as it can.
//!
//! All streams emit in step, as an engine's batch does: tokens leave at the multiples of the gap.

mod answer;
mod connection;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use bakeoff_runner::clock::{self, MILLISECOND, Nanos};
use mio::{Events, Interest, Poll, Token, net::TcpListener};
use rustls::ServerConfig;

use self::{answer::Frames, connection::Connection};
use crate::{system, timer::Timer};

const LISTENER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);
/// Writes of streams without a delay between two looks at the sockets.
const WRITES_AT_ONCE: usize = 64;

/// How the server answers.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// From a request's arrival to its first token, at least.
    pub first: Nanos,
    /// From one token to the next; 0 is as fast as the socket takes them.
    pub gap: Nanos,
    /// Tokens that one write holds, where there is no gap.
    pub tokens_per_write: u32,
    /// TLS, where it is spoken.
    pub tls: Option<Arc<ServerConfig>>,
}

/// What happened on the server's side of one request; times by [`clock`].
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When the request's last piece reached the kernel.
    pub arrived: Nanos,
    /// Just before the first token was written.
    pub first: Nanos,
    /// Just before the last token was written.
    pub last: Nanos,
    /// Tokens.
    pub tokens: u32,
}

/// The log of a server.
#[derive(Debug, Default)]
pub struct Truth {
    /// Requests that were answered whole.
    pub answers: Vec<Answered>,
    /// Between two tokens of one answer, in nanoseconds.
    pub gaps: Vec<u32>,
    /// Answers that were cut because their client went.
    pub cut: u64,
}

/// A server under way.
pub struct Mock {
    /// Its port on the loopback.
    pub port: u16,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Truth>>,
}

impl Mock {
    /// Starts a server on a core of its own.
    pub fn start(behaviour: Behaviour, core: usize) -> anyhow::Result<Self> {
        let listener = system::listener()?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("mock".into())
            .spawn(move || {
                system::pin_this_thread(core);
                Server::new(listener, behaviour)?.serve(&told)
            })?;
        Ok(Self { port, stop, thread })
    }

    /// Stops the server and gives its log.
    pub fn stop(self) -> anyhow::Result<Truth> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(truth) => Ok(truth?),
            Err(_) => anyhow::bail!("the mock server panicked"),
        }
    }
}

struct Server {
    poll: Poll,
    timer: Timer,
    listener: TcpListener,
    behaviour: Behaviour,
    frames: Frames,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// When a connection's next token is due. A connection that is gone leaves its entry behind;
    /// the time tells.
    due: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// Connections without a delay that can be written.
    eager: VecDeque<usize>,
    truth: Truth,
}

impl Server {
    fn new(mut listener: TcpListener, behaviour: Behaviour) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            timer,
            listener,
            frames: Frames::new(behaviour.tokens_per_write),
            behaviour,
            connections: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            eager: VecDeque::new(),
            truth: Truth::default(),
        })
    }

    fn serve(mut self, stop: &AtomicBool) -> io::Result<Truth> {
        let mut events = Events::with_capacity(1024);
        while !stop.load(Ordering::Relaxed) {
            let now = clock::now();
            let timeout = if self.eager.is_empty() {
                let next = self.due.peek().map(|Reverse((at, _))| *at);
                self.timer.timeout(now, next, now + 50 * MILLISECOND)?
            } else {
                Duration::ZERO
            };
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in events.iter() {
                match event.token() {
                    LISTENER => self.accept()?,
                    TIMER => {}
                    Token(slot) => {
                        if event.is_writable() {
                            self.writable(slot);
                        }
                        if event.is_readable() || event.is_read_closed() {
                            self.readable(slot);
                        }
                    }
                }
            }
            let now = clock::now();
            while let Some(&Reverse((at, slot))) = self.due.peek() {
                if at > now {
                    break;
                }
                self.due.pop();
                self.emit(slot, Some(at));
            }
            for _ in 0..WRITES_AT_ONCE {
                let Some(slot) = self.eager.pop_front() else {
                    break;
                };
                self.emit(slot, None);
            }
        }
        Ok(self.truth)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poll.registry().register(
                &mut socket,
                Token(slot),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            let connection = Connection::new(socket, self.behaviour.tls.as_ref())?;
            if let Some(place) = self.connections.get_mut(slot) {
                *place = Some(connection);
            }
        }
    }

    fn get(&mut self, slot: usize) -> Option<&mut Connection> {
        self.connections.get_mut(slot)?.as_mut()
    }

    fn close(&mut self, slot: usize) {
        if let Some(place) = self.connections.get_mut(slot)
            && let Some(connection) = place.take()
        {
            self.truth.cut += u64::from(connection.answer.is_some());
            self.free.push(slot);
        }
    }

    fn writable(&mut self, slot: usize) {
        let Some(connection) = self.get(slot) else {
            return;
        };
        match connection.flush() {
            Err(_) => self.close(slot),
            Ok(false) => {}
            Ok(true) => {
                let connection = self.get(slot);
                let waits = connection.is_some_and(|connection| {
                    connection.answer.is_some() && std::mem::take(&mut connection.is_blocked)
                });
                if waits && self.behaviour.gap == 0 {
                    self.eager.push_back(slot);
                }
            }
        }
    }

    fn readable(&mut self, slot: usize) {
        let (first, gap) = (self.behaviour.first, self.behaviour.gap);
        let Some(connection) = self.get(slot) else {
            return;
        };
        let Ok(asked) = connection.read() else {
            self.close(slot);
            return;
        };
        if !asked {
            return;
        }
        let arrived = connection.arrived;
        let head = connection.begin();
        if head.is_err() {
            self.close(slot);
        } else if gap == 0 {
            self.eager.push_back(slot);
        } else {
            // The next step of the batch.
            let at = (arrived + first).div_ceil(gap) * gap;
            connection.due = at;
            self.due.push(Reverse((at, slot)));
        }
    }

    /// Writes the next token or tokens of a connection; `at` is when they were due.
    fn emit(&mut self, slot: usize, at: Option<Nanos>) {
        let gap = self.behaviour.gap;
        let Some(Some(connection)) = self.connections.get_mut(slot) else {
            return;
        };
        if at.is_some_and(|at| at != connection.due) {
            return;
        }
        match connection.emit(&self.frames, &mut self.truth) {
            Err(_) => self.close(slot),
            Ok(false) => {}
            Ok(true) if gap == 0 => {
                if !connection.is_blocked {
                    self.eager.push_back(slot);
                }
            }
            Ok(true) => {
                connection.due += gap;
                self.due.push(Reverse((connection.due, slot)));
            }
        }
    }
}
