//! The BenchmarkRun that the flags of `bakeoff bench` stand for.

use std::path::{Path, PathBuf};

use bakeoff_crds::{
    BenchmarkRun, BenchmarkRunSpec,
    common::FileSource,
    run::{
        Calibration, EngineSpec, ExternalEngine, HttpFormat, Limits, ModelSpec, Output, Prompts,
        Ramp, Runner, Sampling, StageSpec, Sweep, SyntheticPrompts, TokenLength, Trace, Warmup,
        Workload,
    },
};

use super::{ENGINE, Options, flags::Arguments, traffic::Traffic, words::ArrivalFlag};

/// Prompt where none is named.
const DEFAULT_PROMPT: &str = "Write a short story about a baker who measures everything twice.";

impl Arguments {
    /// The run that the flags stand for, and what no run holds.
    pub(super) fn into_run(self) -> Result<(BenchmarkRun, Options), String> {
        let headers = self
            .headers
            .iter()
            .map(|header| {
                let (name, value) = header
                    .split_once(':')
                    .ok_or_else(|| format!("--header {header:?} has no colon; write NAME:VALUE"))?;
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect::<Result<_, String>>()?;
        let api_key = self
            .api_key_env
            .as_deref()
            .map(|name| {
                std::env::var(name)
                    .map_err(|_| format!("--api-key-env {name}: no such environment variable"))
            })
            .transpose()?;
        let sweep = self.sweep()?;
        let traffic = Traffic::read(&self)?;
        let http = self.http_request.as_deref().map(http_format).transpose()?;
        let options = Options {
            url: self.url.clone(),
            threads: self.threads.max(1),
            headers,
            api_key,
            output: self.output.clone(),
            requests_log: self.requests_log.clone(),
        };
        let mut run = BenchmarkRun::new("bench", self.spec(sweep, traffic, http));
        run.metadata.namespace = Some("local".into());
        Ok((run, options))
    }

    fn sweep(&self) -> Result<Sweep, String> {
        if let Some(speed) = self.speed {
            return if (0.001..=1000.0).contains(&speed) {
                Ok(Sweep {
                    replay_speed: vec![speed],
                    ..Sweep::default()
                })
            } else {
                Err(format!(
                    "--speed {speed} is not a number from 0.001 to 1000"
                ))
            };
        }
        match (self.requests, self.duration) {
            (None, None) => {
                return Err("say when to end, with --requests or --duration".into());
            }
            (Some(_), Some(_)) => {
                return Err("--requests and --duration each end the load; give one of them".into());
            }
            _ => {}
        }
        let Some(rate) = self.rate else {
            return Ok(Sweep {
                concurrency: self.concurrency.into_iter().collect(),
                ..Sweep::default()
            });
        };
        if rate.is_infinite() && rate > 0.0 {
            if self.requests.is_none() {
                return Err(
                    "--rate inf sends all requests at once; say how many with --requests".into(),
                );
            }
            return Ok(Sweep {
                burst: true,
                ..Sweep::default()
            });
        }
        if !(rate.is_finite() && rate > 0.0) {
            return Err(format!("--rate {rate} is not a number over 0"));
        }
        let ArrivalFlag {
            arrival,
            burstiness,
        } = self.arrival;
        let Some(to_rate) = self.ramp_to else {
            return Ok(Sweep {
                request_rate: vec![rate],
                arrival: Some(arrival),
                burstiness,
                ..Sweep::default()
            });
        };
        if !(to_rate.is_finite() && to_rate >= 0.0) {
            return Err(format!("--ramp-to {to_rate} is not a number of 0 or more"));
        }
        if self.duration.is_none() {
            return Err("--ramp-to needs --duration, over which the rate changes".into());
        }
        let ramp = StageSpec {
            name: "ramp".into(),
            ramp: Some(Ramp {
                from_rate: rate,
                to_rate,
            }),
            duration: self.duration,
            arrival: Some(arrival),
            burstiness,
            ..StageSpec::default()
        };
        Ok(Sweep {
            stages: vec![ramp],
            ..Sweep::default()
        })
    }

    fn spec(self, sweep: Sweep, traffic: Traffic, http: Option<HttpFormat>) -> BenchmarkRunSpec {
        let file = |path: PathBuf| FileSource {
            path: Some(path.display().to_string()),
            ..FileSource::default()
        };
        let length = |mean| TokenLength { mean, stddev: 0.0 };
        let default_max_tokens = if self.trace.is_some() {
            10_000_000
        } else {
            128
        };
        let max_tokens = self.max_tokens.unwrap_or(default_max_tokens);
        let is_replay = self.speed.is_some();
        let trace = self
            .trace
            .zip(self.trace_format)
            .map(|(path, format)| Trace {
                format: format.into(),
                file: file(path),
                from: None,
                duration: self.duration.filter(|_| is_replay),
                max_requests: self.requests.filter(|_| is_replay).unwrap_or(1000),
            });
        let mut prompts = Prompts {
            share_gpt: self.sharegpt.map(file),
            jsonl: self.prompts.map(file),
            synthetic: self.input_tokens.map(|tokens| SyntheticPrompts {
                input_tokens: length(tokens),
                output_tokens: length(max_tokens),
                shared_prefix: traffic.shared_prefix,
            }),
            inline: self.prompt.into_iter().collect(),
            trace,
            conversations: traffic.conversations,
            system: self.system,
            count: None,
        };
        let sources = [&prompts.share_gpt, &prompts.jsonl];
        let no_file = sources.iter().all(|file| file.is_none());
        if no_file && prompts.synthetic.is_none() && prompts.inline.is_empty() {
            prompts.inline = vec![DEFAULT_PROMPT.into()];
        }
        BenchmarkRunSpec {
            queue_name: None,
            suspend: false,
            model: ModelSpec {
                hub: None,
                id: traffic.model,
                revision: "main".into(),
                token_secret_ref: None,
                dtype: Default::default(),
                quantization: None,
                max_model_len: None,
                chat_template: None,
                tokenizer: self.tokenizer.map(file),
                persistent_volume_claim: None,
                prefetch: None,
                builds: None,
                adapters: traffic.adapters,
            },
            tuning: Default::default(),
            hardware: Default::default(),
            engines: vec![EngineSpec {
                name: ENGINE.into(),
                external: Some(ExternalEngine {
                    url: self.url,
                    protocol: self.protocol.into(),
                    http,
                    model: None,
                    api_key_secret_ref: None,
                    price_per_million_tokens: None,
                }),
                ..EngineSpec::default()
            }],
            workload: Workload {
                cache_policy: Default::default(),
                prompts,
                limits: Limits {
                    max_input_tokens: 10_000_000,
                    max_output_tokens: max_tokens,
                },
                sampling: Sampling {
                    temperature: self.temperature,
                    ignore_eos: self.ignore_eos,
                    ..Sampling::default()
                },
                api: Default::default(),
                streaming: !self.no_stream,
                prompts_per_request: self.prompts_per_request,
                models: traffic.models,
                request_timeout: self.request_timeout,
                warmup: Warmup {
                    requests: self.warmup,
                },
                sweep,
                requests_per_stage: self.requests.filter(|_| !is_replay),
                stage_duration: self.duration.filter(|_| !is_replay),
                repetitions: 1,
                seed: self.seed,
            },
            runner: Runner {
                calibration: if self.no_calibration {
                    Calibration::Never
                } else {
                    Calibration::Auto
                },
                parallelism: self.processes,
                ..Runner::default()
            },
            metrics: Default::default(),
            output: Output {
                uri: "file:///dev/null".into(),
                endpoint: None,
                region: None,
                ca_bundle_ref: None,
                credentials_secret_ref: None,
                metadata: Default::default(),
                formats: Vec::new(),
            },
            objectives: Vec::new(),
            policy: Default::default(),
            cleanup: Default::default(),
        }
    }
}

/// The format in a file of `--http-request`.
fn http_format(path: &Path) -> Result<HttpFormat, String> {
    let told =
        |error: &dyn std::fmt::Display| format!("--http-request {}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    serde_saphyr::from_str(&text).map_err(|error| told(&error))
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::plan::{Stage, stages::stages};
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// The run that flags stand for.
    fn run_of(flags: &str) -> Result<BenchmarkRun, String> {
        let fixed = [
            "bench",
            "--url",
            "http://h",
            "--protocol",
            "tgi",
            "--model",
            "m",
        ];
        let words = fixed.into_iter().chain(flags.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(command.arguments.into_run()?.0)
    }

    /// The stage that flags stand for.
    fn stage(flags: &str) -> Result<Stage, String> {
        let run = run_of(flags)?;
        let mut planned = stages(&run.spec);
        assert_eq!(planned.len(), 1, "{flags}");
        Ok(planned.remove(0))
    }

    #[test]
    fn flags_of_the_load_make_one_stage() {
        for (flags, expected) in [
            (
                "--concurrency 8 --requests 20",
                "concurrency-8 None None None None Requests(20)",
            ),
            (
                "--rate 4 --duration 30s",
                "rate-4 Some(4.0) None Some(Poisson) None Seconds(30.0)",
            ),
            (
                "--rate 4 --arrival gamma:0.5 --requests 9",
                "rate-4 Some(4.0) None Some(Gamma) Some(0.5) Requests(9)",
            ),
            (
                "--rate 1 --ramp-to 9 --arrival constant --duration 1m",
                "ramp Some(1.0) Some(9.0) Some(Constant) None Seconds(60.0)",
            ),
            (
                "--rate inf --requests 9",
                "burst None None None None Requests(9)",
            ),
        ] {
            let Stage { name, load, end } = stage(flags).unwrap();
            let found = format!(
                "{name} {:?} {:?} {:?} {:?} {end:?}",
                load.rate, load.to_rate, load.arrival, load.burstiness
            );
            assert_eq!(found, expected, "{flags}");
        }
    }

    #[test]
    fn a_replay_takes_so_much_of_a_trace_and_no_more_requests_than_asked_for() {
        let flags = "--trace t.csv --trace-format azure --speed 2 --requests 9 --duration 5s";
        let trace = run_of(flags).unwrap().spec.workload.prompts.trace.unwrap();
        assert_eq!(trace.max_requests, 9);
        assert_eq!(trace.duration, Some(bakeoff_crds::Duration::from_secs(5)));
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for (flags, word) in [
            ("--concurrency 8", "--requests"),
            ("--concurrency 8 --requests 9 --duration 9s", "one of them"),
            (
                "--concurrency 8 --rate 4 --requests 9",
                "cannot be used with",
            ),
            ("--rate 4 --arrival gamma --requests 9", "gamma:0.5"),
            ("--rate 4 --arrival gamma:0 --requests 9", "0.01 to 1000"),
            ("--rate 4 --ramp-to 9 --requests 9", "--duration"),
            ("--rate 4 --ramp-to -1 --duration 9s", "-1"),
            ("--rate inf --duration 9s", "--requests"),
            ("--rate -1 --requests 9", "-1"),
            (
                "--rate 1 --requests 9 --processes 2 --header a:b",
                "cannot be used with",
            ),
            ("--rate 1 --requests 9 --processes 257", "257"),
            ("--speed 2", "--trace"),
            ("--trace t.csv --speed 2", "--trace-format"),
            (
                "--trace t.csv --trace-format azure --speed 0",
                "0.001 to 1000",
            ),
        ] {
            let error = stage(flags).unwrap_err();
            assert!(error.contains(word), "{flags}: {error}");
        }
    }
}
