//! Whether the load that was asked for was made.

use bakeoff_crds::plan::{Load, LoadMode};

use crate::{clock::Nanos, record::Record};

/// Fewer arrivals than this show no rate.
const FEWEST: usize = 20;

/// Share of the arrivals that were sent before the last one was due. `None` in a closed loop, for a
/// burst, which has no rate, and for few arrivals. Of conversations, first turns alone are due by the
/// rate.
pub(super) fn rate_kept(records: &[Record]) -> Option<f64> {
    let records: Vec<&Record> = records
        .iter()
        .filter(|record| record.turn.unwrap_or(0) == 0)
        .collect();
    let due = |record: &&Record| record.due;
    let first = records.iter().filter_map(due).min()?;
    let last = records.iter().filter_map(due).max()?;
    if first == last || records.len() < FEWEST {
        return None;
    }
    let sent = records
        .iter()
        // The last one is sent after it was due, however little.
        .filter(|record| record.due == Some(last) || record.sent.is_some_and(|sent| sent <= last))
        .count();
    Some(sent as f64 / records.len() as f64)
}

/// Requests in flight on average between the first and the last beginning of one, over those that
/// the load asks for. `None` in an open loop, where there are fewer than two requests to each place,
/// and for conversations, which hold their place while they think.
pub(super) fn concurrency_held(records: &[Record], load: &Load) -> Option<f64> {
    let concurrency = match (load.mode, load.concurrency) {
        (LoadMode::Closed, Some(concurrency)) if concurrency > 0 => concurrency as usize,
        _ => return None,
    };
    let conversations = records.iter().any(|record| record.turn.is_some());
    if conversations || records.len() < 2 * concurrency {
        return None;
    }
    let begin = records.iter().map(|record| record.started).min()?;
    let end = records.iter().map(|record| record.started).max()?;
    let in_flight: Nanos = records
        .iter()
        .map(|record| record.end.min(end).saturating_sub(record.started))
        .sum();
    let possible = (end - begin) as f64 * concurrency as f64;
    (possible > 0.0).then(|| in_flight as f64 / possible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    /// A request that was due, begun or sent at, and over at so many milliseconds.
    fn request(due: Option<u64>, sent: u64, end: u64) -> Record {
        let mut record = Record::new(0, 0, due.map(|due| due * MILLISECOND), sent * MILLISECOND);
        record.sent = Some(sent * MILLISECOND);
        record.end = end * MILLISECOND;
        record
    }

    #[test]
    fn a_rate_is_kept_by_what_was_sent_in_its_time() {
        let records = |late: u64| -> Vec<Record> {
            (0..100)
                .map(|place| request(Some(10 * place), 10 * place + late, 5000))
                .collect()
        };
        for (late, expected) in [(0, 1.0), (1, 1.0), (100, 0.91), (900, 0.11)] {
            assert_eq!(rate_kept(&records(late)), Some(expected), "{late} ms late");
        }
        assert_eq!(rate_kept(&records(0)[..19]), None);
        let burst: Vec<Record> = (0..50).map(|_| request(Some(0), 900, 5000)).collect();
        assert_eq!(rate_kept(&burst), None);
        assert_eq!(rate_kept(&[]), None);
    }

    #[test]
    fn concurrency_is_held_by_what_was_in_flight() {
        // Two places, each busy for 80 of every 100 ms.
        let records: Vec<Record> = (0..20)
            .map(|place| request(None, 100 * (place / 2), 100 * (place / 2) + 80))
            .collect();
        let load = |concurrency| Load {
            concurrency: Some(concurrency),
            ..Load::default()
        };
        let held = concurrency_held(&records, &load(2)).unwrap();
        assert!((held - 0.8).abs() < 1e-9, "{held}");
        assert_eq!(concurrency_held(&records, &load(11)), None);
        let open = Load {
            mode: LoadMode::Open,
            ..load(2)
        };
        assert_eq!(concurrency_held(&records, &open), None);
        let mut turns = records;
        turns[5].turn = Some(1);
        assert_eq!(concurrency_held(&turns, &load(2)), None);
    }
}
