//! What is sent: prompts, limits, sampling. The load levels are in [`super::sweep`].

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Sweep, Trace};
use crate::common::{Duration, FileSource};

/// The traffic, the same for every engine.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.requestsPerStage) && has(self.stageDuration))")
    .message("set requestsPerStage or stageDuration, not both"))]
#[x_kube(validation = Rule::new(
    "has(self.prompts.trace) || !has(self.sweep) || \
     (!has(self.sweep.replaySpeed) && (!has(self.sweep.stages) || self.sweep.stages.all(s, !has(s.replaySpeed))))")
    .message("replaySpeed replays the times of a trace; set prompts.trace"))]
#[x_kube(validation = Rule::new(
    "self.cachePolicy != 'Warm' || !has(self.prompts.conversations) || self.prompts.conversations.history != 'Answers'")
    .message("what an engine will answer cannot be in its cache beforehand; use history Recorded, or another cachePolicy"))]
pub struct Workload {
    /// Where prompts come from.
    pub prompts: Prompts,
    /// Caps on lengths, in tokens of the model's tokenizer.
    #[serde(default)]
    pub limits: Limits,
    /// Sampling parameters, always sent, so that no engine's own defaults slip in.
    #[serde(default)]
    pub sampling: Sampling,
    /// Which of an engine's interfaces is used.
    #[serde(default)]
    pub api: Api,
    /// Whether answers stream. Without streaming there is no time to first token.
    #[serde(default = "yes")]
    pub streaming: bool,
    /// Prompts in each request, answered together: one arrival is one request with so many prompts.
    /// For engines whose OpenAI completions take a list.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024))]
    pub prompts_per_request: u32,
    /// Which of the served models the requests ask for: `model.id` or the name of an adapter, each
    /// with its share. The names are dealt out in blocks that hold each as often as its weight, each
    /// block in an order that the seed decides: the same for every engine. Left out: `model.id` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 33))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub models: Vec<ModelShare>,
    /// Longest wait for one answer; later ones count as failed by timeout.
    #[serde(default = "default_request_timeout")]
    pub request_timeout: Duration,
    /// Requests that are sent first and thrown away.
    #[serde(default)]
    pub warmup: Warmup,
    /// The load levels; each is one stage, one measured window.
    #[serde(default)]
    pub sweep: Sweep,
    /// Requests of each stage. Without it and without `stageDuration`: the larger of 100 and four
    /// times the concurrency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub requests_per_stage: Option<u32>,
    /// Time in which requests of a stage are begun; those begun are waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_duration: Option<Duration>,
    /// How often the whole sweep is driven within one life of an engine.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 20))]
    pub repetitions: u32,
    /// What is done to the engine's prefix cache before each stage.
    #[serde(default)]
    pub cache_policy: CachePolicy,
    /// Seed of everything random in the traffic: choice of prompts, lengths, arrival times.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub seed: u64,
}

/// What is done to the engine's prefix cache before each stage.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum CachePolicy {
    /// Nothing: each stage finds what those before it left. Stages take other prompts, as far as
    /// `prompts.count` goes.
    #[default]
    AsIs,
    /// It is emptied. Engines that have no call for that are named in the report.
    Cold,
    /// The stage's prompts are sent once before it, for one token each.
    Warm,
}

/// A model or adapter, and how many of the requests ask for it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelShare {
    /// `model.id`, or the name of one of `model.adapters`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Requests for it, in proportion to the other weights.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
}

/// Where prompts come from: exactly one source.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.shareGpt), has(self.jsonl), has(self.synthetic), has(self.inline), has(self.trace)]\
     .filter(x, x).size() == 1")
    .message("set exactly one of shareGpt, jsonl, synthetic, inline and trace"))]
#[x_kube(validation = Rule::new("!has(self.conversations) || !(has(self.inline) || has(self.trace))")
    .message("inline prompts and traces are single questions; remove conversations, or use shareGpt, jsonl with messages, or synthetic"))]
#[x_kube(validation = Rule::new("!has(self.count) || !has(self.inline)")
    .message("inline prompts are all used; remove count"))]
#[x_kube(validation = Rule::new("!has(self.count) || !has(self.trace)")
    .message("a trace is cut by its maxRequests; set that in place of count"))]
pub struct Prompts {
    /// A file in ShareGPT's format: the first human turn is the prompt, the answer after it gives
    /// the output length. With `conversations` the turns after it follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_gpt: Option<FileSource>,
    /// A file with one JSON object a line: `{"prompt": "…", "outputTokens": 128}` or
    /// `{"messages": [{"role": "user", "content": "…"}]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jsonl: Option<FileSource>,
    /// Made-up prompts of given lengths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<SyntheticPrompts>,
    /// Prompts written out here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 128), inner(length(min = 1, max = 8192)))]
    pub inline: Vec<String>,
    /// Requests that once came: their lengths or prompts, and for `sweep.replaySpeed` their times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Several turns of each conversation, one after the other, in place of its first alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversations: Option<Conversations>,
    /// A system message that begins every prompt, in place of the data set's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub system: Option<String>,
    /// How many different prompts, or conversations, are frozen for the run; the requests take them
    /// in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: Option<u32>,
}

