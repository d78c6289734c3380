//! One connection of the server, plain or under TLS.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use bakeoff_runner::clock::{self, Nanos};
use memchr::memmem;
use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};

use super::{
    Answered, Truth,
    answer::{Frames, HEAD},
};
use crate::system;

/// An answer under way.
pub struct Answer {
    tokens: u32,
    written: u32,
    first: Nanos,
    last: Nanos,
    is_chat: bool,
}

pub struct Connection {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    request: Vec<u8>,
    /// What the kernel did not take yet.
    backlog: Vec<u8>,
    pub is_blocked: bool,
    /// When the last bytes that were read reached the kernel.
    pub arrived: Nanos,
    /// When the next token is due.
    pub due: Nanos,
    pub answer: Option<Answer>,
}

impl Connection {
    pub fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        system::stamp_arrivals(&socket)?;
        let tls = tls
            .map(|config| ServerConnection::new(Arc::clone(config)).map(Box::new))
            .transpose()
            .map_err(io::Error::other)?;
        Ok(Self {
            socket,
            tls,
            request: Vec::new(),
            backlog: Vec::new(),
            is_blocked: false,
            arrived: 0,
            due: 0,
            answer: None,
        })
    }

    /// Reads what there is; true where a request is whole. An error is also the end.
    pub fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        loop {
            let (bytes, arrived) = match system::receive(&self.socket, &mut buffer) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            self.arrived = arrived;
            let mut wire = buffer.get(..bytes).unwrap_or_default();
            let Some(tls) = self.tls.as_deref_mut() else {
                self.request.extend_from_slice(wire);
                continue;
            };
            while !wire.is_empty() {
                tls.read_tls(&mut wire)?;
                let state = tls.process_new_packets().map_err(io::Error::other)?;
                let length = self.request.len();
                self.request
                    .resize(length + state.plaintext_bytes_to_read(), 0);
                if let Some(space) = self.request.get_mut(length..) {
                    tls.reader().read_exact(space)?;
                }
            }
        }
        self.flush()?;
        Ok(self.is_whole())
    }

    fn is_whole(&self) -> bool {
        let Some(end) = memmem::find(&self.request, b"\r\n\r\n") else {
            return false;
        };
        let length = number_after(&self.request, b"content-length: ").unwrap_or(0);
        self.request.len() >= end + 4 + length as usize
    }

    /// Answers the request with a head.
    pub fn begin(&mut self) -> io::Result<()> {
        let tokens = number_after(&self.request, b"\"max_tokens\":").unwrap_or(16);
        let is_chat = memmem::find(&self.request, b"/chat/completions ").is_some();
        self.request.clear();
        self.answer = Some(Answer {
            tokens: tokens.max(1),
            written: 0,
            first: 0,
            last: 0,
            is_chat,
        });
        self.send(HEAD)
    }

    /// Writes the next token or tokens; true where more follow.
    pub fn emit(&mut self, frames: &Frames, truth: &mut Truth) -> io::Result<bool> {
        let Some(mut answer) = self.answer.take() else {
            return Ok(false);
        };
        let kind = frames.of(answer.is_chat);
        let stamp = clock::now();
        if answer.written == 0 {
            answer.first = stamp;
            if let Some(role) = kind.role() {
                self.send(&role)?;
            }
        } else {
            let gap = u32::try_from(stamp - answer.last).unwrap_or(u32::MAX);
            truth.gaps.push(gap);
        }
        answer.last = stamp;
        let left = answer.tokens - answer.written;
        if left > frames.per_write && frames.per_write > 1 {
            self.send(&kind.many)?;
            answer.written += frames.per_write;
        } else {
            // One at a time, so that the last one says that it is.
            answer.written += 1;
            self.send(kind.token(answer.written, answer.written == answer.tokens))?;
        }
        if answer.written < answer.tokens {
            self.answer = Some(answer);
            return Ok(true);
        }
        self.send(&kind.tail(answer.tokens))?;
        truth.answers.push(Answered {
            arrived: self.arrived,
            first: answer.first,
            last: answer.last,
            tokens: answer.tokens,
        });
        Ok(false)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(tls) = self.tls.as_deref_mut() {
            tls.writer().write_all(bytes)?;
        } else if self.backlog.is_empty() {
            match self.socket.write(bytes) {
                Ok(written) if written == bytes.len() => return Ok(()),
                Ok(written) => {
                    let rest = bytes.get(written..).unwrap_or_default();
                    self.backlog.extend_from_slice(rest);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.backlog.extend_from_slice(bytes);
                }
                Err(error) => return Err(error),
            }
        } else {
            self.backlog.extend_from_slice(bytes);
        }
        self.flush().map(|_| ())
    }

    /// Writes what is left over; true where nothing is.
    pub fn flush(&mut self) -> io::Result<bool> {
        if let Some(tls) = self.tls.as_deref_mut() {
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.is_blocked = true;
                        return Ok(false);
                    }
                    Err(error) => return Err(error),
                }
            }
            return Ok(true);
        }
        while !self.backlog.is_empty() {
            match self.socket.write(&self.backlog) {
                Ok(written) => {
                    self.backlog.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// The number that follows a key.
fn number_after(text: &[u8], key: &[u8]) -> Option<u32> {
    let from = memmem::find(text, key)? + key.len();
    let digits = text.get(from..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}
