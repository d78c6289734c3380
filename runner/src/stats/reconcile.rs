//! Whether the client's figures of a stage and the engine's own are those of the same requests. Pure.
//!
//! A difference says that one of them counts what the other does not see: somebody else uses the
//! engine, a load balancer spreads the requests over several, or a name of the profile is of another
//! series.

use bakeoff_crds::{
    report::{
        EngineMetric, MetricSource, MetricValue, ReconciledMeasure, ReconciliationCheck,
        StageReport, TokenCountSource, Verdict, VerdictReason,
    },
    run::status::VerdictStatus::Suspect,
};

/// Share by which counts may differ.
const COUNT: f64 = 0.01;
/// Tokens of each prompt that may differ: of its beginning and its end, which some engines count.
const MARKS: f64 = 2.0;
/// Share by which tokens may differ where the client counted them on the text, by the tokenizer.
const RECOUNTED: f64 = 0.1;
/// How much longer the engine's time to first token may be than the client's, in seconds and as a
/// share. It is a part of it, so this is for the clocks.
const LONGER: (f64, f64) = (0.005, 0.02);
/// How much shorter it may be: seconds, and a share of the client's. The rest is the way, a proxy, or
/// a queue before the engine begins to count.
const SHORTER: (f64, f64) = (0.05, 0.25);

/// What the checks need beside the stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circumstances {
    /// Prompts of one request.
    pub prompts_per_request: u32,
    /// Interval of a Prometheus' scrapes, in seconds.
    pub prometheus_interval: f64,
}

/// Holds the stage's figures against its `engine_metrics`, and lowers its verdict where they
/// disagree.
pub fn reconcile(stage: &mut StageReport, circumstances: Circumstances) {
    stage.reconciliation = checks(stage, circumstances);
    let reasons = std::mem::take(&mut stage.verdict.reasons).into_iter();
    stage.verdict = Verdict::of(reasons.chain(reason(&stage.reconciliation)).collect());
}

/// One check per figure that both sides have. None where no request succeeded.
fn checks(stage: &StageReport, circumstances: Circumstances) -> Vec<ReconciliationCheck> {
    if stage.requests.succeeded == 0 {
        return Vec::new();
    }
    [completed, input_tokens, output_tokens, first_token]
        .into_iter()
        .filter_map(|check| check(stage, circumstances))
        .collect()
}

fn completed(stage: &StageReport, circumstances: Circumstances) -> Option<ReconciliationCheck> {
    let engine = increase(stage, "requestsSucceeded")?;
    let prompts = f64::from(circumstances.prompts_per_request.max(1));
    let client = stage.requests.succeeded as f64 * prompts;
    let least = client - (COUNT * client).max(1.0);
    let most = of_all(stage, client) + (COUNT * client).max(1.0);
    let measure = ReconciledMeasure::CompletedRequests;
    Some(counted(
        measure,
        stage,
        circumstances,
        (client, engine),
        (Some(least), most),
    ))
}

fn output_tokens(stage: &StageReport, circumstances: Circumstances) -> Option<ReconciliationCheck> {
    let engine = increase(stage, "generationTokens")?;
    let (share, each) = match stage.token_count_source {
        TokenCountSource::Server => (COUNT, 1.0),
        TokenCountSource::Tokenizer => (RECOUNTED, 1.0),
        TokenCountSource::None => return None,
    };
    let client = stage.output_tokens.as_ref()?.sum as f64;
    let slack = (share * client).max(each * stage.requests.succeeded as f64);
    let measure = ReconciledMeasure::OutputTokens;
    let bounds = (Some(client - slack), of_all(stage, client) + slack);
    Some(counted(
        measure,
        stage,
        circumstances,
        (client, engine),
        bounds,
    ))
}

/// Some engines count only the tokens that their prefix cache did not have, so the least is known
/// only where the engine tells how many it had.
fn input_tokens(stage: &StageReport, circumstances: Circumstances) -> Option<ReconciliationCheck> {
    let engine = increase(stage, "promptTokens")?;
    let client = stage.input_tokens.as_ref()?.sum as f64;
    let prompts = stage.requests.succeeded as f64 * f64::from(circumstances.prompts_per_request);
    let slack = (COUNT * client).max(MARKS * prompts);
    let cached = increase(stage, "prefixCacheHits").map(|(hits, _)| hits);
    let least = cached.map(|cached| (client - cached - slack).max(0.0));
    let bounds = (least, of_all(stage, client) + slack);
    let measure = ReconciledMeasure::InputTokens;
    Some(counted(
        measure,
        stage,
        circumstances,
        (client, engine),
        bounds,
    ))
}

