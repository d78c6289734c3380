//! Requests that met every objective, over all arrivals.

use bakeoff_crds::{
    report::{Goodput, ObjectiveResult},
    run::{Objective, ObjectiveMetric},
};

use super::quantile;
use crate::record::Record;

/// The latency of a request that an objective bounds, in seconds; `None` where it has none.
pub(super) fn latency(record: &Record, metric: ObjectiveMetric) -> Option<f64> {
    match metric {
        ObjectiveMetric::TimeToFirstToken => super::latency::time_to_first_token(record),
        ObjectiveMetric::TimePerOutputToken => super::latency::time_per_output_token(record),
        ObjectiveMetric::RequestLatency => super::latency::request_latency(record),
    }
}

/// Goodput over a window of so many seconds. A request is good where it succeeded and no objective's
/// latency is at its bound or over it; an answer of one token has no time per output token and
/// cannot break its bound. Failed and dropped arrivals are not good.
pub fn goodput(
    records: &[Record],
    intended: u64,
    window_seconds: f64,
    objectives: &[Objective],
) -> Option<Goodput> {
    if objectives.is_empty() {
        return None;
    }
    let is_good = |record: &&Record| {
        record.succeeded()
            && objectives.iter().all(|objective| {
                latency(record, objective.metric)
                    .is_none_or(|latency| latency < objective.less_than.as_secs_f64())
            })
    };
    let good = records.iter().filter(is_good).count() as u64;
    Some(Goodput {
        requests_per_second: if window_seconds > 0.0 {
            good as f64 / window_seconds
        } else {
            0.0
        },
        good,
        attainment: if intended > 0 {
            good as f64 / intended as f64
        } else {
            0.0
        },
        objectives: objectives
            .iter()
            .map(|objective| result(records, objective))
            .collect(),
    })
}

/// One objective against the percentile of all succeeded requests.
fn result(records: &[Record], objective: &Objective) -> ObjectiveResult {
    let mut values: Vec<f64> = records
        .iter()
        .filter(|record| record.succeeded())
        .filter_map(|record| latency(record, objective.metric))
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    let bound = objective.less_than.as_secs_f64();
    // The greatest value needs no sample beyond it.
    let enough = objective.percentile >= 100.0
        || super::distribution::enough_for(objective.percentile, values.len() as u64);
    let value = enough
        .then(|| quantile(&values, objective.percentile / 100.0))
        .flatten();
    ObjectiveResult {
        metric: objective.metric,
        percentile: objective.percentile,
        less_than_seconds: bound,
        value_seconds: value,
        met: value.map(|value| value < bound),
    }
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::Duration;

    use super::*;
    use crate::{
        clock::MILLISECOND,
        record::{FailureKind, Outcome},
    };

    fn answered(first_content_ms: u64, last_content_ms: u64, tokens: u32) -> Record {
        let mut record = Record::new(0, 0, None, 0);
        record.sent = Some(0);
        record.first_content = Some(first_content_ms * MILLISECOND);
        record.last_content = Some(last_content_ms * MILLISECOND);
        record.output_tokens = Some(tokens);
        record.chunks = tokens;
        record
    }

    fn objective(metric: ObjectiveMetric, milliseconds: u64) -> Objective {
        Objective {
            metric,
            percentile: 50.0,
            less_than: Duration::from_millis(milliseconds),
        }
    }

    #[test]
    fn only_whole_answers_within_every_bound_are_good() {
        let mut failed = answered(10, 20, 2);
        failed.outcome = Outcome::Failed(FailureKind::Truncated, "".into());
        let records = [
            answered(10, 20, 2),
            answered(100, 110, 2),
            answered(10, 500, 2),
            answered(10, 10, 1),
            failed,
        ];
        let objectives = [
            objective(ObjectiveMetric::TimeToFirstToken, 50),
            objective(ObjectiveMetric::TimePerOutputToken, 50),
        ];
        // Ten arrivals, of which five were never sent.
        let found = goodput(&records, 10, 2.0, &objectives).unwrap();
        assert_eq!(
            (found.good, found.attainment, found.requests_per_second),
            (2, 0.2, 1.0)
        );
        assert_eq!(found.objectives[0].value_seconds, Some(0.01));
        assert_eq!(found.objectives[0].met, Some(true));
    }

    #[test]
    fn a_percentile_without_samples_is_neither_met_nor_missed() {
        let mut strict = objective(ObjectiveMetric::RequestLatency, 50);
        strict.percentile = 99.0;
        let found = goodput(&[answered(10, 20, 2)], 1, 1.0, &[strict]).unwrap();
        assert_eq!(found.objectives[0].met, None);
        assert_eq!(goodput(&[], 0, 0.0, &[]), None);
    }
}
