//! A way to a server of this machine that a test can close, narrow and open again, for one test's run
//! alone.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::settings::service_address;

/// Most bytes that go through at once.
const CHUNK: usize = 64 << 10;
/// Time between two chunks of a narrow way.
const TICK: Duration = Duration::from_millis(100);

/// A port of the services' address that leads to another one. Bytes go through as they are, so TLS
/// reaches the server itself, whose certificate is for the address and not for a port.
#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    width: watch::Sender<Width>,
    serving: JoinHandle<()>,
}

/// What goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Open,
    /// So many bytes a [`TICK`], of each connection in each direction.
    Narrow(usize),
    Closed,
}

impl Way {
    /// An open way to this port.
    ///
    /// # Errors
    /// Where the machine has no port left.
    pub async fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((service_address()?, 0)).await?;
        let address = listener.local_addr()?;
        let server = SocketAddr::new(address.ip(), port);
        let (width, watched) = watch::channel(Width::Open);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, watched.clone()));
            }
        });
        Ok(Self {
            address,
            width,
            serving,
        })
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection, and each that is made from now on.
    pub fn close(&self) {
        self.width.send_replace(Width::Closed);
    }

    /// Lets so many bytes a second through each connection, in each direction; ten at least.
    pub fn narrow(&self, bytes_per_second: usize) {
        let ticks = usize::try_from(1000 / TICK.as_millis()).unwrap_or(1);
        let width = Width::Narrow((bytes_per_second / ticks).max(1));
        self.width.send_replace(width);
    }

    /// Lets everything through again.
    pub fn open(&self) {
        self.width.send_replace(Width::Open);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.close();
        self.serving.abort();
    }
}

/// One connection, for as long as the way is not closed.
async fn carry(mut client: TcpStream, server: SocketAddr, width: watch::Receiver<Width>) {
    let carried = async {
        let mut server = TcpStream::connect(server).await?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            copy(from_client, to_server, width.clone()),
            copy(from_server, to_client, width.clone()),
        )
    };
    let mut until_closed = width.clone();
    tokio::select! {
        biased;
        _ = until_closed.wait_for(|width| *width == Width::Closed) => {}
        result = carried => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection broke");
            }
        }
    }
}

/// Copies to the end, as wide as the way is at the time.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    width: watch::Receiver<Width>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let now = *width.borrow();
        let most = match now {
            Width::Narrow(bytes) => bytes.min(CHUNK),
            Width::Open | Width::Closed => CHUNK,
        };
        let read = from.read(&mut chunk[..most]).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..read]).await?;
        if now != Width::Open {
            tokio::time::sleep(TICK).await;
        }
    }
}
