//! The loads that a search can take, and the walk over them. Loads are places in a list here; what a
//! load did is asked for by its place.

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Drive the load at this place.
    Drive(usize),
    /// Nothing more.
    End(End),
}

/// How a search ended. Places are of the last good load and the first that is not.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// Between these two, neighbours in the list (of a knee: one doubling apart).
    Between(usize, usize),
    /// The highest load is good too.
    AtLimit(usize),
    /// The lowest load is not good already.
    BelowMinimum,
    /// Nothing can be said of the load at this place; the last good one before it.
    Unclear(usize, Option<usize>),
}

/// What a load did.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome<T> {
    /// What it did.
    Known(T),
    /// Nothing that can be used.
    Unclear,
}

/// Loads from `min` to `max`, each `factor` times the one before; the last is `max`. Rounded to four
/// digits, or to whole numbers.
pub(super) fn geometric(min: f64, max: f64, factor: f64, whole: bool) -> Vec<f64> {
    let round = |load: f64| {
        if whole {
            load.round()
        } else {
            to_four_digits(load)
        }
    };
    let mut levels = Vec::new();
    let steps = ((max / min).ln() / factor.ln()).ceil().max(1.0) as i32;
    for step in 0..steps {
        levels.push(round(min * factor.powi(step)).min(max));
    }
    levels.push(max);
    levels.dedup();
    levels
}

fn to_four_digits(load: f64) -> f64 {
    let scale = 10.0_f64.powi(3 - load.log10().floor() as i32);
    let rounded = (load * scale).round() / scale;
    // By way of text, so that 1.1000000000000001 is 1.1, in names as well.
    format!("{rounded:.6}").parse().unwrap_or(rounded)
}

/// `min` and its doubles up to `max`.
pub(super) fn doubling(min: f64, max: f64) -> Vec<f64> {
    std::iter::successors(Some(min), |load| Some(load * 2.0))
        .take_while(|&load| load <= max)
        .collect()
}

/// Looks for the last good load: upwards from the first, doubling, until one is not good, then by
/// halving the gap. `is_good` gives nothing for a load that was not driven yet.
pub(super) fn bisect(levels: &[f64], is_good: impl Fn(usize) -> Option<Outcome<bool>>) -> Step {
    let last = levels.len().saturating_sub(1);
    let (mut good, mut bad) = (None, None);
    loop {
        let next = match (good, bad) {
            (None, None) => 0,
            (None, Some(_)) => return Step::End(End::BelowMinimum),
            (Some(good), None) if good == last => return Step::End(End::AtLimit(good)),
            (Some(good), None) => doubled(levels, good),
            (Some(good), Some(bad)) if bad - good <= 1 => {
                return Step::End(End::Between(good, bad));
            }
            (Some(good), Some(bad)) => usize::midpoint(good, bad),
        };
        match is_good(next) {
            None => return Step::Drive(next),
            Some(Outcome::Unclear) => return Step::End(End::Unclear(next, good)),
            Some(Outcome::Known(true)) => good = Some(next),
            Some(Outcome::Known(false)) => bad = Some(next),
        }
    }
}

/// The place of the first load that is at least twice the one at a place, or the last place.
fn doubled(levels: &[f64], place: usize) -> usize {
    let load = levels.get(place).copied().unwrap_or_default();
    let first = levels.partition_point(|&level| level < 2.0 * load);
    first.max(place + 1).min(levels.len().saturating_sub(1))
}

/// Most loads that [`bisect`] drives.
pub(super) fn probes_at_most(levels: &[f64]) -> usize {
    let last = levels.len().saturating_sub(1);
    let (mut place, mut upwards, mut most) = (0, 1, 1);
    while place < last {
        let next = doubled(levels, place);
        upwards += 1;
        let halvings = (next - place).next_power_of_two().trailing_zeros() as usize;
        most = most.max(upwards + halvings);
        place = next;
    }
    most
}

/// Looks for the last load whose successor gains enough throughput.
pub(super) fn knee(
    levels: usize,
    least_gain: f64,
    throughput: impl Fn(usize) -> Option<Outcome<f64>>,
) -> Step {
    let mut before: Option<f64> = None;
    for level in 0..levels {
        let now = match throughput(level) {
            None => return Step::Drive(level),
            Some(Outcome::Unclear) => return Step::End(End::Unclear(level, level.checked_sub(1))),
            Some(Outcome::Known(throughput)) => throughput,
        };
        match before {
            None if now <= 0.0 => return Step::End(End::Unclear(level, None)),
            Some(before) if now < before * (1.0 + least_gain) => {
                return Step::End(End::Between(level - 1, level));
            }
            _ => before = Some(now),
        }
    }
    Step::End(End::AtLimit(levels.saturating_sub(1)))
}
