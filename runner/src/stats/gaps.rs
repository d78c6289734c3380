//! Latencies between frames, too many to keep each.

use bakeoff_crds::report::Distribution;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2DeflateSerializer},
};
use serde::{Deserialize, Serialize};

use super::distribution::{enough_for, sample_deviation};
use crate::clock::{self, Nanos};

/// Digits that the histogram keeps of a value: percentiles are off by 0.1 % at most.
const DIGITS: u8 = 3;
/// Greatest value that the histogram tells apart; an hour.
const GREATEST: Nanos = 3600 * clock::SECOND;

/// A mergeable distribution of latencies: mean, deviation and extremes exact, percentiles from an
/// HDR histogram of nanoseconds. Sums are whole numbers, so that parts add up to the same figures in
/// whatever order.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Packed", try_from = "Packed")]
pub struct Latencies {
    /// Absent only where it could not be made; see [`Latencies::new`].
    histogram: Option<Histogram<u64>>,
    count: u64,
    /// In nanoseconds.
    sum: u128,
    squares: u128,
    min: Nanos,
    max: Nanos,
}

impl std::fmt::Debug for Latencies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not its thousands of buckets.
        formatter
            .debug_tuple("Latencies")
            .field(&self.distribution())
            .finish()
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// An empty distribution.
    pub fn new() -> Self {
        Self {
            // The bounds are constants that the histogram takes.
            histogram: Histogram::new_with_bounds(1, GREATEST, DIGITS).ok(),
            count: 0,
            sum: 0,
            squares: 0,
            min: Nanos::MAX,
            max: 0,
        }
    }

    /// Adds one value `times` times.
    pub fn record(&mut self, value: Nanos, times: u64) {
        if let Some(histogram) = &mut self.histogram {
            // Never fails for a value within the bounds.
            let _ = histogram.record_n(value.min(GREATEST), times);
        }
        let (exact, weight) = (u128::from(value), u128::from(times));
        self.count += times;
        self.sum += exact * weight;
        // Would only overflow where the value is absurd.
        let squares = (exact * exact).saturating_mul(weight);
        self.squares = self.squares.saturating_add(squares);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds another distribution without loss.
    pub fn add(&mut self, other: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.histogram, &other.histogram) {
            // Never fails for the same bounds.
            let _ = mine.add(theirs);
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.squares = self.squares.saturating_add(other.squares);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Samples.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The distribution in seconds; `None` where there is no sample.
    pub fn distribution(&self) -> Option<Distribution> {
        if self.count == 0 {
            return None;
        }
        let histogram = self.histogram.as_ref()?;
        let mean = self.sum as f64 / self.count as f64;
        let squares = self.squares as f64 - mean * mean * self.count as f64;
        let percentile = |percentile: f64| {
            enough_for(percentile, self.count).then(|| {
                // The histogram rounds; the true extremes are known.
                let value = histogram.value_at_percentile(percentile);
                clock::seconds(value.clamp(self.min, self.max))
            })
        };
        Some(Distribution {
            count: self.count,
            mean: mean / 1e9,
            stddev: sample_deviation(squares, self.count) / 1e9,
            min: clock::seconds(self.min),
            p50: percentile(50.0),
            p90: percentile(90.0),
            p95: percentile(95.0),
            p99: percentile(99.0),
            p999: percentile(99.9),
            max: clock::seconds(self.max),
        })
    }
}

/// A distribution as it is stored: the histogram in HdrHistogram's own format (V2, compressed, in
/// base64, as its logs have it).
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Packed {
    histogram: String,
    count: u64,
    sum: u128,
    squares: u128,
    min: Nanos,
    max: Nanos,
}

impl From<Latencies> for Packed {
    fn from(latencies: Latencies) -> Self {
        let mut bytes = Vec::new();
        if let Some(histogram) = &latencies.histogram {
            // Fails only where the writer does, and a vector does not.
            let _ = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
        }
        Self {
            histogram: STANDARD.encode(bytes),
            count: latencies.count,
            sum: latencies.sum,
            squares: latencies.squares,
            min: latencies.min,
            max: latencies.max,
        }
    }
}

impl TryFrom<Packed> for Latencies {
    type Error = String;

    fn try_from(packed: Packed) -> Result<Self, String> {
        let bytes = STANDARD
            .decode(&packed.histogram)
            .map_err(|error| format!("the histogram is no base64: {error}"))?;
        let histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| format!("the histogram cannot be read: {error:?}"))?;
        if histogram.high() != GREATEST || histogram.sigfig() != DIGITS {
            return Err("the histogram has other bounds; it was written by another version".into());
        }
        Ok(Self {
            histogram: Some(histogram),
            count: packed.count,
            sum: packed.sum,
            squares: packed.squares,
            min: packed.min,
            max: packed.max,
        })
    }
}

/// Gaps between the frames of answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gaps {
    /// From one frame with content to the next.
    pub chunk: Latencies,
    /// Per token after the first: a gap of a frame of k tokens counts as k gaps of a k-th each.
    token: Latencies,
    /// Whether some frame did not tell its tokens; then there is no inter-token latency.
    unknown: bool,
}

