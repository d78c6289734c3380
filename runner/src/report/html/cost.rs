//! What the stages cost, as the page shows it.

use bakeoff_crds::report::{CostBasis, EngineReport};

use crate::report::format;

/// Engine, stage, what is paid for, and what it came to: in all, per million output tokens, per million
/// tokens of both kinds.
pub type CostRow = [String; 6];

/// A row for each stage of which the cost is known.
pub fn rows(engines: &[EngineReport]) -> Vec<CostRow> {
    let show = |price: Option<f64>| price.map_or_else(|| "–".into(), format::price);
    let of_engine = |engine: &EngineReport| -> Vec<CostRow> {
        let stages = engine.stages.iter();
        stages
            .filter_map(|stage| {
                let cost = stage.cost?;
                let basis = match (cost.basis, engine.price_per_hour) {
                    (CostBasis::NodeHours, Some(price)) => {
                        format!("{} an hour", format::price(price))
                    }
                    (CostBasis::NodeHours, None) => "hours".into(),
                    (CostBasis::EndpointTokens, _) => tokens(engine),
                };
                Some([
                    engine.name.clone(),
                    stage.name.clone(),
                    basis,
                    show(Some(cost.total)),
                    show(cost.per_million_output_tokens),
                    show(cost.per_million_tokens),
                ])
            })
            .collect()
    };
    engines.iter().flat_map(of_engine).collect()
}

/// The prices of a million tokens.
fn tokens(engine: &EngineReport) -> String {
    let price = engine.price_per_million_tokens.unwrap_or_default();
    let of = |side: &str, price: Option<f64>| Some(format!("{side} {}", format::price(price?)));
    let sides = [of("input", price.input), of("output", price.output)];
    let said: Vec<String> = sides.into_iter().flatten().collect();
    format!("a million tokens: {}", said.join(", "))
}
