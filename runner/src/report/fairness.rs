//! Whether all engines were measured under the same conditions. Pure.

mod begin;
mod cache;
mod conditions;
mod parity;
mod weights;

use bakeoff_crds::{
    outcome::Outcome,
    plan::Plan,
    report::{
        EngineReport, Fairness, FairnessCheck, FairnessCheckKind as Kind, FairnessFinding,
        FairnessStatus,
    },
};

/// The verdict, from what the plan has, what the engines answered and what the operator saw. Engines
/// of which nothing was measured take no part.
pub fn of_run(plan: &Plan, outcome: &Outcome, engines: &[EngineReport]) -> Fairness {
    let measured: Vec<&EngineReport> = engines
        .iter()
        .filter(|engine| !engine.stages.is_empty())
        .collect();
    let forced = plan.spec.workload.sampling.ignore_eos;
    let checks = [
        Some((Kind::Settings, conditions::settings(&measured))),
        conditions::image(outcome, &measured).map(|found| (Kind::Image, found)),
        conditions::node(outcome, &measured).map(|found| (Kind::Node, found)),
        conditions::accelerators(&measured).map(|found| (Kind::Accelerators, found)),
        weights::weights(plan, &measured).map(|found| (Kind::Weights, found)),
        Some((Kind::InputTokens, parity::input_tokens(&measured))),
        forced.then(|| (Kind::ForcedLength, parity::forced_length(&measured))),
        Some((Kind::Greedy, parity::greedy(&measured))),
        begin::begin_token(&measured).map(|found| (Kind::BeginToken, found)),
        Some((Kind::EndToken, parity::end_token(&measured))),
        Some((Kind::PrefixCache, cache::prefix_cache(plan, &measured))),
        conditions::cautions(&measured).map(|found| (Kind::Cautions, found)),
    ];
    let checks: Vec<FairnessCheck> = checks
        .into_iter()
        .flatten()
        .map(|(check, findings)| FairnessCheck {
            check,
            status: worst(findings.iter().map(|finding| finding.status)),
            findings,
        })
        .collect();
    let status = match measured.as_slice() {
        [] => FairnessStatus::Unproven,
        _ => worst(checks.iter().map(|check| check.status)),
    };
    Fairness { status, checks }
}

fn worst(statuses: impl Iterator<Item = FairnessStatus>) -> FairnessStatus {
    statuses.max().unwrap_or(FairnessStatus::Fair)
}

fn differs(engine: Option<&str>, message: impl Into<String>) -> FairnessFinding {
    FairnessFinding {
        engine: engine.map(str::to_owned),
        status: FairnessStatus::Deviating,
        message: message.into(),
    }
}

/// What is known and no difference.
fn noted(engine: &str, message: impl Into<String>) -> FairnessFinding {
    FairnessFinding {
        status: FairnessStatus::Fair,
        ..differs(Some(engine), message)
    }
}

fn unknown(engine: Option<&str>, message: impl Into<String>) -> FairnessFinding {
    FairnessFinding {
        status: FairnessStatus::Unproven,
        ..differs(engine, message)
    }
}

#[cfg(test)]
mod tests;
