//! The load levels: what is driven, stage by stage.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Duration;

/// The load levels. Concurrency (closed loop: a new request when one ends) or request rate (open
/// loop: requests come at their time, whatever became of those before), as lists, or stage by stage.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.concurrency), has(self.requestRate) || (has(self.burst) && self.burst), has(self.stages), \
      has(self.replaySpeed), has(self.search), has(self.knee)].filter(x, x).size() <= 1")
    .message("set one of concurrency, requestRate with burst, stages, replaySpeed, search and knee; make a run for each"))]
#[x_kube(validation = Rule::new(
    "!has(self.arrival) || has(self.requestRate) || (has(self.search) && has(self.search.requestRate))")
    .message("arrival goes with requestRate; remove it or add rates (a stage of stages has an arrival of its own)"))]
#[x_kube(validation = Rule::new("has(self.burstiness) == (has(self.arrival) && self.arrival == 'Gamma')")
    .message("burstiness and arrival Gamma go together; set both or neither"))]
pub struct Sweep {
    /// Numbers of requests kept in flight. Left out, and without anything in its place: 1 2 4 8 16
    /// 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(range(min = 1, max = 100_000)))]
    pub concurrency: Vec<u32>,
    /// Requests a second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 32),
        inner(range(min = 0.001, max = 1_000_000.0))
    )]
    pub request_rate: Vec<f64>,
    /// One more stage with all requests at once, an infinite rate.
    #[serde(default)]
    pub burst: bool,
    /// How requests of one rate are spread over time. Poisson where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Arrival>,
    /// Shape of Gamma arrivals: 1 is Poisson, less comes in bursts, more is steadier. The gaps'
    /// coefficient of variation is 1 / √burstiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 1000.0))]
    pub burstiness: Option<f64>,
    /// Stages written out one by one, in the order in which they are driven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub stages: Vec<StageSpec>,
    /// Replays the arrivals of `prompts.trace`, one stage per speed: 1 is the trace's own, 2 twice as
    /// fast. With a trace and nothing else named: 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(range(min = 0.001, max = 1000.0)))]
    pub replay_speed: Vec<f64>,
    /// Looks for the highest load that meets every one of the run's objectives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Doubles the concurrency until the throughput hardly grows any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knee: Option<Knee>,
    /// Rest before each stage but the first, without load, so that an engine begins it with empty
    /// queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Duration>,
}

/// One stage, written out.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.concurrency), has(self.requestRate), has(self.ramp), has(self.burst) && self.burst, \
      has(self.replaySpeed)].filter(x, x).size() == 1")
    .message("a stage has exactly one of concurrency, requestRate, ramp, replaySpeed and burst: true"))]
#[x_kube(validation = Rule::new("!has(self.replaySpeed) || !(has(self.requests) || has(self.duration))")
    .message("a replay ends with its trace; cut it by duration or maxRequests of prompts.trace"))]
#[x_kube(validation = Rule::new("!(has(self.requests) && has(self.duration))")
    .message("a stage ends by requests or by duration, not both"))]
#[x_kube(validation = Rule::new("!has(self.ramp) || has(self.duration)")
    .message("a ramp needs the duration over which its rate changes; set duration"))]
#[x_kube(validation = Rule::new("!(has(self.burst) && self.burst && has(self.duration))")
    .message("a burst sends all at once; set requests in place of duration"))]
#[x_kube(validation = Rule::new("!has(self.arrival) || has(self.requestRate) || has(self.ramp)")
    .message("arrival goes with requestRate or ramp; remove it"))]
#[x_kube(validation = Rule::new("has(self.burstiness) == (has(self.arrival) && self.arrival == 'Gamma')")
    .message("burstiness and arrival Gamma go together; set both or neither"))]
pub struct StageSpec {
    /// Name of the stage in results, unique within the run.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Requests kept in flight: a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrency: Option<u32>,
    /// Requests a second: an open loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub request_rate: Option<f64>,
    /// A rate that grows or falls evenly over the stage's duration: an open loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Ramp>,
    /// Replays the arrivals of `prompts.trace` at so many times its speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1000.0))]
    pub replay_speed: Option<f64>,
    /// All requests at once.
    #[serde(default)]
    pub burst: bool,
    /// Requests of the stage. Without it and without `duration`, the workload's `requestsPerStage`
    /// or `stageDuration` holds, or the default of a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub requests: Option<u32>,
    /// Time in which requests of the stage are begun; those begun are waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// How the requests of a rate are spread over time. Poisson where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Arrival>,
    /// Shape of Gamma arrivals: 1 is Poisson, less comes in bursts, more is steadier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 1000.0))]
    pub burstiness: Option<f64>,
}

/// A search for the highest load at which every objective is met: from `min` the load doubles until
/// a stage fails, then the gap is halved until it is `precision` wide. Each engine has its own
/// answer, after stages of its own.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.requestRate) != has(self.concurrency)")
    .message("a search is over requestRate or over concurrency; set exactly one"))]
pub struct Search {
    /// Looks for the highest request rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_rate: Option<RateRange>,
    /// Looks for the highest concurrency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyRange>,
    /// How near the answer comes to the load that fails: 0.05 is 5 %. The load of every stage is one
    /// of `min * (1 + precision)^k`, the same for all engines.
    #[serde(default = "default_precision")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub precision: f64,
}

/// A concurrency that doubles from `min` until the throughput grows by less than `leastGain`. The
/// knee is the last concurrency before that.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Knee {
    /// The first concurrency, and the one that is not exceeded.
    #[serde(default = "default_knee_range")]
    pub concurrency: ConcurrencyRange,
    /// Growth of the throughput below which a doubling is not worth it: 0.1 is 10 %. Output tokens a
    /// second where they are counted, else requests a second.
    #[serde(default = "default_least_gain")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub least_gain: f64,
}

/// Request rates from one to another.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.min < self.max").message("min must be less than max"))]
pub struct RateRange {
    /// The lowest, in requests a second.
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub min: f64,
    /// The highest, in requests a second.
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub max: f64,
}

/// Concurrencies from one to another.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.min < self.max").message("min must be less than max"))]
pub struct ConcurrencyRange {
    /// The lowest, in requests in flight.
    #[schemars(range(min = 1, max = 100_000))]
    pub min: u32,
    /// The highest, in requests in flight.
    #[schemars(range(min = 1, max = 100_000))]
    pub max: u32,
}

/// A rate that changes evenly over time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.fromRate > 0.0 || self.toRate > 0.0")
    .message("a ramp from 0 to 0 sends nothing; raise fromRate or toRate"))]
pub struct Ramp {
    /// Requests a second at the stage's beginning.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub from_rate: f64,
    /// Requests a second at the stage's end.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub to_rate: f64,
}

/// How arrivals of one rate are spread over time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Arrival {
    /// Independent arrivals: exponential gaps.
    #[default]
    Poisson,
    /// Equal gaps.
    Constant,
    /// Gamma gaps of the shape that `burstiness` gives, mean 1 / rate.
    Gamma,
}

fn default_precision() -> f64 {
    0.05
}

fn default_least_gain() -> f64 {
    0.1
}

fn default_knee_range() -> ConcurrencyRange {
    ConcurrencyRange { min: 1, max: 1024 }
}
