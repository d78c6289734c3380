//! Simulated engines that speak the real ones' wire formats, at made-up speed.
//!
//! A simulated engine batches continuously ([`batch`]), writes the frames of the real server
//! ([`frames`]), shows metrics under the engine's own names ([`metrics`]), answers its health and
//! model endpoints ([`routes`]), refuses in its words ([`refusal`]), and keeps the truth about what
//! it sent and when ([`log`]), also served at `/bakeoff/log`. [`entrypoint`] plays the programs of
//! the engines' images.
//!
//! Beyond the real servers: `/bakeoff/log`, and `/metrics` on the port of the requests for Triton
//! too, unless the entrypoint gives it the port of its own.

pub mod batch;
mod body;
mod call;
pub mod config;
pub mod entrypoint;
pub mod frames;
pub mod log;
pub mod metrics;
mod prefix_cache;
mod refusal;
mod request;
mod routes;
mod scheduler;
mod server;
pub(crate) mod text;

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread::JoinHandle,
};

use bakeoff_crds::run::SimulatedEngine;
use tokio::{net::TcpListener, sync::oneshot};

pub use config::{Engine, SimulatorConfig};
pub use log::{Outcome, Record, TruthLog};
pub use server::Simulator;

/// Serves one simulated engine until `shutdown` is done; then its connections are closed.
///
/// # Errors
/// Where the log's file cannot be made.
pub async fn serve(
    config: SimulatorConfig,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let simulator = Arc::new(Simulator::new(config)?);
    tokio::select! {
        () = simulator.serve(listener) => {}
        () = shutdown => {}
    }
    Ok(())
}

/// A simulated engine within this process. It ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Root of its server, such as `http://127.0.0.1:40001`.
    pub url: String,
    /// The truth about what it sent.
    pub log: TruthLog,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a simulated engine that serves `model` on a free port of the loopback device, on a thread
/// and a runtime of its own, so that its work is not done by the client's threads.
///
/// # Errors
/// Where no port or thread is to be had.
pub fn start(simulated: &SimulatedEngine, model: &str) -> io::Result<Running> {
    start_with(SimulatorConfig::new(simulated, model))
}

/// As [`start`], with all settings.
///
/// # Errors
/// As [`start`], and where the log's file cannot be made.
pub fn start_with(config: SimulatorConfig) -> io::Result<Running> {
    let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}", listener.local_addr()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (simulator, listener) = {
        let _inside = runtime.enter();
        let simulator = Arc::new(Simulator::new(config)?);
        (simulator, TcpListener::from_std(listener)?)
    };
    let log = simulator.log();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("simulator".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = simulator.serve(listener) => {}
                    _ = stopped => {}
                }
            });
        })?;
    Ok(Running {
        url,
        log,
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has already been told.
            _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
