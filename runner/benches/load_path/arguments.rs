//! The words of the command line.

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::{limit::Load, phase::Phase};

/// The load of [`Arguments::gate`]: its ratio is of two clients at one rate, so it holds whatever
/// the server's speed.
const GATED: &str = "acc512";

/// What is to be measured.
pub struct Arguments {
    /// Only the ratio to the limit, within one run: on any machine, in a minute.
    pub gate: bool,
    /// Runs of each load, of which the median counts.
    pub repeat: u32,
    /// Names of loads; all where empty.
    phases: Vec<String>,
    /// The `bakeoff` program.
    pub client: PathBuf,
}

impl Arguments {
    /// Reads what follows `cargo bench -p bakeoff-runner --`.
    pub fn read(words: &[String]) -> anyhow::Result<Self> {
        let mut arguments = Self {
            gate: false,
            repeat: 3,
            phases: Vec::new(),
            client: env!("CARGO_BIN_EXE_bakeoff").into(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--gate" => arguments.gate = true,
                "--repeat" => arguments.repeat = value()?.parse()?,
                "--client" => arguments.client = value()?.into(),
                "--phases" => {
                    arguments.phases = value()?.split(',').map(str::to_owned).collect();
                }
                _ => bail!(
                    "{word:?} is not known; write [--gate] [--repeat N] [--phases NAME,…] [--client PATH]"
                ),
            }
        }
        Ok(arguments)
    }

    /// Whether a load is to be measured.
    pub fn takes(&self, phase: &Phase) -> bool {
        if self.phases.is_empty() {
            !self.gate || phase.name == GATED
        } else {
            self.phases.iter().any(|name| name == phase.name)
        }
    }
}

/// The load, where this process is to be the limit.
pub fn limit(words: &[String]) -> anyhow::Result<Option<Load>> {
    let [name, port, concurrency, requests, tokens, rate, seconds] = words else {
        return Ok(None);
    };
    if name != "limit" {
        return Ok(None);
    }
    let rate: f64 = rate.parse()?;
    let seconds: f64 = seconds.parse()?;
    Ok(Some(Load {
        port: port.parse()?,
        concurrency: concurrency.parse()?,
        requests: requests.parse()?,
        tokens: tokens.parse()?,
        rate: (rate > 0.0).then_some((rate, seconds)),
    }))
}
