//! A plan read back from where it was stored. Whoever may write in the run's namespace can have
//! changed it, so what it multiplies is bounded, and so is what it searches.

use super::{Plan, SCHEMA_VERSION, search::PlannedSearch};
use crate::common::shortened;

/// Most rounds, engines, repetitions and stages: each far more than a run can ask for.
const MOST: usize = 1000;
/// Loads between which a search may look.
const LOADS: std::ops::RangeInclusive<f64> = 1e-6..=1e9;
/// Relative distances of a search's loads, and least gains of a knee.
const SHARES: std::ops::RangeInclusive<f64> = 1e-3..=1e3;

/// Why a stored plan cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; it was made by another version or changed since, so begin a new run")]
pub struct UnreadablePlan(String);

impl Plan {
    /// Reads `plan.json`.
    ///
    /// # Errors
    /// Where it is no plan of this version, or one that no run has.
    pub fn read(json: &[u8]) -> Result<Self, UnreadablePlan> {
        let plan: Self = serde_json::from_slice(json)
            .map_err(|error| UnreadablePlan(shortened(&error.to_string(), 500)))?;
        match plan.fault() {
            None => Ok(plan),
            Some(fault) => Err(UnreadablePlan(fault)),
        }
    }

    fn fault(&self) -> Option<String> {
        if self.schema_version != SCHEMA_VERSION {
            return Some(format!(
                "schemaVersion is {:?}, not {SCHEMA_VERSION}",
                shortened(&self.schema_version, 100)
            ));
        }
        let counts = [
            ("engines", self.engines.len()),
            ("stages", self.stages.len()),
            ("spec.policy.rounds", self.spec.policy.rounds as usize),
            (
                "spec.workload.repetitions",
                self.spec.workload.repetitions as usize,
            ),
        ];
        for (field, count) in counts {
            if !(1..=MOST).contains(&count) {
                return Some(format!("{field} is {count}, not from 1 to {MOST}"));
            }
        }
        self.search.as_ref().and_then(PlannedSearch::fault)
    }
}

impl PlannedSearch {
    fn fault(&self) -> Option<String> {
        let share = match self.goal {
            super::search::Goal::Objectives { precision } => precision,
            super::search::Goal::Knee { least_gain } => least_gain,
        };
        let ordered = self.min <= self.max;
        let inside = LOADS.contains(&self.min) && LOADS.contains(&self.max);
        if ordered && inside && SHARES.contains(&share) {
            return None;
        }
        Some(format!(
            "search from {:e} to {:e} by {share:e} is none that ends",
            self.min, self.max
        ))
    }
}
