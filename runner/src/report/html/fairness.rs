//! Whether conditions were the same, in words.

use bakeoff_crds::report::{Fairness, FairnessCheckKind as Kind, FairnessStatus as Status};
use serde::Serialize;

/// The fairness verdict.
#[derive(Debug, Serialize)]
pub struct FairnessView {
    /// Its name.
    status: &'static str,
    /// A class of the page's style.
    class: &'static str,
    /// In plain words.
    meaning: &'static str,
    checks: Vec<CheckView>,
}

#[derive(Debug, Serialize)]
struct CheckView {
    title: &'static str,
    word: &'static str,
    class: &'static str,
    findings: Vec<String>,
}

impl FairnessView {
    /// The verdict; none of a report without checks.
    pub fn of(fairness: &Fairness) -> Option<Self> {
        let checks = fairness.checks.iter().map(|check| CheckView {
            title: title(check.check),
            word: match check.status {
                Status::Fair if check.check == Kind::Cautions => "to be known",
                Status::Fair => "the same",
                Status::Unproven => "not known",
                Status::Deviating => "differs",
            },
            class: class(check.status),
            findings: check
                .findings
                .iter()
                .map(|finding| match &finding.engine {
                    Some(engine) => format!("{engine}: {}", finding.message),
                    None => finding.message.clone(),
                })
                .collect(),
        });
        (!fairness.checks.is_empty()).then(|| Self {
            status: match fairness.status {
                Status::Fair => "Fair",
                Status::Unproven => "Unproven",
                Status::Deviating => "Deviating",
            },
            class: class(fairness.status),
            meaning: match fairness.status {
                Status::Fair => "Every engine was measured under the same conditions.",
                Status::Unproven => {
                    "Nothing is known to differ between the engines, but not all of it could be seen."
                }
                Status::Deviating => {
                    "The engines were not measured under the same conditions in all; what differs is named."
                }
            },
            checks: checks.collect(),
        })
    }
}

fn class(status: Status) -> &'static str {
    match status {
        Status::Fair => "Valid",
        Status::Unproven | Status::Deviating => "Suspect",
    }
}

fn title(check: Kind) -> &'static str {
    match check {
        Kind::Settings => "Settings beyond the profile and the run's own",
        Kind::Image => "Image, by digest",
        Kind::Node => "Node",
        Kind::Weights => "Commit of the weights",
        Kind::InputTokens => "Tokens of the same prompt",
        Kind::ForcedLength => "Answers as long as asked",
        Kind::Greedy => "Same answer twice at temperature 0",
        Kind::PrefixCache => "Prefix cache",
        Kind::EndToken => "Counting of the token of the end",
        Kind::BeginToken => "Token of the beginning in a prompt",
        Kind::Accelerators => "Accelerators, by UUID",
        Kind::Cautions => "To be known of the engines",
    }
}
