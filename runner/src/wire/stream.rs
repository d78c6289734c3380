//! A non-blocking socket, plain or under TLS, that tells what it waits for and reads no time.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    sync::Arc,
};

use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

/// A connection to one server.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    /// Boxed: most runs have none, and then a connection stays small.
    tls: Option<Box<ClientConnection>>,
    connected: bool,
}

/// How far a write got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All of it is with the kernel.
    All,
    /// The rest waits until the socket can be written again.
    Partly,
}

impl Stream {
    /// Begins to connect; the socket becomes writable once that has worked or failed.
    ///
    /// # Errors
    /// When there is no descriptor or no route.
    pub fn connect(
        address: SocketAddr,
        tls: Option<(&Arc<ClientConfig>, &ServerName<'static>)>,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        let tls = tls
            .map(|(config, name)| {
                ClientConnection::new(Arc::clone(config), name.clone()).map(Box::new)
            })
            .transpose()
            .map_err(io::Error::other)?;
        Ok(Self {
            socket,
            tls,
            connected: false,
        })
    }

    /// The socket, to be registered with a poll.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Looks whether the connection and its handshake are done, as far as the socket goes.
    ///
    /// # Errors
    /// When the connection was refused or the handshake failed.
    pub fn poll_ready(&mut self) -> io::Result<bool> {
        if !self.connected {
            if let Some(error) = self.socket.take_error()? {
                return Err(error);
            }
            match self.socket.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error),
            }
            self.socket.set_nodelay(true)?;
            self.connected = true;
        }
        self.flush()?;
        Ok(self.is_ready())
    }

    /// Whether requests can be sent.
    pub fn is_ready(&self) -> bool {
        self.connected && self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// Reads what the kernel has, as it came off the wire: ciphertext under TLS. See
    /// [`Stream::open`].
    ///
    /// # Errors
    /// As the socket's own read, `WouldBlock` among them.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Turns bytes off the wire into plain ones; `plain` is used where TLS is spoken.
    ///
    /// # Errors
    /// When the peer breaks TLS.
    pub fn open<'a>(&mut self, wire: &'a [u8], plain: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        let Some(tls) = self.tls.as_deref_mut() else {
            return Ok(wire);
        };
        plain.clear();
        let mut rest = wire;
        while !rest.is_empty() {
            if tls.read_tls(&mut rest)? == 0 {
                break;
            }
            let state = tls
                .process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            let length = plain.len();
            plain.resize(length + state.plaintext_bytes_to_read(), 0);
            if let Some(space) = plain.get_mut(length..) {
                tls.reader().read_exact(space)?;
            }
        }
        self.flush()?;
        Ok(plain)
    }

    /// Sends as much of `bytes` as the kernel takes, and returns how much that is; 0 where the
    /// socket has to become writable first. Under TLS some of what was taken may still be here, and
    /// [`Stream::flush`] tells when it has gone.
    ///
    /// # Errors
    /// As the socket's own write, but for `WouldBlock`, which is 0 bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.tls.is_some() && self.flush()? == Written::Partly {
            return Ok(0);
        }
        if let Some(tls) = self.tls.as_deref_mut() {
            // The session's own buffer has a bound and is empty now; what does not fit is asked for
            // again.
            let taken = tls.writer().write(bytes)?;
            self.flush()?;
            return Ok(taken);
        }
        loop {
            match self.socket.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                result => return result,
            }
        }
    }

    /// Sends what TLS holds back.
    ///
    /// # Errors
    /// As the socket's own write.
    pub fn flush(&mut self) -> io::Result<Written> {
        let Some(tls) = self.tls.as_deref_mut() else {
            return Ok(Written::All);
        };
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Written::Partly),
                Err(error) => return Err(error),
            }
        }
        Ok(Written::All)
    }
}
