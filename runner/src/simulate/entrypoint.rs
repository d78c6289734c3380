//! The programs of the engines' images: same names, same flags, simulated engines.
//!
//! In an image, links named like an engine's program lead to `bakeoff`, which looks at the name
//! under which it was called. So a profile runs with only its image replaced, and a flag that the
//! real program does not know is refused here too, with exit code 2.
//!
//! What no flag of an engine tells comes from the environment: `BAKEOFF_SIM_TIME_TO_FIRST_TOKEN`,
//! `BAKEOFF_SIM_INTER_TOKEN_LATENCY` (durations such as `50ms`), `BAKEOFF_SIM_BATCH_SLOWDOWN`,
//! `BAKEOFF_SIM_MAX_BATCH_SIZE` (in place of the engine's own flag), `BAKEOFF_SIM_MODEL` (the name
//! of the model, where another program of the engine knows it), `BAKEOFF_SIM_FAULT`,
//! `BAKEOFF_SIM_LOG` (a file), `BAKEOFF_SIM_SEED`.

mod engine_build;
mod flags;
mod jetstream;
mod llama_cpp;
mod openllm;
mod python;
mod sax;
mod shell;
mod tgi;
mod transformers;
mod triton;
mod trtllm;
mod vllm;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use bakeoff_crds::run::Fault;
use tokio::net::TcpListener;

pub use flags::Misuse;

use super::{
    Simulator,
    config::{Engine, SimulatorConfig, parse_fault},
};

/// A program that is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `vllm serve MODEL`.
    Vllm,
    /// `text-generation-launcher`.
    TextGenerationLauncher,
    /// `tritonserver`.
    TritonServer,
    /// `llama-server`.
    LlamaServer,
    /// `python3 -m MODULE`: SGLang, FastChat's three programs, TorchServe.
    Python,
    /// `trtllm-serve MODEL`.
    TrtllmServe,
    /// `transformers serve MODEL`.
    Transformers,
    /// `bash -c SCRIPT`, where a script is commands with `&&` between: Ray Serve.
    Shell,
    /// `openllm serve BENTO`.
    OpenLlm,
    /// `maxengine-server KEY=VALUE…`: JetStream's engine.
    MaxEngineServer,
    /// `jetstream-http`: the HTTP server before it.
    JetStreamHttp,
    /// `sax-admin-server`, `sax-model-server` and `sax-http`: SAX, each a server.
    SaxAdminServer,
    /// See [`Self::SaxAdminServer`].
    SaxModelServer,
    /// See [`Self::SaxAdminServer`].
    SaxHttp,
    /// `mpirun`: of the servers that it starts, the one that answers.
    MpiRun,
    /// `trtllm-build`, which ends once the engine is there.
    TrtllmBuild,
    /// `nvidia-smi`, which ends at once.
    NvidiaSmi,
}

impl Program {
    /// The program that a name stands for, the first word of a command line with or without a path.
    pub fn by_name(name: &str) -> Option<Self> {
        match Path::new(name).file_name()?.to_str()? {
            "vllm" => Some(Self::Vllm),
            "text-generation-launcher" => Some(Self::TextGenerationLauncher),
            "tritonserver" => Some(Self::TritonServer),
            "llama-server" => Some(Self::LlamaServer),
            "python" | "python3" => Some(Self::Python),
            "trtllm-serve" => Some(Self::TrtllmServe),
            "transformers" => Some(Self::Transformers),
            "bash" | "sh" => Some(Self::Shell),
            "openllm" => Some(Self::OpenLlm),
            "maxengine-server" => Some(Self::MaxEngineServer),
            "jetstream-http" => Some(Self::JetStreamHttp),
            "sax-admin-server" => Some(Self::SaxAdminServer),
            "sax-model-server" => Some(Self::SaxModelServer),
            "sax-http" => Some(Self::SaxHttp),
            "mpirun" => Some(Self::MpiRun),
            "trtllm-build" => Some(Self::TrtllmBuild),
            "nvidia-smi" => Some(Self::NvidiaSmi),
            _ => None,
        }
    }
}

/// What a command line asks for.
#[derive(Debug)]
pub struct Launch {
    /// The engine.
    pub config: SimulatorConfig,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where its metrics are, if that is another port.
    pub metrics: Option<SocketAddr>,
    /// Where calls by gRPC go, if that is another port.
    pub grpc: Option<SocketAddr>,
}

/// What a command line is read with: the environment and the files.
pub struct World<'a> {
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file.
    pub file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// Reads a command line without its first word, as the program would.
