//! What tokens cost.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Price of a million tokens of an endpoint, in the currency of your choice.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.input) || has(self.output)")
    .message("set input, output or both: the prices of a million tokens of prompts and of answers"))]
pub struct Price {
    /// Of a million tokens of prompts; none are free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub input: Option<f64>,
    /// Of a million tokens of answers; none are free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub output: Option<f64>,
}

impl Price {
    /// What so many tokens of prompts and of answers cost.
    pub fn cost(self, input_tokens: u64, output_tokens: u64) -> f64 {
        let of = |price: Option<f64>, tokens: u64| price.unwrap_or(0.0) * tokens as f64 / 1e6;
        of(self.input, input_tokens) + of(self.output, output_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_prices_count_and_one_alone_may_be_given() {
        let both = Price {
            input: Some(2.0),
            output: Some(8.0),
        };
        assert_eq!(both.cost(500_000, 250_000), 3.0);
        let output = Price {
            input: None,
            ..both
        };
        assert_eq!(output.cost(500_000, 250_000), 2.0);
    }
}
