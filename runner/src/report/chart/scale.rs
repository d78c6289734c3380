//! From values to places on an axis, and the ticks of that axis.

/// An axis from one value to another, evenly or by powers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Equal steps are equally far apart.
    Linear {
        /// Value at the beginning.
        from: f64,
        /// Value at the end.
        to: f64,
    },
    /// Equal factors are equally far apart.
    Logarithmic {
        /// Value at the beginning; over 0.
        from: f64,
        /// Value at the end.
        to: f64,
    },
}

/// Ratio of the greatest to the least value from which on an axis of loads is logarithmic.
const WIDE_LOADS: f64 = 8.0;
/// The same for an axis of latencies, where a linear axis from 0 is easier to read.
const WIDE_LATENCIES: f64 = 40.0;

impl Scale {
    /// The axis of loads, with a little room at its ends.
    pub fn of_loads(values: &[f64]) -> Self {
        let (least, greatest) = bounds(values);
        if least > 0.0 && greatest / least >= WIDE_LOADS {
            let room = (greatest / least).powf(0.03);
            return Self::Logarithmic {
                from: least / room,
                to: greatest * room,
            };
        }
        let room = ((greatest - least) * 0.05)
            .max(greatest * 0.02)
            .max(f64::MIN_POSITIVE);
        Self::Linear {
            from: least - room,
            to: greatest + room,
        }
    }

    /// The axis of figures: from 0, or logarithmic where `wide` allows it and the values need it.
    pub fn of_figures(values: &[f64], wide: bool) -> Self {
        let (least, greatest) = bounds(values);
        if wide && least > 0.0 && greatest / least >= WIDE_LATENCIES {
            return Self::Logarithmic {
                from: least / 1.3,
                to: greatest * 1.3,
            };
        }
        Self::Linear {
            from: 0.0,
            to: if greatest > 0.0 { greatest * 1.06 } else { 1.0 },
        }
    }

    /// Place of a value, 0 to 1 within the axis.
    pub fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Logarithmic { from, to } => (value / from).ln() / (to / from).ln(),
        }
    }

    /// Round values along the axis.
    pub fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { from, to } => linear_ticks(from, to),
            Self::Logarithmic { from, to } => logarithmic_ticks(from, to),
        }
    }
}

fn bounds(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if least <= greatest {
        (least, greatest)
    } else {
        (0.0, 1.0)
    }
}

/// Four to six steps of 1, 2 or 5 times a power of ten.
fn linear_ticks(from: f64, to: f64) -> Vec<f64> {
    let rough = (to - from) / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(power * 10.0);
    if !step.is_finite() || step <= 0.0 {
        return vec![from];
    }
    let first = (from / step).ceil();
    (0..12)
        .map(|place| (first + f64::from(place)) * step)
        .take_while(|value| *value <= to)
        .collect()
}

/// 1, 2 and 5 times each power of ten; powers alone where there are many.
fn logarithmic_ticks(from: f64, to: f64) -> Vec<f64> {
    let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
    let factors: &[f64] = if last - first > 4 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    (first..=last)
        .flat_map(|power| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(power))
        })
        .filter(|value| (from..=to).contains(value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        for (scale, expected) in [
            (
                Scale::Linear {
                    from: 0.0,
                    to: 1.06,
                },
                vec![0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0],
            ),
            (
                Scale::Linear {
                    from: 0.0,
                    to: 1960.0,
                },
                vec![0.0, 500.0, 1000.0, 1500.0],
            ),
            (
                Scale::Logarithmic {
                    from: 0.9,
                    to: 36.0,
                },
                vec![1.0, 2.0, 5.0, 10.0, 20.0],
            ),
        ] {
            assert_eq!(scale.ticks(), expected, "{scale:?}");
        }
    }

    #[test]
    fn places_run_from_end_to_end() {
        let loads = Scale::of_loads(&[1.0, 2.0, 4.0, 8.0]);
        assert!(matches!(loads, Scale::Logarithmic { .. }));
        let gap = |a: f64, b: f64| loads.place(b) - loads.place(a);
        assert!((gap(1.0, 2.0) - gap(4.0, 8.0)).abs() < 1e-9);
        assert!(loads.place(1.0) > 0.0 && loads.place(8.0) < 1.0);
        let figures = Scale::of_figures(&[3.0, 5.0], true);
        assert_eq!(figures.place(0.0), 0.0);
        // No values, one value, or nothing but zero draw an axis all the same.
        for values in [&[][..], &[4.0], &[0.0]] {
            assert!(Scale::of_loads(values).place(1.0).is_finite(), "{values:?}");
            assert!(
                !Scale::of_figures(values, true).ticks().is_empty(),
                "{values:?}"
            );
        }
    }
}