impl Gaps {
    /// No gap yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the gap before a frame that holds so many tokens, where it tells.
    pub fn record(&mut self, gap: Nanos, tokens: Option<u32>) {
        self.chunk.record(gap, 1);
        match tokens {
            Some(0) => {}
            Some(tokens) => self
                .token
                .record(gap / u64::from(tokens), u64::from(tokens)),
            None => self.unknown = true,
        }
    }

    /// Adds the gaps of another event loop.
    pub fn add(&mut self, other: &Self) {
        self.chunk.add(&other.chunk);
        self.token.add(&other.token);
        self.unknown |= other.unknown;
    }

    /// Inter-token latencies, where the tokens of every frame are known.
    pub fn token(&self) -> Option<Distribution> {
        if self.unknown {
            return None;
        }
        self.token.distribution()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{clock::MILLISECOND, stats};

    #[test]
    fn tokens_of_one_frame_share_its_gap() {
        let mut gaps = Gaps::new();
        gaps.record(10 * MILLISECOND, Some(1));
        gaps.record(30 * MILLISECOND, Some(3));
        let token = gaps.token().unwrap();
        assert_eq!((token.count, token.min, token.max), (4, 0.01, 0.01));
        assert_eq!(gaps.chunk.count(), 2);
        gaps.record(MILLISECOND, None);
        assert_eq!(gaps.token(), None);
        assert_eq!(gaps.chunk.count(), 3);
    }

    #[test]
    fn a_frame_that_tells_no_token_has_no_inter_token_latency() {
        let mut gaps = Gaps::new();
        gaps.record(MILLISECOND, Some(0));
        assert_eq!(gaps.token(), None);
    }

    #[test]
    fn memory_does_not_grow_with_the_number_of_gaps() {
        let counters =
            |latencies: &Latencies| latencies.histogram.as_ref().unwrap().distinct_values();
        let mut latencies = Latencies::new();
        let empty = counters(&latencies);
        for place in 0..100_000_u64 {
            latencies.record(
                place.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (2 * GREATEST),
                1000,
            );
        }
        assert_eq!(latencies.count(), 100_000_000);
        assert_eq!(counters(&latencies), empty);
        // Eight bytes each.
        assert!(empty * 8 < 1 << 20, "{empty}");
    }

    #[test]
    fn what_is_no_histogram_of_ours_is_refused() {
        let packed = |change: fn(&mut serde_json::Value)| {
            let mut json = serde_json::to_value(Latencies::new()).unwrap();
            change(&mut json);
            serde_json::from_value::<Latencies>(json)
                .unwrap_err()
                .to_string()
        };
        let error = packed(|json| json["histogram"] = "?".into());
        assert!(error.contains("no base64"), "{error}");
        let error = packed(|json| json["histogram"] = "".into());
        assert!(error.contains("cannot be read"), "{error}");
    }

    proptest! {
        #[test]
        fn gaps_are_stored_without_loss(values in prop::collection::vec((1_u64..10_000_000_000_000, prop::option::of(0_u32..9)), 0..100)) {
            let mut gaps = Gaps::new();
            values.iter().for_each(|&(gap, tokens)| gaps.record(gap, tokens));
            let json = serde_json::to_vec(&gaps).unwrap();
            let back: Gaps = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(&back, &gaps);
            prop_assert_eq!(back.chunk.distribution(), gaps.chunk.distribution());
        }

        #[test]
        fn a_histogram_agrees_with_the_values(values in prop::collection::vec(1_u64..10_000_000_000, 1..500), cut in 0_usize..500) {
            let (first, second) = values.split_at(cut.min(values.len()));
            let (mut one, mut other) = (Latencies::new(), Latencies::new());
            first.iter().for_each(|&value| one.record(value, 1));
            second.iter().for_each(|&value| other.record(value, 1));
            one.add(&other);
            let found = one.distribution().unwrap();
            let exact = stats::distribution(values.iter().map(|&value| clock::seconds(value)).collect()).unwrap();
            prop_assert_eq!((found.count, found.min, found.max), (exact.count, exact.min, exact.max));
            prop_assert!((found.mean - exact.mean).abs() <= exact.mean * 1e-9);
            prop_assert!((found.stddev - exact.stddev).abs() <= exact.mean * 1e-4);
        }

        #[test]
        fn percentiles_are_within_a_thousandth(values in prop::collection::vec(1_000_u64..10_000_000_000, 1000..1200)) {
            let mut latencies = Latencies::new();
            values.iter().for_each(|&value| latencies.record(value, 1));
            let found = latencies.distribution().unwrap().p99.unwrap();
            let mut sorted = values;
            sorted.sort_unstable();
            // The histogram's percentile is the value of rank ceil(p n).
            let rank = (0.99 * sorted.len() as f64).ceil() as usize;
            let exact = clock::seconds(sorted[rank - 1]);
            prop_assert!((found - exact).abs() <= exact * 1e-3, "{found} {exact}");
        }
    }
}
