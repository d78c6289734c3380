//! What the answers of a stage are like, in words.

use bakeoff_crds::report::{OutputSanity, StageReport};

use crate::report::format;

/// A line for what is not as asked for, and one for the share of right answers; nothing where there
/// is nothing to say.
pub fn lines(stage: &StageReport) -> Vec<String> {
    let faults = stage.output_sanity.as_ref().and_then(faults);
    let right = stage.quality.as_ref().map(|quality| {
        format!(
            "{} of {} answers are right: {} (95 % CI {} to {}, {} different prompts)",
            format::count(quality.matched),
            format::count(quality.judged),
            format::percent(quality.share),
            format::percent(quality.interval.low),
            format::percent(quality.interval.high),
            format::count(quality.prompts)
        )
    });
    faults.into_iter().chain(right).collect()
}

/// Answers that are not what was asked for, of so many.
pub fn faults(sanity: &OutputSanity) -> Option<String> {
    let kinds = [
        (sanity.empty, "empty"),
        (
            sanity.shorter_than_asked.unwrap_or_default(),
            "shorter than asked for",
        ),
        (sanity.longer_than_asked, "longer than asked for"),
        (
            sanity.cut_off.unwrap_or_default(),
            "cut off at their greatest length",
        ),
        (sanity.repeating, "turning in circles"),
    ];
    let seen: Vec<String> = kinds
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{} {kind}", format::count(*count)))
        .collect();
    (!seen.is_empty()).then(|| {
        format!(
            "of {} answers: {}",
            format::count(sanity.judged),
            seen.join(", ")
        )
    })
}
