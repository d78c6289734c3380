//! The further processes of a run whose `runner.parallelism` is over 1, and of `bench --processes`:
//! this program again, which follows this process over loopback as the pods of a cluster follow the
//! first.

use std::{net::Ipv4Addr, process::Stdio, sync::Arc, time::Duration};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    task::{JoinHandle, JoinSet},
};

use bakeoff_crds::plan::Plan;

use crate::{
    measure::{Crew, Progress},
    shard::Leader,
};

/// How long a process may give no sign of life until it is given up: nobody starts it anew.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the processes may take to end once they were told to.
const END_WITHIN: Duration = Duration::from_secs(10);

/// The further processes of one turn.
pub(crate) struct Shards {
    /// With whom this process measures.
    pub(super) crew: Crew,
    /// Each ends with its process, and the process with it.
    children: JoinSet<()>,
    tasks: Vec<JoinHandle<()>>,
    /// Holds the plan and last words.
    _folder: Option<tempfile::TempDir>,
}

/// What a turn is about.
pub(crate) struct About<'a> {
    pub(super) plan: &'a Plan,
    pub(super) prompts_sha256: &'a str,
    pub(super) threads: usize,
    pub(super) progress: &'a Arc<Progress>,
    pub(super) engine: &'a str,
    pub(super) round: u32,
    pub(super) url: &'a str,
    pub(super) api_key: Option<&'a str>,
}

impl Shards {
    /// Starts the processes of a turn; none where the run has one.
    pub(super) async fn start(about: &About<'_>) -> anyhow::Result<Self> {
        let of = about.plan.spec.runner.parallelism;
        let mut shards = Self {
            crew: Crew::Alone,
            children: JoinSet::new(),
            tasks: Vec::new(),
            _folder: None,
        };
        if of <= 1 {
            return Ok(shards);
        }
        let token = format!("{:032x}", rand::random::<u128>());
        let progress = Arc::clone(about.progress);
        let leader = Arc::new(Leader::new(token.clone(), of, PATIENCE, progress));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = format!("http://{}", listener.local_addr()?);
        let routes = leader.routes();
        shards.tasks.push(tokio::spawn(async move {
            // Ends with the turn.
            let _ = axum::serve(listener, routes).await;
        }));
        let folder = tempfile::tempdir()?;
        let plan = folder.path().join("plan.json");
        std::fs::write(&plan, serde_json::to_vec(about.plan)?)?;
        let mut processes = Vec::new();
        let program = std::env::current_exe().context("this program's own path")?;
        for index in 1..of {
            let mut command = Command::new(&program);
            command
                .args(["agent", "load", "--listen", "127.0.0.1:0", "--plan"])
                .arg(&plan)
                .args(["--engine", about.engine, "--url", about.url])
                .args(["--round", &about.round.to_string()])
                .args(["--prompts-sha256", about.prompts_sha256])
                .args(["--threads", &about.threads.to_string()])
                .args(["--shards", &of.to_string()])
                .args(["--shard-index", &index.to_string()])
                .args(["--shard-leader", &address])
                .args(["--shard-patience", &PATIENCE.as_secs().to_string()])
                .arg("--termination-log")
                .arg(folder.path().join(format!("shard-{index}")))
                .env("BAKEOFF_SHARD_TOKEN", &token)
                .stdin(Stdio::null())
                .kill_on_drop(true);
            if let Some(key) = about.api_key {
                command.env("BAKEOFF_API_KEY", key);
            }
            let mut child = command
                .spawn()
                .with_context(|| format!("starting shard {index} of {of}"))?;
            processes.extend(process_of(&child));
            let leader = Arc::clone(&leader);
            shards.children.spawn(async move {
                // However it ended: nobody starts it anew.
                let _ = child.wait().await;
                leader.is_gone(index);
            });
        }
        shards.pass_on_stop(processes, Arc::clone(about.progress));
        shards.crew = Crew::Leader(leader);
        shards._folder = Some(folder);
        Ok(shards)
    }

    /// Has the processes stop where this one is told to: what they measured until then is kept.
    fn pass_on_stop(&mut self, processes: Vec<Pid>, progress: Arc<Progress>) {
        self.tasks.push(tokio::spawn(async move {
            while !progress.control().is_cancelled() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            for process in processes {
                // One that has ended by itself needs no word.
                let _ = kill_process(process, Signal::TERM);
            }
        }));
    }

    /// Waits until the processes have ended, and ends those that do not.
    pub(super) async fn finish(mut self) {
        let all = async { while self.children.join_next().await.is_some() {} };
        if tokio::time::timeout(END_WITHIN, all).await.is_err() {
            tracing::warn!("a shard does not end and is killed");
        }
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn process_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}
