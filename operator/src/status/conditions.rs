//! Conditions, as Kubernetes' API conventions have them.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// Most bytes of a message; the API conventions allow 32 KiB, and people read the first lines.
const MAX_MESSAGE: usize = 4096;

/// Sets a condition. Its transition time changes only where its status does.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    value: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let status = if value { "True" } else { "False" };
    let message = truncate(message, MAX_MESSAGE);
    match conditions.iter_mut().find(|found| found.type_ == kind) {
        Some(found) => {
            if found.status != status {
                found.status = status.to_owned();
                found.last_transition_time = Time(now);
            }
            found.reason = reason.to_owned();
            found.message = message.to_owned();
        }
        None => conditions.push(Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: Time(now),
            observed_generation: None,
        }),
    }
}

/// Marks every condition as true to this generation: `kubectl wait` passes over older ones.
pub fn observe_generation(conditions: &mut [Condition], generation: Option<i64>) {
    for condition in conditions {
        condition.observed_generation = generation;
    }
}

/// The condition of this type.
pub fn get<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|found| found.type_ == kind)
}

/// Whether the condition of this type is True.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    get(conditions, kind).is_some_and(|found| found.status == "True")
}

/// The beginning of a text, cut at a character.
pub fn truncate(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_follows_the_status_alone() {
        let mut conditions = Vec::new();
        let steps = [
            // value, reason, now, transition
            (true, "Scheduling", 100, 100),
            (true, "Measuring", 200, 100),
            (false, "Complete", 300, 300),
            (false, "Complete", 400, 300),
            (true, "Measuring", 500, 500),
        ];
        for (value, reason, now, transition) in steps {
            set(&mut conditions, "Progressing", value, reason, "", at(now));
            let [condition] = conditions.as_slice() else {
                panic!("one condition per type: {conditions:?}");
            };
            assert_eq!(condition.last_transition_time.0, at(transition), "at {now}");
            assert_eq!(condition.reason, reason);
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(truncate("größer", 3), "gr");
        assert_eq!(truncate("größer", 4), "grö");
        assert_eq!(truncate("ab", 10), "ab");
    }
}
