//! The engine's own metrics, under the names of the real engine.

mod exposition;
mod jetstream;
mod llama_cpp;
mod sglang;
mod tensorrt_llm;
mod tgi;
mod torchserve;
mod triton;
mod vllm;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exposition::{Exposition, Histogram};

use super::{
    batch::{Sequence, Step},
    config::{Engine, SimulatorConfig},
};
use crate::clock::{Nanos, seconds};

/// Buckets for times in seconds, as vLLM cuts them.
const TIMES: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];

/// Buckets for counts of tokens.
const COUNTS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
];

/// Counters of one engine; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<State>>);

/// What an engine counts.
#[derive(Debug)]
struct State {
    running: usize,
    waiting: usize,
    kept_tokens: u64,
    cache_tokens: u64,
    input_tokens: u64,
    output_tokens: u64,
    at_limit: u64,
    stopped: u64,
    failed: u64,
    prefix_queries: u64,
    prefix_hits: u64,
    steps: u64,
    busy_slots: u64,
    prefill_seconds: f64,
    decode_seconds: f64,
    time_to_first_token: Histogram,
    inter_token_latency: Histogram,
    queue_time: Histogram,
    request_latency: Histogram,
    inference_time: Histogram,
    time_per_token: Histogram,
    iteration_tokens: Histogram,
    input_lengths: Histogram,
    output_lengths: Histogram,
}

/// Tokens of a step, for the engine's own view of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Sequences in the batch.
    pub running: usize,
    /// Requests without a place.
    pub waiting: usize,
    /// Tokens whose keys and values are held.
    pub kept_tokens: u64,
}

impl Metrics {
    /// All zero. The KV cache has room for a full batch of sequences of 4096 tokens.
    pub fn new(config: &SimulatorConfig) -> Self {
        let per_sequence = u64::from(config.max_model_len.min(4096));
        Self(Arc::new(Mutex::new(State {
            running: 0,
            waiting: 0,
            kept_tokens: 0,
            cache_tokens: u64::from(config.max_batch_size.max(1)) * per_sequence,
            input_tokens: 0,
            output_tokens: 0,
            at_limit: 0,
            stopped: 0,
            failed: 0,
            prefix_queries: 0,
            prefix_hits: 0,
            steps: 0,
            busy_slots: 0,
            prefill_seconds: 0.0,
            decode_seconds: 0.0,
            time_to_first_token: Histogram::new(TIMES),
            inter_token_latency: Histogram::new(TIMES),
            queue_time: Histogram::new(TIMES),
            request_latency: Histogram::new(TIMES),
            inference_time: Histogram::new(TIMES),
            time_per_token: Histogram::new(TIMES),
            iteration_tokens: Histogram::new(COUNTS),
            input_lengths: Histogram::new(COUNTS),
            output_lengths: Histogram::new(COUNTS),
        })))
    }

    /// Counts a token that a sequence got at `at`, and the sequence's end with its last one.
    pub fn token<T>(&self, sequence: &Sequence<T>, at: Nanos, at_limit: bool) {
        let mut state = self.lock();
        let since = |from: Nanos| seconds(at.saturating_sub(from));
        state.output_tokens += 1;
        if sequence.made == 1 {
            state.input_tokens += u64::from(sequence.input_tokens);
            state.time_to_first_token.observe(since(sequence.arrived));
            let queued = sequence.admitted.saturating_sub(sequence.arrived);
            state.queue_time.observe(seconds(queued));
            state.prefill_seconds += since(sequence.admitted);
        } else {
            let gap = since(sequence.last_token);
            state.inter_token_latency.observe(gap);
            state.decode_seconds += gap;
        }
        if sequence.made < sequence.output_tokens {
            return;
        }
        if at_limit {
            state.at_limit += 1;
        } else {
            state.stopped += 1;
        }
        let inference = since(sequence.admitted);
        state.request_latency.observe(since(sequence.arrived));
        state.inference_time.observe(inference);
        let per_token = inference / f64::from(sequence.made);
        state.time_per_token.observe(per_token);
        state
            .input_lengths
            .observe(f64::from(sequence.input_tokens));
        state.output_lengths.observe(f64::from(sequence.made));
    }