/// Where each request is one prompt and none failed, so that both means are over the same requests.
fn first_token(stage: &StageReport, circumstances: Circumstances) -> Option<ReconciliationCheck> {
    (circumstances.prompts_per_request <= 1 && stage.requests.failed == 0).then_some(())?;
    let (engine, source) = value(stage, "timeToFirstToken", |value| value.mean)?;
    let client = stage.time_to_first_token.as_ref()?.mean;
    let least = client - SHORTER.0.max(SHORTER.1 * client);
    let most = client + LONGER.0.max(LONGER.1 * client);
    let measure = ReconciledMeasure::TimeToFirstToken;
    Some(check(
        measure,
        source,
        (client, engine),
        (Some(least.max(0.0)), most),
    ))
}

/// What the engine may have counted where failed requests did as much as the others.
fn of_all(stage: &StageReport, succeeded: f64) -> f64 {
    succeeded * stage.requests.sent.max(1) as f64 / stage.requests.succeeded.max(1) as f64
}

/// A check of a counter. A Prometheus' increase is drawn out to the window's ends from the scrapes
/// within, so it may be off by what happens in an interval at each end.
fn counted(
    measure: ReconciledMeasure,
    stage: &StageReport,
    circumstances: Circumstances,
    (client, (engine, source)): (f64, (f64, MetricSource)),
    (least, most): (Option<f64>, f64),
) -> ReconciliationCheck {
    let off = match source {
        MetricSource::Direct => 0.0,
        MetricSource::Prometheus => {
            let seconds = stage.window.duration_seconds.max(1e-9);
            client * (2.0 * circumstances.prometheus_interval / seconds).min(1.0)
        }
    };
    let least = least.map(|least| (least - off).max(0.0));
    check(measure, source, (client, engine), (least, most + off))
}

fn check(
    measure: ReconciledMeasure,
    source: MetricSource,
    (client, engine): (f64, f64),
    (least, most): (Option<f64>, f64),
) -> ReconciliationCheck {
    ReconciliationCheck {
        measure,
        source,
        client,
        engine,
        least,
        most,
        passed: engine <= most && least.is_none_or(|least| engine >= least),
    }
}

fn increase(stage: &StageReport, name: &str) -> Option<(f64, MetricSource)> {
    value(stage, name, |value| value.increase)
}

/// The direct scrape's figure, which is of exactly the window; else a Prometheus'.
fn value(
    stage: &StageReport,
    name: &str,
    figure: fn(&MetricValue) -> Option<f64>,
) -> Option<(f64, MetricSource)> {
    let metric: &EngineMetric = stage.engine_metrics.get(name)?;
    let of = |value: &Option<MetricValue>| value.as_ref().and_then(figure);
    let direct = of(&metric.direct).map(|figure| (figure, MetricSource::Direct));
    direct.or_else(|| of(&metric.prometheus).map(|figure| (figure, MetricSource::Prometheus)))
}

fn reason(checks: &[ReconciliationCheck]) -> Option<VerdictReason> {
    let failed: Vec<String> = checks
        .iter()
        .filter(|check| !check.passed)
        .map(say)
        .collect();
    (!failed.is_empty()).then(|| VerdictReason {
        reason: "EngineDisagrees".into(),
        message: format!(
            "{}; see whether others use the engine, whether requests go to several, and what the \
             profile's metrics.series names",
            failed.join("; ")
        ),
        status: Suspect,
    })
}

fn say(check: &ReconciliationCheck) -> String {
    let (client, engine) = (check.client, check.engine);
    let count =
        |what: &str| format!("the engine counted {engine:.0} {what}, the client {client:.0}");
    match check.measure {
        ReconciledMeasure::CompletedRequests => count("answered prompts"),
        ReconciledMeasure::InputTokens => count("input tokens"),
        ReconciledMeasure::OutputTokens => count("output tokens"),
        ReconciledMeasure::TimeToFirstToken => format!(
            "the engine's mean time to first token is {:.1} ms, the client's {:.1} ms",
            engine * 1e3,
            client * 1e3
        ),
    }
}

#[cfg(test)]
mod tests;
