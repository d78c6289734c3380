//! What a Prometheus answers, without I/O.

use bakeoff_crds::common::shortened;
use prometheus_http_query::response::{Data, PromqlResult};
use serde::Deserialize;

/// Most characters of an answer that a reason shows.
const MOST_SHOWN: usize = 300;

/// An answer of `/api/v1/query`. Format:
/// <https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview>.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "camelCase")]
enum Answer {
    Success { data: PromqlResult },
    Error { error: String },
}

/// The one value of an answer, or nothing where it is none or not finite.
///
/// # Errors
/// Why it has no such value, as an absent metric says it.
pub(in crate::scrape) fn value_of(body: &[u8]) -> Result<Option<f64>, String> {
    let data = data_of(body)?;
    let value = match data.data() {
        Data::Scalar(sample) => Some(sample.value()),
        Data::Vector(samples) => match samples.as_slice() {
            [] => None,
            [one] => Some(one.sample().value()),
            many => {
                return Err(format!(
                    "ManySeries: the query gives {} series; add them up with sum() or avg()",
                    many.len()
                ));
            }
        },
        Data::Matrix(_) => {
            return Err("NotAnInstant: the query gives a range; take avg_over_time() of it".into());
        }
    };
    Ok(value.filter(|value| value.is_finite()))
}

/// What an answer holds.
pub(super) fn data_of(body: &[u8]) -> Result<PromqlResult, String> {
    let answer = serde_json::from_slice(body).map_err(|error| {
        let error = shortened(&error.to_string(), MOST_SHOWN);
        format!("PrometheusUnreachable: the answer is none of Prometheus: {error}; correct spec.metrics.url")
    })?;
    match answer {
        Answer::Success { data } => Ok(data),
        Answer::Error { error } => {
            let error = shortened(&error, MOST_SHOWN);
            Err(format!("QueryRefused: {error}; correct the query"))
        }
    }
}