///
/// # Errors
/// What the program says before it ends with exit code 2.
pub fn plan(program: Program, arguments: &[String], world: &World<'_>) -> Result<Launch, Misuse> {
    let mut launch = match program {
        Program::Vllm => vllm::plan(arguments, world)?,
        Program::TextGenerationLauncher => tgi::plan(arguments, world)?,
        Program::TritonServer => triton::plan(arguments, world)?,
        Program::LlamaServer => llama_cpp::plan(arguments, world)?,
        Program::Python => python::plan(arguments, world)?,
        Program::TrtllmServe => trtllm::plan(arguments, world)?,
        Program::Transformers => transformers::plan(arguments)?,
        Program::Shell => shell::plan(arguments, world)?,
        Program::OpenLlm => openllm::plan(arguments)?,
        Program::MaxEngineServer => jetstream::engine(arguments)?,
        Program::JetStreamHttp => jetstream::http(arguments)?,
        Program::SaxAdminServer => sax::admin(arguments)?,
        Program::SaxModelServer => sax::model(arguments)?,
        Program::SaxHttp => sax::http(arguments)?,
        Program::MpiRun => triton::under_mpi(arguments, world)?,
        Program::TrtllmBuild | Program::NvidiaSmi => {
            return Err(Misuse("error: it serves nothing".into()));
        }
    };
    let config = &mut launch.config;
    set(
        world,
        "TIME_TO_FIRST_TOKEN",
        &mut config.time_to_first_token,
        duration,
    )?;
    set(
        world,
        "INTER_TOKEN_LATENCY",
        &mut config.inter_token_latency,
        duration,
    )?;
    set(world, "BATCH_SLOWDOWN", &mut config.batch_slowdown, number)?;
    set(world, "MAX_BATCH_SIZE", &mut config.max_batch_size, number)?;
    set(world, "MODEL", &mut config.model, |model| Ok(model.into()))?;
    set(world, "FAULT", &mut config.fault, parse_fault)?;
    set(world, "LOG", &mut config.log, |path| Ok(Some(path.into())))?;
    set(world, "SEED", &mut config.seed, number)?;
    Ok(launch)
}

/// Plays a program to its end, which is a signal, but for those that build an engine.
pub fn run(program: Program, arguments: &[String]) -> ExitCode {
    if let Some(ended) = engine_build::run(program, arguments) {
        return match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(misuse) => {
                eprintln!("{misuse}");
                ExitCode::from(2)
            }
        };
    }
    let world = World {
        variable: &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
        file: &|path| std::fs::read_to_string(path),
    };
    let launch = match plan(program, arguments, &world) {
        Ok(launch) => launch,
        Err(misuse) => {
            eprintln!("{misuse}");
            return ExitCode::from(2);
        }
    };
    if let Some(path) = arguments
        .iter()
        .find_map(|word| missing_files(word, &has_files))
    {
        eprintln!("OSError: {path} is not a local folder with files");
        return ExitCode::FAILURE;
    }
    match launch.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where model and adapters are mounted; a path below that a real engine would load from.
const MOUNTED: [&str; 2] = ["/models/", "/adapters/"];

/// The path of a model or adapter in a word of a command line, where nothing can be loaded from it.
fn missing_files<'a>(word: &'a str, has_files: &dyn Fn(&Path) -> bool) -> Option<&'a str> {
    // NAME=PATH, --flag=PATH, and lists of the former.
    let mut paths = word.split([',', '=', ' ', '"', '\n']);
    paths.find(|path| {
        let is_mounted = MOUNTED.iter().any(|root| path.starts_with(root));
        is_mounted && !has_files(Path::new(path))
    })
}

fn has_files(path: &Path) -> bool {
    path.is_file() || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

impl Launch {
    /// Serves until the process is told to end.
    ///
    /// # Errors
    /// Where an address cannot be listened on or the log's file cannot be made.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = bind(self.listen).await?;
            let metrics = match self.metrics {
                Some(address) => Some(bind(address).await?),
                None => None,
            };
            let grpc = match self.grpc {
                Some(address) => Some(bind(address).await?),
                None => None,
            };
            let simulator = Arc::new(Simulator::new(self.config)?);
            eprintln!(
                "simulated {:?} serves {} on {}",
                simulator.config().engine,
                simulator.config().shown_model(),
                listener.local_addr()?
            );
            tokio::select! {
                () = Arc::clone(&simulator).serve(listener) => {}
                () = Arc::clone(&simulator).serve_metrics(metrics) => {}
                () = serve_where(simulator, grpc) => {}
                () = told_to_end() => {}
            }
            Ok(())
        })
    }
}

/// Serves on a port; without one, waits for ever.
async fn serve_where(simulator: Arc<Simulator>, listener: Option<TcpListener>) {
    match listener {
        Some(listener) => simulator.serve(listener).await,
        None => std::future::pending().await,
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Waits for SIGTERM or SIGINT. As process 1 of a container there is no other way to end.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// A simulated engine with the times of a run's defaults.
fn config(engine: Engine, model: &str, max_batch_size: u32) -> SimulatorConfig {
    SimulatorConfig {
        engine,
        model: model.to_owned(),
        revision: None,
        adapters: Vec::new(),
        max_model_len: 131_072,
        time_to_first_token: Duration::from_millis(50),
        inter_token_latency: Duration::from_millis(10),
        max_batch_size,
        batch_slowdown: 0.01,
        max_concurrent_requests: None,
        metrics: true,
        prefix_caching: true,
        dev_mode: false,
        fault: Fault::None,
        log: None,
        seed: 0,
    }
}

fn address(host: &str, port: u16) -> SocketAddr {
    let ip = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    };
    SocketAddr::new(ip, port)
}

fn set<T>(
    world: &World<'_>,
    name: &str,
    setting: &mut T,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<(), Misuse> {
    let name = format!("BAKEOFF_SIM_{name}");
    if let Some(value) = (world.variable)(&name) {
        *setting = parse(&value).map_err(|cause| Misuse(format!("error: {name}: {cause}")))?;
    }
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    bakeoff_crds::Duration::from_str(text).map(bakeoff_crds::Duration::get)
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number that fits"))
}

#[cfg(test)]
mod known;
#[cfg(test)]
mod tests;
