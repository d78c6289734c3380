//! What each stage cost: by the node's hours for engines that the run deploys, by the tokens for paid
//! endpoints, so that both can be held against each other. Pure.

use bakeoff_crds::{
    plan::{EngineSource, Plan, PlannedEngine},
    report::{Cost, CostBasis, StageReport, TokenDistribution},
    run,
};

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Price {
    /// An hour of what the engine runs on.
    Hour(f64),
    /// Tokens.
    Tokens(run::Price),
}

/// The price of an engine, where the run names one. A simulated engine takes no node.
pub fn price(plan: &Plan, engine: &PlannedEngine) -> Option<Price> {
    match &engine.source {
        EngineSource::Deployed(_) => plan.spec.hardware.price_per_hour.map(Price::Hour),
        EngineSource::External(external) => external.price_per_million_tokens.map(Price::Tokens),
        EngineSource::Simulated(_) => None,
    }
}

/// What a stage cost.
pub fn of_stage(price: Price, stage: &StageReport) -> Option<Cost> {
    let sum = |tokens: &Option<TokenDistribution>| tokens.as_ref().map(|tokens| tokens.sum as f64);
    let (input, output) = (sum(&stage.input_tokens), sum(&stage.output_tokens));
    let (basis, total) = match price {
        Price::Hour(price) => {
            let hours = stage.window.duration_seconds / 3600.0;
            (CostBasis::NodeHours, price * hours)
        }
        Price::Tokens(price) => {
            // Without a count, what costs something cannot be reckoned.
            let known = |price: Option<f64>, tokens: Option<f64>| match price {
                Some(price) => tokens.map(|tokens| price * tokens / 1e6),
                None => Some(0.0),
            };
            let total = known(price.input, input)? + known(price.output, output)?;
            (CostBasis::EndpointTokens, total)
        }
    };
    let per_million =
        |tokens: Option<f64>| tokens.filter(|sum| *sum > 0.0).map(|sum| total / sum * 1e6);
    Some(Cost {
        basis,
        total,
        per_million_output_tokens: per_million(output),
        per_million_tokens: per_million(input.zip(output).map(|(input, output)| input + output)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    /// Half an hour, a million tokens of prompts, half a million of answers.
    fn stage() -> StageReport {
        let mut stage = fixture::stage(8, 1000.0, 0.05);
        stage.window.duration_seconds = 1800.0;
        let tokens = |sum| {
            Some(TokenDistribution {
                sum,
                ..TokenDistribution::default()
            })
        };
        (stage.input_tokens, stage.output_tokens) = (tokens(1_000_000), tokens(500_000));
        stage
    }

    fn both(input: f64, output: f64) -> run::Price {
        run::Price {
            input: Some(input),
            output: Some(output),
        }
    }

    #[test]
    fn a_node_costs_its_time_and_an_endpoint_its_tokens() {
        for (price, basis, total, of_output, of_all) in [
            (Price::Hour(3.0), CostBasis::NodeHours, 1.5, 3.0, 1.0),
            (
                Price::Tokens(both(0.25, 1.0)),
                CostBasis::EndpointTokens,
                0.75,
                1.5,
                0.5,
            ),
        ] {
            let cost = of_stage(price, &stage()).unwrap();
            assert_eq!((cost.basis, cost.total), (basis, total));
            assert_eq!(cost.per_million_output_tokens, Some(of_output));
            assert_eq!(cost.per_million_tokens, Some(of_all));
        }
    }

    #[test]
    fn what_was_not_counted_has_no_cost_per_token() {
        let mut stage = stage();
        stage.output_tokens = None;
        let cost = of_stage(Price::Hour(3.0), &stage).unwrap();
        assert_eq!(
            (
                cost.total,
                cost.per_million_output_tokens,
                cost.per_million_tokens
            ),
            (1.5, None, None)
        );
        let output = run::Price {
            input: None,
            ..both(0.0, 1.0)
        };
        assert_eq!(of_stage(Price::Tokens(output), &stage), None);
    }
}
