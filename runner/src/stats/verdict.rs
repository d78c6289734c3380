//! Whether a stage's figures can be trusted: rules over what was seen, each with its reason.

use bakeoff_crds::{
    report::{OutputSanity, Requests, Verdict, VerdictReason},
    run::status::VerdictStatus::{self, Invalid, Suspect},
};

use crate::{
    clock::{self, MILLISECOND, Nanos, SECOND},
    drive::{Cut, vitals::StageVitals},
};

/// Least and greatest bound on the schedule delay, in seconds.
const SCHEDULE_DELAY: (f64, f64) = (0.001, 0.010);
/// Share of the median time to first token that the schedule delay may have.
const SCHEDULE_DELAY_SHARE: f64 = 0.05;
/// Stall of the client over which a stage is Suspect, and over which it is Invalid.
const STALL: (Nanos, Nanos) = (100 * MILLISECOND, SECOND);
/// Share of the window for which the client was throttled: Suspect, Invalid.
const THROTTLED: (f64, f64) = (0.01, 0.1);
/// Difference between the engine's and the tokenizer's count of all answers over which a stage is
/// Suspect.
const TOKEN_DIFFERENCE: f64 = 0.1;

/// Share of answers that are empty, or shorter than they were to be, over which a stage is Suspect.
const UNSOUND_ANSWERS: f64 = 0.01;
/// The same for answers that turn in circles. Those that are made to run on past their end often
/// do, so they are not judged.
const REPEATING_ANSWERS: f64 = 0.1;

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

