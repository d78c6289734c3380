//! What became of each arrival.

use std::collections::BTreeMap;

use bakeoff_crds::report::{Requests, RetryAfter};

use crate::{
    drive::Driven,
    record::{Outcome, Record},
};

/// Kind of failure of requests that a lost shard was to send: whether it did, nobody knows.
const SHARD_LOST: &str = "shardLost";

/// The requests whose answer came whole.
pub(super) fn whole(records: &[Record]) -> impl Iterator<Item = &Record> {
    records.iter().filter(|record| record.succeeded())
}

/// Every arrival once: succeeded, failed or dropped.
pub(super) fn count(driven: &Driven) -> Requests {
    let mut failures = BTreeMap::new();
    for record in &driven.records {
        if let Outcome::Failed(kind, _) = &record.outcome {
            *failures.entry(kind.name().to_owned()).or_insert(0) += 1;
        }
    }
    if driven.lost > 0 {
        failures.insert(SHARD_LOST.to_owned(), driven.lost);
    }
    let failed = failures.values().sum();
    let sent = driven.records.len() as u64 + driven.lost;
    Requests {
        intended: driven.intended + driven.lost,
        sent,
        succeeded: sent - failed,
        failed,
        dropped: driven.dropped.total(),
        failures,
        drops: drops(driven),
        retry_after: retry_after(&driven.records),
    }
}

/// For how long the server asked to be left alone.
fn retry_after(records: &[Record]) -> Option<RetryAfter> {
    let asked = records.iter().filter_map(|record| record.retry_after);
    let asked: Vec<f64> = asked.map(f64::from).collect();
    let count = asked.len() as u64;
    (count > 0).then(|| RetryAfter {
        count,
        mean_seconds: asked.iter().sum::<f64>() / count as f64,
        max_seconds: asked.iter().copied().fold(0.0, f64::max),
    })
}

/// Requests that were never sent, by kind; those kinds alone that there were.
fn drops(driven: &Driven) -> BTreeMap<String, u64> {
    let dropped = driven.dropped;
    [
        ("notSent", dropped.not_sent),
        ("conversationEnded", dropped.conversation_ended),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(kind, count)| (kind.to_owned(), count))
    .collect()
}