    /// Counts a step.
    pub fn step(&self, step: Step) {
        let mut state = self.lock();
        state.steps += 1;
        state.busy_slots += (step.decoded + step.prefilled) as u64;
        let tokens = step.decoded as u64 + step.prompt_tokens;
        state.iteration_tokens.observe(tokens as f64);
    }

    /// Counts a prompt that was looked up in the prefix cache, and its tokens that were there.
    pub fn look_up(&self, tokens: u32, hits: u32) {
        let mut state = self.lock();
        state.prefix_queries += u64::from(tokens);
        state.prefix_hits += u64::from(hits);
    }

    /// Counts a request that was not answered.
    pub fn failure(&self) {
        self.lock().failed += 1;
    }

    /// Sets what the engine works on now.
    pub fn load(&self, load: Load) {
        let mut state = self.lock();
        state.running = load.running;
        state.waiting = load.waiting;
        state.kept_tokens = load.kept_tokens;
    }

    /// The metrics in Prometheus' text format, as the engine of the configuration names them.
    pub fn render(&self, config: &SimulatorConfig) -> String {
        let state = self.lock();
        let mut page = Exposition::default();
        match config.engine {
            Engine::Vllm | Engine::OpenLlm => {
                let labels = [("engine", "0"), ("model_name", config.shown_model())];
                vllm::render(&state, &labels, &mut page);
            }
            Engine::Tgi => tgi::render(&state, &mut page),
            Engine::TritonVllm => {
                let labels = [("model", "vllm_model"), ("version", "1")];
                triton::render(&state, &labels, &mut page);
                vllm::render_histograms(&state, &labels, &mut page);
            }
            Engine::TritonTensorRtLlm => {
                let labels = [("model", "tensorrt_llm"), ("version", "1")];
                triton::render(&state, &labels, &mut page);
                triton::render_tensorrt_llm(&state, &labels, &mut page);
            }
            Engine::TritonEnsemble => {
                let labels = [("model", "ensemble"), ("version", "1")];
                triton::render(&state, &labels, &mut page);
                let labels = [("model", "tensorrt_llm"), ("version", "1")];
                triton::render_tensorrt_llm(&state, &labels, &mut page);
            }
            Engine::KserveV2 => {
                let labels = [("model", config.shown_model()), ("version", "1")];
                triton::render(&state, &labels, &mut page);
            }
            Engine::LlamaCpp => llama_cpp::render(&state, &mut page),
            Engine::SgLang => {
                let labels = [
                    ("engine_type", "unified"),
                    ("model_name", config.shown_model()),
                ];
                sglang::render(&state, &labels, &mut page);
            }
            Engine::TensorRtLlm => {
                let labels = [
                    ("engine_type", "trtllm"),
                    ("model_name", config.shown_model()),
                ];
                tensorrt_llm::render(&state, &labels, &mut page);
            }
            Engine::JetStream => jetstream::render(&state, &mut page),
            Engine::TorchServeVllm | Engine::TorchServe => torchserve::render(&state, &mut page),
            Engine::RayServe => {
                let labels = [("ReplicaId", "0"), ("model_name", config.shown_model())];
                vllm::render(&state, &labels, &mut page);
                // Ray takes no colon, and puts its own name before each.
                return page.into_text().replace("vllm:", "ray_vllm_");
            }
            // They have no page: FastChat, `transformers serve`, wrappers and handlers of one's own; or
            // its names are not known: SAX.
            _ => {}
        }
        page.into_text()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn cache_usage(&self) -> f64 {
        (self.kept_tokens as f64 / self.cache_tokens as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests;
