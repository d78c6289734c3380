//! A way to a server of this machine that a test can close and open again, for one test's run alone.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::settings::service_address;

/// A port of the services' address that leads to another one. Bytes go through as they are, so TLS
/// reaches the server itself, whose certificate is for the address and not for a port.
#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    serving: JoinHandle<()>,
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
        let (is_open, watched) = watch::channel(true);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, watched.clone()));
            }
        });
        Ok(Self {
            address,
            is_open,
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
        self.is_open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.close();
        self.serving.abort();
    }
}

/// One connection, for as long as the way is open.
async fn carry(mut client: TcpStream, server: SocketAddr, mut is_open: watch::Receiver<bool>) {
    if !*is_open.borrow_and_update() {
        return;
    }
    let carried = async {
        let mut server = TcpStream::connect(server).await?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        result = carried => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection broke");
            }
        }
        _ = is_open.changed() => {}
    }
}
