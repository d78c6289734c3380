//! Whether a stage's figures can be trusted: rules over what was seen, each with its reason. Those on
//! the requests are here, those on the answers in [`answers`], those on the client in [`client`], those on the machine and the network
//! around it in [`surroundings`].

mod answers;
mod client;
mod surroundings;

use bakeoff_crds::{
    report::{OutputSanity, Requests, Verdict, VerdictReason},
    run::status::VerdictStatus::{self, Invalid, Suspect},
};

use crate::drive::{Cut, vitals::StageVitals};

/// Difference between the engine's and the tokenizer's count of all answers over which a stage is
/// Suspect.
const TOKEN_DIFFERENCE: f64 = 0.1;

/// What the rules look at.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What became of the arrivals.
    pub requests: Requests,
    /// Share of failed and dropped arrivals over which the stage is Invalid.
    pub max_error_rate: f64,
    /// 99th percentile of the client's own delay behind its schedule, in seconds; open loop only.
    pub own_delay_p99: Option<f64>,
    /// Median time to first token or, without streaming, of the whole answer, in seconds.
    pub median_answer: Option<f64>,
    /// What the client itself adds to a time to first token, in seconds, by calibration.
    pub overhead: Option<f64>,
    /// Share of the frames a second that the client can take, by calibration, that the stage held.
    pub capacity_used: Option<f64>,
    /// Whether answers stream.
    pub streaming: bool,
    /// Share of the arrivals that were sent before the last one was due; open loop only.
    pub rate_kept: Option<f64>,
    /// Requests in flight on average, over those that were asked for; closed loop only.
    pub concurrency_held: Option<f64>,
    /// Length of the window in seconds.
    pub window_seconds: f64,
    /// What the client saw of itself.
    pub vitals: StageVitals,
    /// Why the stage was cut.
    pub cut: Option<Cut>,
    /// Tokens of the answers that both counted: by the engine and by the tokenizer.
    pub tokens: Option<(u64, u64)>,
    /// What the answers are like, where they were read.
    pub output: Option<OutputSanity>,
}

/// Which rules are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// All.
    #[default]
    All,
    /// Those on what became of the requests: of a stage that several processes drove, on the whole.
    OnRequests,
    /// Those on the client and what was around it: on each of several processes by itself, so that
    /// none hides behind the others.
    OnClient,
}

type Rule = fn(&Evidence) -> Option<VerdictReason>;

/// In the order in which their reasons are told.
const RULES: [(Rules, Rule); 23] = [
    (Rules::OnClient, cut),
    (Rules::OnRequests, no_requests),
    (Rules::OnRequests, error_rate),
    (Rules::OnClient, client::schedule_delay),
    (Rules::OnClient, client::loop_delay),
    (Rules::OnClient, client::stall),
    (Rules::OnClient, client::saturated),
    (Rules::OnClient, client::capacity),
    (Rules::OnClient, client::overhead),
    (Rules::OnRequests, client::rate),
    (Rules::OnRequests, client::concurrency),
    (Rules::OnClient, client::backlog),
    (Rules::OnClient, client::descriptors),
    (Rules::OnClient, client::ports),
    (Rules::OnClient, surroundings::throttled),
    (Rules::OnClient, surroundings::run_queue),
    (Rules::OnClient, surroundings::steal),
    (Rules::OnClient, surroundings::packets),
    (Rules::OnClient, surroundings::wall_clock),
    (Rules::OnRequests, tokens),
    (Rules::OnRequests, answers::empty_answers),
    (Rules::OnRequests, answers::short_answers),
    (Rules::OnRequests, answers::repeating_answers),
];

/// The verdict on one stage.
pub fn verdict(evidence: &Evidence, asked: Rules) -> Verdict {
    let is_asked = |rules: Rules| asked == Rules::All || asked == rules;
    let reasons = RULES
        .iter()
        .filter(|(rules, _)| is_asked(*rules))
        .filter_map(|(_, rule)| rule(evidence));
    Verdict::of(reasons.collect())
}

fn reason(status: VerdictStatus, reason: &str, message: String) -> Option<VerdictReason> {
    Some(VerdictReason {
        reason: reason.into(),
        message,
        status,
    })
}

fn cut(evidence: &Evidence) -> Option<VerdictReason> {
    match evidence.cut? {
        Cut::Cancelled => reason(
            Invalid,
            "Cancelled",
            "the client was told to stop; figures are of a part of the stage".into(),
        ),
        Cut::Deadline => reason(
            Invalid,
            "StageDeadlineExceeded",
            "the stage took longer than policy.timeouts.stage; figures are of a part of it".into(),
        ),
    }
}

fn no_requests(evidence: &Evidence) -> Option<VerdictReason> {
    let requests = &evidence.requests;
    (requests.succeeded == 0).then_some(())?;
    let message = format!("none of {} requests was answered whole", requests.intended);
    reason(Invalid, "NoRequests", message)
}

fn error_rate(evidence: &Evidence) -> Option<VerdictReason> {
    let requests = &evidence.requests;
    let bad = requests.failed + requests.dropped;
    let rate = bad as f64 / requests.intended.max(1) as f64;
    (rate > evidence.max_error_rate).then_some(())?;
    let kinds: Vec<String> = requests
        .failures
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .chain((requests.dropped > 0).then(|| format!("{} never sent", requests.dropped)))
        .collect();
    let message = format!(
        "{bad} of {} arrivals had no whole answer ({}); policy.maxErrorRate is {}",
        requests.intended,
        kinds.join(", "),
        evidence.max_error_rate,
    );
    reason(Invalid, "ErrorRateExceeded", message)
}

fn tokens(evidence: &Evidence) -> Option<VerdictReason> {
    let (engine, tokenizer) = evidence.tokens?;
    let difference = engine.abs_diff(tokenizer) as f64 / engine.max(1) as f64;
    (difference > TOKEN_DIFFERENCE).then_some(())?;
    let message = format!(
        "the engine counted {engine} output tokens, the tokenizer {tokenizer}; check model.tokenizer and what the engine calls a token"
    );
    reason(Suspect, "TokenCountMismatch", message)
}

/// The status that follows from a value over the first or the second of two bounds.
fn grade(value: f64, (suspect, invalid): (f64, f64)) -> Option<VerdictStatus> {
    if value > invalid {
        Some(Invalid)
    } else if value > suspect {
        Some(Suspect)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
