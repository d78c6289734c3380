//! What paid endpoints may cost. The most that a run can come to is known before its first request,
//! so that nothing is spent to find out.

use super::Problem;
use crate::{
    plan::{StageEnd, stages::stages},
    run::{BenchmarkRunSpec, Price},
};

const FIELD: &str = "spec.policy.budget.endpointCost";

pub(super) fn rules(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let Some(budget) = spec.policy.budget.endpoint_cost else {
        return;
    };
    let externals = spec
        .engines
        .iter()
        .enumerate()
        .filter_map(|(index, engine)| Some((index, engine.external.as_ref()?)));
    let mut prices = Vec::new();
    for (index, external) in externals {
        match external.price_per_million_tokens {
            Some(price) => prices.push(price),
            None => problems.push(Problem::new(
                format!("spec.engines[{index}].external.pricePerMillionTokens"),
                format!("is missing, and {FIELD} bounds what endpoints cost; give its prices, or 0 for one that is free"),
            )),
        }
    }
    if spec.engines.iter().all(|engine| engine.external.is_none()) {
        problems.push(Problem::new(
            FIELD,
            "no engine of this run is an external endpoint; remove it, or use acceleratorHours",
        ));
        return;
    }
    match most_requests(spec) {
        Err(problem) => problems.push(problem),
        Ok(requests) => {
            let most: f64 = prices
                .iter()
                .map(|price| most_cost(spec, *price, requests))
                .sum();
            if most > budget {
                problems.push(Problem::new(
                    FIELD,
                    format!(
                        "{budget} is less than what the run's endpoints may come to, {most:.2}: {requests} requests to each, of up to {} and {} tokens; lower workload.requestsPerStage, repetitions, policy.rounds or workload.limits, or raise the budget",
                        spec.workload.limits.max_input_tokens,
                        spec.workload.limits.max_output_tokens,
                    ),
                ));
            }
        }
    }
}

/// Requests to each engine in the whole run, warm-ups among them.
///
/// # Errors
/// Where the run sets no bound to them: what keeps it, and the remedy.
fn most_requests(spec: &BenchmarkRunSpec) -> Result<u64, Problem> {
    let workload = &spec.workload;
    let unbounded = |field: &str, why: &str| {
        Err(Problem::new(
            field,
            format!("{why}, so {FIELD} cannot be kept"),
        ))
    };
    if workload.sweep.search.is_some() || workload.sweep.knee.is_some() {
        return unbounded(
            "spec.workload.sweep",
            "how many stages a search takes shows as it goes; name the loads instead",
        );
    }
    if workload.prompts.conversations.is_some() {
        return unbounded(
            "spec.workload.prompts.conversations",
            "each turn sends all before it again; take other prompts",
        );
    }
    let mut requests = 0;
    for stage in stages(spec) {
        match stage.end {
            StageEnd::Requests(of_stage) => requests += of_stage,
            _ => {
                let why = format!(
                    "stage {} does not end after a number of requests; set workload.requestsPerStage",
                    stage.name
                );
                return unbounded("spec.workload.sweep", &why);
            }
        }
    }
    let per_round =
        u64::from(workload.warmup.requests) + requests * u64::from(workload.repetitions);
    Ok(per_round * u64::from(spec.policy.rounds))
}

/// What so many requests cost at the most.
fn most_cost(spec: &BenchmarkRunSpec, price: Price, requests: u64) -> f64 {
    let limits = &spec.workload.limits;
    let prompts = requests as f64 * f64::from(spec.workload.prompts_per_request);
    let of_prompt = f64::from(limits.max_input_tokens) * price.input.unwrap_or_default()
        + f64::from(limits.max_output_tokens) * price.output.unwrap_or_default();
    prompts * of_prompt / 1e6
}
