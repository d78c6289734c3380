//! A sweep that finds its own stages: pure functions from what was measured to what is driven next.
//!
//! Nothing is remembered between two questions: every answer is worked out anew from the stages that
//! are stored, so a runner that takes over after a kill goes on where the first was lost.

mod answer;
mod levels;
mod outcome;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Plan, Stage, StageEnd, stages::searched};
use crate::{report::StageReport, run::Sweep};

pub use answer::answer;
use levels::Step;

/// How the stages of a sweep are found while it is under way.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedSearch {
    /// What is varied.
    pub variable: Variable,
    /// What is looked for.
    pub goal: Goal,
    /// The lowest load.
    pub min: f64,
    /// The load that is not exceeded.
    pub max: f64,
}

/// What a search varies.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Variable {
    /// Requests a second, in an open loop.
    #[default]
    RequestRate,
    /// Requests in flight, in a closed loop.
    Concurrency,
}

/// What a search looks for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Goal {
    /// The highest load at which every objective is met.
    Objectives {
        /// Relative distance of neighbouring loads.
        precision: f64,
    },
    /// The last load after which doubling it gains less throughput than this share.
    Knee {
        /// 0.1 is 10 %.
        #[serde(rename = "leastGain")]
        least_gain: f64,
    },
}

/// The next stage of one repetition.
#[derive(Clone, Debug, PartialEq)]
pub struct NextStage {
    /// The stage.
    pub stage: Stage,
    /// Its number among the stages that are possible, from 0: the same load has the same one on
    /// every engine.
    pub number: u64,
    /// Requests of the stages of this repetition before it, where they say how many; 0 for a replay.
    pub requests_before: u64,
}

impl PlannedSearch {
    /// The search of a sweep, where it has one.
    pub fn of(sweep: &Sweep) -> Option<Self> {
        if let Some(knee) = &sweep.knee {
            return Some(Self {
                variable: Variable::Concurrency,
                goal: Goal::Knee {
                    least_gain: knee.least_gain,
                },
                min: f64::from(knee.concurrency.min),
                max: f64::from(knee.concurrency.max),
            });
        }
        let search = sweep.search.as_ref()?;
        let (variable, min, max) = match (search.request_rate, search.concurrency) {
            (Some(rate), _) => (Variable::RequestRate, rate.min, rate.max),
            (None, Some(range)) => (
                Variable::Concurrency,
                f64::from(range.min),
                f64::from(range.max),
            ),
            (None, None) => return None,
        };
        let goal = Goal::Objectives {
            precision: search.precision,
        };
        Some(Self {
            variable,
            goal,
            min,
            max,
        })
    }

    /// Most stages that one repetition can have.
    pub fn stages_at_most(&self) -> u32 {
        let levels = self.levels();
        let stages = match self.goal {
            Goal::Knee { .. } => levels.len(),
            Goal::Objectives { .. } => levels::probes_at_most(&levels),
        };
        u32::try_from(stages).unwrap_or(u32::MAX)
    }

    /// Every load that the search can take, in ascending order.
    fn levels(&self) -> Vec<f64> {
        let whole = self.variable == Variable::Concurrency;
        match self.goal {
            Goal::Objectives { precision } => {
                levels::geometric(self.min, self.max, 1.0 + precision, whole)
            }
            Goal::Knee { .. } => levels::doubling(self.min, self.max),
        }
    }

    /// What to do after these stages of one repetition, in whatever order they are.
    fn step(&self, plan: &Plan, measured: &[&StageReport]) -> Step {
        let levels = self.levels();
        let found = |level: usize| {
            let stage = searched(&plan.spec, self, *levels.get(level)?);
            let of_it = measured.iter().filter(|report| report.name == stage.name);
            of_it.max_by_key(|report| report.attempt).copied()
        };
        match self.goal {
            Goal::Objectives { .. } => levels::bisect(&levels, |level| {
                found(level).map(|report| outcome::of_objectives(report, &plan.spec))
            }),
            Goal::Knee { least_gain } => levels::knee(levels.len(), least_gain, |level| {
                found(level).map(outcome::of_throughput)
            }),
        }
    }
}

impl Plan {
    /// The stage to drive after these stages of one round and repetition, which all ran to their
    /// end; none where all are done.
    pub fn next_stage(&self, measured: &[&StageReport]) -> Option<NextStage> {
        let is_done = |stage: &Stage| measured.iter().any(|report| report.name == stage.name);
        let (stage, number) = match &self.search {
            None => {
                let next = self.stages.iter().enumerate();
                let (number, stage) = next.into_iter().find(|(_, stage)| !is_done(stage))?;
                (stage.clone(), number)
            }
            Some(search) => match search.step(self, measured) {
                Step::Drive(level) => {
                    let load = *search.levels().get(level)?;
                    (searched(&self.spec, search, load), level)
                }
                Step::End(_) => return None,
            },
        };
        Some(NextStage {
            // A replay takes the trace's prompts from the first one on.
            requests_before: match stage.end {
                StageEnd::Trace => 0,
                _ => self.requests_of(measured),
            },
            stage,
            number: number as u64,
        })
    }

    /// Requests that these stages hold, where they say how many.
    pub fn requests_of(&self, measured: &[&StageReport]) -> u64 {
        let held = |stage: &Stage| match stage.end {
            StageEnd::Requests(requests) => requests,
            StageEnd::Seconds(_) | StageEnd::Trace => 0,
        };
        match &self.search {
            None => {
                let done = |stage: &&Stage| measured.iter().any(|one| one.name == stage.name);
                self.stages.iter().filter(done).map(held).sum()
            }
            Some(search) => {
                let stages = search.levels().into_iter();
                stages
                    .map(|level| searched(&self.spec, search, level))
                    .filter(|stage| measured.iter().any(|one| one.name == stage.name))
                    .map(|stage| held(&stage))
                    .sum()
            }
        }
    }

    /// Stages that a round will have had at its end, going by those that are measured already: exact
    /// where all is known, else the most that there can be.
    pub fn stages_in_round(&self, measured: &[StageReport]) -> u32 {
        let repetitions = 1..=self.spec.workload.repetitions;
        repetitions
            .map(|repetition| {
                let of_it: Vec<_> = measured
                    .iter()
                    .filter(|report| report.repetition == repetition)
                    .collect();
                match self.search {
                    Some(_) if self.next_stage(&of_it).is_none() => of_it.len() as u32,
                    _ => self.stages_at_most(),
                }
            })
            .sum()
    }
}
