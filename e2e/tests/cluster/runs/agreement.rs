//! Whether a report's figures are what the simulators truly sent.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::{Distribution, StageReport};

use super::truth::{Request, within};

/// Largest difference of a mean: the larger of 2 ms and 3 %.
const MEAN: (f64, f64) = (0.002, 0.03);
/// Largest difference of a high percentile: the larger of 5 ms and 5 %.
const TAIL: (f64, f64) = (0.005, 0.05);

/// Holds one stage against the requests that its engine saw in the round.
pub(super) fn check(stage: &StageReport, seen: &[Request]) -> Result<()> {
    let start: jiff::Timestamp = stage
        .window
        .start
        .parse()
        .with_context(|| format!("window.start {}", stage.window.start))?;
    let start = start.as_nanosecond() as f64 / 1e9;
    let seen = within(seen, start, start + stage.window.duration_seconds);
    ensure!(
        seen.len() as u64 == stage.requests.sent,
        "{} requests came, the report says {}",
        seen.len(),
        stage.requests.sent
    );
    let tokens: u64 = seen
        .iter()
        .map(|request| u64::from(request.output_tokens))
        .sum();
    let said = stage
        .output_tokens
        .as_ref()
        .context("no output tokens")?
        .sum;
    ensure!(
        tokens == said,
        "{tokens} tokens were sent, the report says {said}"
    );

    let first: Vec<f64> = seen
        .iter()
        .filter_map(|request| Some(seconds(request.received_at, request.first_token_at?)))
        .collect();
    let ttft = stage
        .time_to_first_token
        .as_ref()
        .context("no time to first token")?;
    agrees("mean time to first token", mean(&first), ttft.mean, MEAN)?;
    agrees_at_tail("time to first token", first, ttft)?;

    let gaps: Vec<f64> = seen
        .iter()
        .flat_map(|request| {
            request
                .frames
                .windows(2)
                .map(|pair| seconds(pair[0], pair[1]))
        })
        .collect();
    let chunks = stage
        .inter_chunk_latency
        .as_ref()
        .context("no inter-chunk latency")?;
    agrees("mean inter-chunk latency", mean(&gaps), chunks.mean, MEAN)?;
    agrees_at_tail("inter-chunk latency", gaps, chunks)
}

/// Compares the highest percentile that the report gives, and its maximum where it gives none over
/// the median: few samples give no 99th percentile.
fn agrees_at_tail(what: &str, mut truth: Vec<f64>, said: &Distribution) -> Result<()> {
    truth.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (share * truth.len() as f64).ceil() as usize;
        truth
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    };
    for (name, share, said) in [
        ("p50", 0.5, said.p50),
        ("p90", 0.9, said.p90),
        ("p99", 0.99, said.p99),
    ] {
        if let Some(said) = said {
            agrees(&format!("{name} of {what}"), at(share), said, TAIL)?;
        }
    }
    Ok(())
}

fn agrees(what: &str, truth: f64, said: f64, (absolute, relative): (f64, f64)) -> Result<()> {
    let allowed = absolute.max(relative * truth);
    ensure!(
        (truth - said).abs() <= allowed,
        "{what} was {:.3} ms, the report says {:.3} ms",
        truth * 1e3,
        said * 1e3
    );
    Ok(())
}

fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