impl Prompts {
    /// The file that prompts come from, where there is one, with the path of its field.
    pub fn file(&self) -> Option<(&'static str, &FileSource)> {
        let share_gpt = self.share_gpt.as_ref().map(|file| ("shareGpt", file));
        let jsonl = self.jsonl.as_ref().map(|file| ("jsonl", file));
        let trace = self.trace.as_ref().map(|trace| ("trace.file", &trace.file));
        share_gpt.or(jsonl).or(trace)
    }
}

/// Made-up prompts.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SyntheticPrompts {
    /// Length of the prompts.
    pub input_tokens: TokenLength,
    /// Length of the answers asked for.
    pub output_tokens: TokenLength,
    /// A beginning that prompts have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_prefix: Option<SharedPrefix>,
}

/// A beginning that prompts have in common. Prompt i has the beginning i mod `groups`.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SharedPrefix {
    /// Its length in tokens, part of `inputTokens`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub tokens: u32,
    /// Different beginnings: with one, all prompts share it; the more there are, the fewer hits an
    /// engine's prefix cache can have.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000))]
    pub groups: u32,
}

/// Conversations of several turns, each sent with what was said before it. An arrival of the load is
/// a conversation: so are concurrency, rates and `requestsPerStage` counted.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Conversations {
    /// Most turns of a conversation; synthetic ones have as many.
    #[serde(default = "default_turns")]
    #[schemars(range(min = 1, max = 64))]
    pub max_turns: u32,
    /// Time between the end of an answer and the next turn. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_time: Option<ThinkTime>,
    /// Which answers a turn has before it.
    #[serde(default)]
    pub history: History,
}

/// Time between the end of an answer and the next turn.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ThinkTime {
    /// Its mean.
    pub mean: Duration,
    /// How it is spread.
    #[serde(default)]
    pub distribution: ThinkDistribution,
}

/// How times to think are spread. They are drawn once, and are the same for every engine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum ThinkDistribution {
    /// Exponential, as gaps of independent events are.
    #[default]
    Exponential,
    /// Always the mean.
    Constant,
}

/// Which answers a turn has before it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum History {
    /// The data set's own, so that every engine gets the same bytes.
    #[default]
    Recorded,
    /// The engine's own, as in use; so engines get different prompts. By OpenAI chat only.
    Answers,
}

/// A length in tokens: normally distributed, or fixed where `stddev` is 0.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenLength {
    /// Mean, in tokens.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub mean: u32,
    /// Standard deviation, in tokens.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub stddev: f64,
}

/// Caps on lengths, in tokens of the model's tokenizer.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Longer prompts of a file are left out, and counted.
    #[serde(default = "kilo")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_input_tokens: u32,
    /// Most tokens that an answer may have.
    #[serde(default = "kilo")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_output_tokens: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_input_tokens: kilo(),
            max_output_tokens: kilo(),
        }
    }
}

/// Sampling parameters; each protocol spells them its own way.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Sampling {
    /// 0 is greedy.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: f64,
    /// Share of probability that is sampled from, over 0 up to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1.0))]
    pub top_p: Option<f64>,
    /// Number of tokens that are sampled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub top_k: Option<u32>,
    /// Seed that is sent with each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_u64))]
    pub seed: Option<u64>,
    /// Strings that end an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(min = 1, max = 64)))]
    pub stop: Vec<String>,
    /// Answers run to their full length, whatever the model says. Engines that cannot are named in
    /// the report, which then compares by tokens and no longer by requests.
    #[serde(default)]
    pub ignore_eos: bool,
}

/// Which of an engine's interfaces is used.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Api {
    /// The first protocol of the engine's profile.
    #[default]
    Auto,
    /// OpenAI completions.
    Completions,
    /// OpenAI chat.
    Chat,
    /// The engine's own, such as TGI's generate_stream.
    Native,
}

/// Requests before the measured ones.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Warmup {
    /// Requests before the first stage, at the first stage's load; thrown away.
    #[serde(default = "default_warmup")]
    #[schemars(range(min = 0, max = 100_000))]
    pub requests: u32,
}

impl Default for Warmup {
    fn default() -> Self {
        Self {
            requests: default_warmup(),
        }
    }
}

fn yes() -> bool {
    true
}

fn default_turns() -> u32 {
    8
}

fn one() -> u32 {
    1
}

fn kilo() -> u32 {
    1024
}

fn default_warmup() -> u32 {
    10
}

fn default_request_timeout() -> Duration {
    Duration::from_secs(3 * 3600)
}
