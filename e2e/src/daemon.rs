//! Processes that outlive the command that started them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::settings::{Layout, RUN_DIR};

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// A program with its arguments, known by a name.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Daemon {
    /// A daemon of this name.
    pub fn new(name: &str, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts it, unless it runs already with the same command line. Says whether it started it.
    pub fn start(&self, layout: &Layout) -> Result<bool> {
        let wanted = format!(
            "{} {} {:?}",
            self.program.display(),
            self.args.join(" "),
            self.env
        );
        if let Some(running) = Running::read(&self.name) {
            if running.is_alive() && running.command == wanted {
                return Ok(false);
            }
            stop(&self.name)?;
        }
        let log = File::create(layout.state_file(&format!("logs/{}.log", self.name))?)?;
        // `setsid` so that neither a closed terminal nor the caller's process group ends it.
        let child = Command::new("setsid")
            .arg(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&layout.state)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        let pid = child.id().cast_signed();
        let started = start_time(pid).with_context(|| format!("{} ended at once", self.name))?;
        Running {
            pid,
            started,
            command: wanted,
        }
        .write(&self.name)?;
        Ok(true)
    }
}

/// Ends a daemon, by force after ten seconds. One that doesn't run is fine.
pub fn stop(name: &str) -> Result<()> {
    let Some(running) = Running::read(name) else {
        return Ok(());
    };
    let deadline = Instant::now() + GRACE;
    running.signal(Signal::TERM);
    while running.is_alive() {
        if Instant::now() > deadline {
            running.signal(Signal::KILL);
        }
        if Instant::now() > deadline + GRACE {
            bail!("{name} (process {}) does not end", running.pid);
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = fs::remove_file(pid_file(name));
    Ok(())
}

/// Ends a daemon without a chance to tidy up, as a machine's loss does.
pub fn kill(name: &str) -> Result<()> {
    if let Some(running) = Running::read(name) {
        running.signal(Signal::KILL);
    }
    stop(name)
}

/// Fails if a daemon has ended by itself, with the end of its log.
pub fn require_all_running(layout: &Layout) -> Result<()> {
    for name in names() {
        if !is_running(&name) {
            let log = layout.state.join(format!("logs/{name}.log"));
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(10).collect();
            let end = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
            bail!("{name} has ended; {} closes with\n{end}", log.display());
        }
    }
    Ok(())
}

/// Whether the daemon of this name runs.
#[must_use]
pub fn is_running(name: &str) -> bool {
    Running::read(name).is_some_and(|running| running.is_alive())
}

/// Process id of the daemon of this name, while it runs.
#[must_use]
pub fn pid(name: &str) -> Option<i32> {
    let running = Running::read(name).filter(Running::is_alive)?;
    Some(running.pid)
}

/// Names of all daemons that were started.
#[must_use]
pub fn names() -> Vec<String> {
    let Ok(entries) = fs::read_dir(pid_folder()) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// What a pid file holds. The start time tells a process from a later one of the same id.
struct Running {
    pid: i32,
    started: u64,
    command: String,
}

impl Running {
    fn read(name: &str) -> Option<Self> {
        let text = fs::read_to_string(pid_file(name)).ok()?;
        let (pid, rest) = text.split_once(' ')?;
        let (started, command) = rest.split_once('\n')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
            command: command.into(),
        })
    }

    fn write(&self, name: &str) -> Result<()> {
        fs::create_dir_all(pid_folder())?;
        let text = format!("{} {}\n{}", self.pid, self.started, self.command);
        fs::write(pid_file(name), text).with_context(|| format!("writing the pid file of {name}"))
    }

    fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Clock ticks from boot to the start of a process; none if it ended, reaped or not.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; the fields after it don't.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn pid_folder() -> PathBuf {
    Path::new(RUN_DIR).join("pids")
}

fn pid_file(name: &str) -> PathBuf {
    pid_folder().join(name)
}
