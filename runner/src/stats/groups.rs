//! Figures of a part of a stage's requests.

use bakeoff_crds::report::RequestGroup;

use super::{
    distribution,
    latency::{request_latency, time_to_first_token},
    token_distribution,
};
use crate::record::Record;

/// What the groups of a stage are made with.
#[derive(Clone, Copy)]
pub(super) struct GroupContext<'a> {
    /// Whether answers streamed.
    pub(super) streaming: bool,
    /// Length of a request's prompt in tokens.
    pub(super) input_tokens: &'a dyn Fn(&Record) -> Option<u32>,
}

impl GroupContext<'_> {
    /// The requests of each of several models; none where there is one alone.
    pub(super) fn models(&self, records: &[Record], names: &[String]) -> Vec<RequestGroup> {
        if names.len() < 2 {
            return Vec::new();
        }
        let groups = names.iter().zip(0_u16..);
        groups
            .map(|(name, number)| self.group(name, records, |record| record.name == number))
            .collect()
    }

    /// First turns and later ones; none where arrivals are single requests.
    pub(super) fn turns(&self, records: &[Record]) -> Vec<RequestGroup> {
        if records.iter().all(|record| record.turn.is_none()) {
            return Vec::new();
        }
        vec![
            self.group("first", records, |record| record.turn == Some(0)),
            self.group("later", records, |record| record.turn > Some(0)),
        ]
    }

    fn group(
        &self,
        name: &str,
        records: &[Record],
        is_in: impl Fn(&Record) -> bool,
    ) -> RequestGroup {
        let sent: Vec<&Record> = records.iter().filter(|record| is_in(record)).collect();
        let whole: Vec<&Record> = sent.iter().copied().filter(|one| one.succeeded()).collect();
        let values = |latency: fn(&Record) -> Option<f64>| {
            distribution(whole.iter().copied().filter_map(latency).collect())
        };
        let tokens = |count: &dyn Fn(&Record) -> Option<u32>| {
            token_distribution(whole.iter().copied().filter_map(count).collect())
        };
        RequestGroup {
            name: name.to_owned(),
            sent: sent.len() as u64,
            succeeded: whole.len() as u64,
            failed: (sent.len() - whole.len()) as u64,
            time_to_first_token: match self.streaming {
                true => values(time_to_first_token),
                false => None,
            },
            request_latency: values(request_latency),
            input_tokens: tokens(self.input_tokens),
            output_tokens: tokens(&Record::answer_tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SECOND,
        record::{FailureKind, Outcome},
    };

    fn record(index: u64, name: u16, turn: Option<u32>, first: u64) -> Record {
        let mut record = Record::new(index, 0, None, 0);
        (record.name, record.turn) = (name, turn);
        record.sent = Some(0);
        record.first_content = Some(first * SECOND);
        record.last_content = Some((first + 1) * SECOND);
        record.output_tokens = Some(5);
        record
    }

    #[test]
    fn every_request_is_in_one_group() {
        let mut failed = record(3, 1, Some(2), 9);
        failed.outcome = Outcome::Failed(FailureKind::Timeout, "".into());
        let records = [
            record(0, 0, Some(0), 1),
            record(1, 1, Some(0), 3),
            record(2, 1, Some(1), 5),
            failed,
        ];
        let input_tokens = |_: &Record| Some(7);
        let context = GroupContext {
            streaming: true,
            input_tokens: &input_tokens,
        };
        let said = |groups: &[RequestGroup]| -> Vec<(String, [u64; 3], f64, u64)> {
            groups
                .iter()
                .map(|group| {
                    let first = group.time_to_first_token.as_ref().unwrap().mean;
                    let tokens = group.output_tokens.as_ref().unwrap().sum;
                    let counts = [group.sent, group.succeeded, group.failed];
                    (group.name.clone(), counts, first, tokens)
                })
                .collect()
        };
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            said(&context.models(&records, &names)),
            [
                ("a".to_owned(), [1, 1, 0], 1.0, 5),
                ("b".to_owned(), [3, 2, 1], 4.0, 10)
            ]
        );
        assert_eq!(
            said(&context.turns(&records)),
            [
                ("first".to_owned(), [2, 2, 0], 2.0, 10),
                ("later".to_owned(), [2, 1, 1], 5.0, 5)
            ]
        );
        assert!(context.models(&records, &names[..1]).is_empty());
        assert!(context.turns(&[record(0, 0, None, 1)]).is_empty());
    }
}
