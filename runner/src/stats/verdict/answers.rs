//! Rules on the answers themselves.

use bakeoff_crds::{
    report::{OutputSanity, VerdictReason},
    run::status::VerdictStatus::Suspect,
};

use super::{Evidence, reason};

/// Share of answers that are empty, or shorter than they were to be, over which a stage is Suspect.
const UNSOUND_ANSWERS: f64 = 0.01;
/// The same for answers that turn in circles. Those that are made to run on past their end often
/// do, so they are not judged.
const REPEATING_ANSWERS: f64 = 0.1;

pub(super) fn empty_answers(evidence: &Evidence) -> Option<VerdictReason> {
    let output = evidence.output.as_ref()?;
    let message = format!(
        "{} of {} answers are nothing but white space; check the chat template and the stop strings",
        output.empty, output.judged
    );
    unsound(
        "EmptyAnswers",
        output.empty,
        output,
        UNSOUND_ANSWERS,
        message,
    )
}

pub(super) fn short_answers(evidence: &Evidence) -> Option<VerdictReason> {
    let output = evidence.output.as_ref()?;
    let short = output.shorter_than_asked?;
    let message = format!(
        "{short} of {} answers are shorter than workload.sampling.ignoreEos asks for; the engine stopped them all the same, perhaps at the longest sequence that it takes",
        output.judged
    );
    unsound("ShortAnswers", short, output, UNSOUND_ANSWERS, message)
}

pub(super) fn repeating_answers(evidence: &Evidence) -> Option<VerdictReason> {
    let output = evidence.output.as_ref()?;
    let forced = output.shorter_than_asked.is_some();
    (!forced).then_some(())?;
    let message = format!(
        "{} of {} answers turn in circles; check model, chat template and number format",
        output.repeating, output.judged
    );
    unsound(
        "RepeatingAnswers",
        output.repeating,
        output,
        REPEATING_ANSWERS,
        message,
    )
}

fn unsound(
    name: &str,
    count: u64,
    output: &OutputSanity,
    share: f64,
    message: String,
) -> Option<VerdictReason> {
    (count as f64 > share * output.judged as f64).then_some(())?;
    reason(Suspect, name, message)
}
