//! Energy of a stage, and whether its GPUs were slowed down. Pure.

use bakeoff_crds::{
    report::{Energy, EnergySource, MetricValue, StageReport, VerdictReason},
    run::status::VerdictStatus::Suspect,
};

/// Share of the window for which a GPU may be slowed down by heat or by its board.
const SLOWED: f64 = 0.01;

/// What the GPUs took: by their counters, else by their mean power.
pub fn energy(stage: &StageReport) -> Option<Energy> {
    let counted = figure(stage, "gpuEnergyJoules", |value| value.increase);
    let power = || figure(stage, "gpuPowerWatts", |value| value.mean);
    let (source, joules) = match counted.filter(|joules| *joules > 0.0) {
        Some(joules) => (EnergySource::Counter, joules),
        None => (
            EnergySource::MeanPower,
            power()? * stage.window.duration_seconds,
        ),
    };
    let tokens = stage.output_tokens.as_ref().map(|tokens| tokens.sum as f64);
    Some(Energy {
        source,
        joules,
        joules_per_output_token: tokens.filter(|sum| *sum > 0.0).map(|sum| joules / sum),
    })
}

/// A GPU that runs slower than the others would, for reasons of its room and its board. Its power limit
/// is none of them: under load it is usual.
pub fn slowed(stage: &StageReport) -> Option<VerdictReason> {
    let share = |name| figure(stage, name, |value| value.mean).unwrap_or(0.0);
    let (heat, board) = (
        share("gpuThermalSlowdownShare"),
        share("gpuHardwareSlowdownShare"),
    );
    (heat.max(board) > SLOWED).then(|| VerdictReason {
        reason: "GpuThrottled".into(),
        message: format!(
            "a GPU was slowed down for {:.1} % of the stage by its temperature, for {:.1} % by its \
             board or power supply; see to its cooling, or use another node",
            heat * 1e2,
            board * 1e2
        ),
        status: Suspect,
    })
}

fn figure(stage: &StageReport, name: &str, of: fn(&MetricValue) -> Option<f64>) -> Option<f64> {
    of(stage.resources.get(name)?.prometheus.as_ref()?)
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::report::{EngineMetric, TokenDistribution, Window};

    use super::*;

    fn stage(resources: &[(&str, MetricValue)]) -> StageReport {
        let resources = resources.iter().map(|(name, value)| {
            let metric = EngineMetric {
                prometheus: Some(value.clone()),
                ..EngineMetric::default()
            };
            ((*name).to_owned(), metric)
        });
        StageReport {
            window: Window {
                duration_seconds: 20.0,
                ..Window::default()
            },
            output_tokens: Some(TokenDistribution {
                sum: 500,
                ..TokenDistribution::default()
            }),
            resources: resources.collect(),
            ..StageReport::default()
        }
    }

    fn mean(mean: f64) -> MetricValue {
        MetricValue {
            mean: Some(mean),
            ..MetricValue::default()
        }
    }

    #[test]
    fn counters_come_before_power() {
        let counted = MetricValue {
            increase: Some(1000.0),
            ..MetricValue::default()
        };
        let both = [("gpuPowerWatts", mean(60.0)), ("gpuEnergyJoules", counted)];
        let energy_of = |resources: &[_]| energy(&stage(resources));
        let found = energy_of(&both).unwrap();
        assert_eq!(
            (found.source, found.joules),
            (EnergySource::Counter, 1000.0)
        );
        assert_eq!(found.joules_per_output_token, Some(2.0));
        let found = energy_of(&both[..1]).unwrap();
        assert_eq!(
            (found.source, found.joules),
            (EnergySource::MeanPower, 1200.0)
        );
        assert_eq!(energy_of(&[]), None);
    }

    #[test]
    fn heat_and_the_board_make_a_stage_suspect_and_the_power_limit_does_not() {
        for (name, share, suspect) in [
            ("gpuThermalSlowdownShare", 0.02, true),
            ("gpuHardwareSlowdownShare", 0.02, true),
            ("gpuThermalSlowdownShare", 0.01, false),
            ("gpuPowerCappedShare", 1.0, false),
        ] {
            let found = slowed(&stage(&[(name, mean(share))]));
            assert_eq!(found.is_some(), suspect, "{name} {share}");
        }
    }
}
