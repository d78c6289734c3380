//! The operator as it is shipped, as a process of this machine, so that it can be looked at.

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_e2e::daemon::{self, Daemon};
use bakeoff_e2e::harness::{Namespace, program_of_pod};
use serde_json::json;

use super::histogram::{quantile, sum};
use super::proxy::Proxy;
use crate::install::SYSTEM;

const NAME: &str = "scale-operator";
const PROGRAM: &str = "bakeoff-operator";
/// The program to measure, in place of the image's: one of the profile `dist`.
const OTHER_PROGRAM: &str = "BAKEOFF_E2E_OPERATOR";
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Operator {
    url: String,
    http: reqwest::Client,
}

/// What it took.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) reconciliations: f64,
    pub(super) errors: u64,
    /// How long a reconciliation takes with its requests, in seconds: p50 and p99.
    pub(super) duration: [f64; 2],
    /// The operator's own time of those that read everything; the others would only make it look
    /// better.
    pub(super) own: [f64; 2],
    /// The most memory that was ever resident, in bytes.
    pub(super) peak_memory: u64,
    /// The same, now.
    pub(super) memory: u64,
    /// Time on a processor, in seconds.
    pub(super) processor: f64,
}

/// Whether the program is one that was asked for, built as the images are that are shipped.
pub(super) fn is_as_shipped() -> bool {
    std::env::var_os(OTHER_PROGRAM).is_some()
}

/// The program that the installed operator runs, or the one that was asked for.
pub(super) fn program(namespace: &Namespace) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(OTHER_PROGRAM) {
        return Ok(path.into());
    }
    let kubectl = &namespace.kubectl;
    let pods = [
        "--namespace",
        SYSTEM,
        "get",
        "pods",
        "--field-selector=status.phase=Running",
    ];
    let pods =
        kubectl.output(&[&pods[..], &["--output=jsonpath={.items[*].metadata.uid}"]].concat())?;
    let mut programs = pods
        .split_whitespace()
        .map(|uid| program_of_pod(uid, PROGRAM));
    let program = programs.find_map(Result::ok).with_context(|| {
        format!("no operator runs on this machine; name its program by {OTHER_PROGRAM}")
    })?;
    // It goes with the process.
    let copy = namespace.layout.state_file("scale/bakeoff-operator")?;
    let _ = fs::remove_file(&copy);
    fs::copy(program, &copy)?;
    Ok(copy)
}

impl Operator {
    /// Starts it as its Deployment says, with the proxy in the API server's place.
    pub(super) fn start(namespace: &Namespace, program: &Path, proxy: &Proxy) -> Result<Self> {
        let arguments = [
            "--namespace",
            SYSTEM,
            "get",
            "deployment",
            "bakeoff",
            "--output",
        ];
        let path = "jsonpath={.spec.template.spec.containers[0].args}";
        let arguments = namespace
            .kubectl
            .output(&[&arguments[..], &[path]].concat())?;
        let mut arguments: Vec<String> = serde_json::from_str(&arguments)?;
        // Free now, and hardly taken by somebody else before it is used.
        let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        arguments.retain(|argument| !argument.starts_with("--listen="));
        arguments.push(format!("--listen={listen}"));
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "scale",
            "clusters": [{"name": "scale", "cluster": {"server": format!("http://{}", proxy.address)}}],
            "users": [{"name": "scale", "user": {}}],
            "contexts": [{"name": "scale", "context": {"cluster": "scale", "user": "scale"}}],
        });
        let kubeconfig = namespace
            .layout
            .write_state_file("scale/kubeconfig", kubeconfig.to_string())?;
        daemon::stop(NAME)?;
        // First of all on a processor: the time that compilers and the like take is not its own.
        let first = ["-n", "-10"].map(str::to_owned);
        Daemon::new(NAME, "nice")
            .args(first.into_iter().chain([program.display().to_string()]))
            .args(arguments)
            .env("KUBECONFIG", &kubeconfig.display().to_string())
            .env("BAKEOFF_RUNNER_IMAGE", "registry.test/bakeoff:1")
            .env("POD_NAME", NAME)
            .start(&namespace.layout)?;
        Ok(Self {
            url: format!("http://{listen}/metrics"),
            http: reqwest::Client::new(),
        })
    }

    /// Ends it; one that does not run is fine.
    pub(super) fn stop() -> Result<()> {
        daemon::stop(NAME)
    }

    /// Returns once it acts.
    pub(super) async fn until_ready(&self) -> Result<()> {
        let acts = async {
            loop {
                let text = self.metrics().await.unwrap_or_default();
                if sum(&text, "bakeoff_leader") > 0.0 {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(LIMIT, acts)
            .await
            .with_context(|| format!("the operator does not act after {LIMIT:?}"))
    }

    async fn metrics(&self) -> Result<String> {
        let answer = self.http.get(&self.url).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// What it took until now.
    pub(super) async fn figures(&self) -> Result<Figures> {
        let text = self.metrics().await?;
        let pid = daemon::pid(NAME).context("the operator has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |key: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number =
                line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
            Ok(number.context("a figure of memory")?.parse::<u64>()? * 1024)
        };
        let quantiles = |name: &str, label: &str| {
            [0.5, 0.99].map(|it| quantile(&text, name, label, it).unwrap_or(f64::INFINITY))
        };
        let duration = quantiles("bakeoff_reconcile_duration_seconds", "");
        let own = quantiles("bakeoff_reconcile_own_seconds", "look=\"full\"");
        let reconciliations = sum(&text, "bakeoff_reconciliations_total");
        ensure!(reconciliations > 0.0, "nothing was reconciled: {text}");
        Ok(Figures {
            reconciliations,
            errors: sum(&text, "bakeoff_reconcile_errors_total") as u64,
            duration,
            own,
            peak_memory: bytes("VmHWM")?,
            memory: bytes("VmRSS")?,
            processor: processor_time(pid)?,
        })
    }
}

/// Seconds that a process was on a processor, its own and the kernel's on its behalf.
fn processor_time(pid: i32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; the fields after it don't.
    let (_, fields) = stat.rsplit_once(')').context("a process's figures")?;
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    // A tick is a hundredth of a second in what Linux shows to programs, on any machine.
    Ok(ticks as f64 / 100.0)
}

impl Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let quantiles =
            |[p50, p99]: [f64; 2]| format!("p50 {:.1} ms, p99 {:.1} ms", p50 * 1e3, p99 * 1e3);
        write!(
            f,
            "{} reconciliations, {} failed; with their requests {}; of its own {}; \
             memory {:.1} MiB at most, {:.1} MiB at the end; {:.1} s of a processor",
            self.reconciliations,
            self.errors,
            quantiles(self.duration),
            quantiles(self.own),
            mebibytes(self.peak_memory),
            mebibytes(self.memory),
            self.processor,
        )
    }
}