/// The verdict on one stage.
pub fn verdict(evidence: &Evidence) -> Verdict {
    let rules = [
        cut,
        no_requests,
        error_rate,
        schedule_delay,
        stall,
        throttled,
        descriptors,
        ports,
        tokens,
        empty_answers,
        short_answers,
        repeating_answers,
    ];
    Verdict::of(rules.iter().filter_map(|rule| rule(evidence)).collect())
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

fn schedule_delay(evidence: &Evidence) -> Option<VerdictReason> {
    let delay = evidence.own_delay_p99?;
    let (least, greatest) = SCHEDULE_DELAY;
    let bound = match evidence.median_answer {
        Some(median) => (SCHEDULE_DELAY_SHARE * median).clamp(least, greatest),
        None => greatest,
    };
    (delay > bound).then_some(())?;
    let message = format!(
        "the client was {:.2} ms behind its schedule at the 99th percentile, over {:.2} ms; give it more CPU or threads",
        delay * 1e3,
        bound * 1e3,
    );
    reason(Suspect, "ScheduleDelay", message)
}

fn stall(evidence: &Evidence) -> Option<VerdictReason> {
    let stall = evidence.vitals.longest_stall;
    let status = grade(stall as f64, (STALL.0 as f64, STALL.1 as f64))?;
    let message = format!(
        "the client stood still for {:.0} ms; give it a CPU of its own",
        clock::seconds(stall) * 1e3
    );
    reason(status, "ClientStalled", message)
}

fn throttled(evidence: &Evidence) -> Option<VerdictReason> {
    let throttled = evidence.vitals.throttled_seconds?;
    let status = grade(throttled / evidence.window_seconds.max(1e-9), THROTTLED)?;
    let message = format!(
        "the client's cgroup was throttled for {throttled:.3} s of {:.3} s; raise its CPU limit",
        evidence.window_seconds
    );
    reason(status, "ClientThrottled", message)
}

fn descriptors(evidence: &Evidence) -> Option<VerdictReason> {
    let vitals = &evidence.vitals;
    let status = if vitals.descriptors_refused > 0 {
        Invalid
    } else if vitals.open_files_needed > vitals.open_files_limit {
        Suspect
    } else {
        return None;
    };
    let message = format!(
        "{} open files are needed, {} allowed, {} connections could not be opened; raise the bound (ulimit -n)",
        vitals.open_files_needed, vitals.open_files_limit, vitals.descriptors_refused
    );
    reason(status, "FileDescriptorLimit", message)
}

fn ports(evidence: &Evidence) -> Option<VerdictReason> {
    let vitals = &evidence.vitals;
    let ports = vitals.local_ports?;
    let status = if vitals.ports_refused > 0 {
        Invalid
    } else if vitals.most_connections > ports {
        Suspect
    } else {
        return None;
    };
    let message = format!(
        "{} connections to one server are needed, {ports} local ports are there, {} connections found none; \
         widen net.ipv4.ip_local_port_range or lower the load",
        vitals.most_connections, vitals.ports_refused
    );
    reason(status, "LocalPortLimit", message)
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

fn empty_answers(evidence: &Evidence) -> Option<VerdictReason> {
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

fn short_answers(evidence: &Evidence) -> Option<VerdictReason> {
    let output = evidence.output.as_ref()?;
    let short = output.shorter_than_asked?;
    let message = format!(
        "{short} of {} answers are shorter than workload.sampling.ignoreEos asks for; the engine stopped them all the same, perhaps at the longest sequence that it takes",
        output.judged
    );
    unsound("ShortAnswers", short, output, UNSOUND_ANSWERS, message)
}

fn repeating_answers(evidence: &Evidence) -> Option<VerdictReason> {
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
mod tests {
    use super::*;

    fn good() -> Evidence {
        Evidence {
            requests: Requests {
                intended: 100,
                sent: 100,
                succeeded: 100,
                ..Requests::default()
            },
            max_error_rate: 0.01,
            own_delay_p99: Some(0.0005),
            median_answer: Some(0.2),
            window_seconds: 10.0,
            vitals: StageVitals {
                open_files_limit: 1024,
                open_files_needed: 100,
                longest_stall: 5 * MILLISECOND,
                throttled_seconds: Some(0.0),
                ..StageVitals::default()
            },
            cut: None,
            tokens: Some((1000, 1001)),
            output: Some(OutputSanity {
                judged: 1000,
                shorter_than_asked: Some(10),
                empty: 10,
                repeating: 1000,
                ..OutputSanity::default()
            }),
        }
    }

    #[test]
    fn a_good_stage_is_valid() {
        assert_eq!(verdict(&good()), Verdict::default());
    }

    #[test]
    fn each_rule_has_its_reason_and_status() {
        type Change = fn(&mut Evidence);
        let cases: [(&str, VerdictStatus, Change); 20] = [
            ("Cancelled", Invalid, |e| e.cut = Some(Cut::Cancelled)),
            ("StageDeadlineExceeded", Invalid, |e| {
                e.cut = Some(Cut::Deadline);
            }),
            ("ErrorRateExceeded", Invalid, |e| {
                e.requests.succeeded = 98;
                e.requests.failed = 2;
            }),
            ("ErrorRateExceeded", Invalid, |e| {
                e.requests.succeeded = 98;
                e.requests.dropped = 2;
            }),
            // 5 % of 200 ms are 10 ms.
            ("ScheduleDelay", Suspect, |e| e.own_delay_p99 = Some(0.0101)),
            // 5 % of 40 ms are 2 ms.
            ("ScheduleDelay", Suspect, |e| {
                e.median_answer = Some(0.04);
                e.own_delay_p99 = Some(0.0021);
            }),
            // Never under 1 ms.
            ("ScheduleDelay", Suspect, |e| {
                e.median_answer = Some(0.001);
                e.own_delay_p99 = Some(0.0011);
            }),
            // Never over 10 ms.
            ("ScheduleDelay", Suspect, |e| {
                e.median_answer = Some(60.0);
                e.own_delay_p99 = Some(0.011);
            }),
            ("ClientStalled", Suspect, |e| {
                e.vitals.longest_stall = 101 * MILLISECOND;
            }),
            ("ClientStalled", Invalid, |e| {
                e.vitals.longest_stall = 2 * SECOND;
            }),
            ("ClientThrottled", Suspect, |e| {
                e.vitals.throttled_seconds = Some(0.2);
            }),
            ("ClientThrottled", Invalid, |e| {
                e.vitals.throttled_seconds = Some(1.5);
            }),
            ("FileDescriptorLimit", Suspect, |e| {
                e.vitals.open_files_needed = 1025;
            }),
            ("FileDescriptorLimit", Invalid, |e| {
                e.vitals.descriptors_refused = 1;
            }),
            ("LocalPortLimit", Suspect, |e| {
                e.vitals.local_ports = Some(28_232);
                e.vitals.most_connections = 28_233;
            }),
            ("LocalPortLimit", Invalid, |e| {
                e.vitals.local_ports = Some(28_232);
                e.vitals.ports_refused = 1;
            }),
            ("TokenCountMismatch", Suspect, |e| {
                e.tokens = Some((1000, 890));
            }),
            ("EmptyAnswers", Suspect, |e| {
                e.output.as_mut().unwrap().empty = 11;
            }),
            ("ShortAnswers", Suspect, |e| {
                e.output.as_mut().unwrap().shorter_than_asked = Some(11);
            }),
            ("RepeatingAnswers", Suspect, |e| {
                e.output = Some(OutputSanity {
                    judged: 100,
                    repeating: 11,
                    ..OutputSanity::default()
                });
            }),
        ];
        for (reason, status, change) in cases {
            let mut evidence = good();
            change(&mut evidence);
            let found = verdict(&evidence);
            assert_eq!(found.status, status, "{reason}");
            assert_eq!(found.reasons.len(), 1, "{reason}: {found:?}");
            assert_eq!(found.reasons[0].reason, reason);
        }
    }

    #[test]
    fn what_is_just_within_its_bound_is_valid() {
        type Change = fn(&mut Evidence);
        let cases: [Change; 8] = [
            |e| {
                e.requests.succeeded = 99;
                e.requests.failed = 1;
            },
            |e| e.own_delay_p99 = Some(0.0099),
            |e| {
                e.median_answer = Some(0.001);
                e.own_delay_p99 = Some(0.0009);
            },
            |e| e.own_delay_p99 = None,
            |e| e.vitals.longest_stall = 99 * MILLISECOND,
            |e| e.tokens = Some((1000, 910)),
            |e| e.output = None,
            |e| {
                e.output = Some(OutputSanity {
                    judged: 100,
                    repeating: 10,
                    cut_off: Some(100),
                    ..OutputSanity::default()
                });
            },
        ];
        for (number, change) in cases.into_iter().enumerate() {
            let mut evidence = good();
            change(&mut evidence);
            assert_eq!(verdict(&evidence), Verdict::default(), "{number}");
        }
    }

    #[test]
    fn a_stage_without_an_answer_is_invalid() {
        let mut evidence = good();
        evidence.requests = Requests {
            intended: 5,
            sent: 5,
            failed: 5,
            ..Requests::default()
        };
        let found = verdict(&evidence);
        let reasons: Vec<&str> = found
            .reasons
            .iter()
            .map(|reason| reason.reason.as_str())
            .collect();
        assert_eq!(found.status, Invalid);
        assert_eq!(reasons, ["NoRequests", "ErrorRateExceeded"]);
    }
}
