//! Rules on prices.

use super::Problem;
use crate::run::BenchmarkRunSpec;

pub(super) fn rules(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let Some(price) = spec.hardware.price_per_hour else {
        return;
    };
    if spec.engines.iter().all(|engine| engine.profile.is_none()) {
        problems.push(Problem::new(
            "spec.hardware.pricePerHour",
            format!(
                "{price} is the price of a node, and no engine of this run is deployed on one; remove it, or add an engine with a profile"
            ),
        ));
    }
}
