//! What the figures must reach, and the table of them.

use std::fmt::Write;

use crate::{
    measure::{Client, Figures},
    phase::Phase,
};

/// Medians of a phase.
pub struct Measured {
    pub phase: Phase,
    pub bakeoff: Figures,
    /// Absent where it was not measured.
    pub limit: Option<Figures>,
}

/// Something that falls short.
pub type Short = String;

/// What falls short; ratios within one run alone where `ratios_only`.
pub fn judge(measured: &[Measured], ratios_only: bool) -> Vec<Short> {
    let mut short = Vec::new();
    for Measured {
        phase,
        bakeoff,
        limit,
    } in measured
    {
        let mut most = |what: &str, value: Option<f64>, most: f64| {
            if value.is_none_or(|value| value > most) {
                let value = number(value, 3);
                short.push(format!("{}: {what} {value}, at most {most}", phase.name));
            }
        };
        let ratio = |of: fn(&Figures) -> Option<f64>| Some(of(bakeoff)? / of(limit.as_ref()?)?);
        most("requests that did not succeed", bakeoff.refused, 0.0);
        match phase.name {
            "eff" | "acc512" => {
                let ratio = ratio(|figures| figures.cpu_micros);
                most("CPU per token over the limit's", ratio, 1.4);
            }
            "eff16" => {
                let ratio = ratio(|figures| figures.tokens_per_second.map(|rate| 1.0 / rate));
                most("the limit's tokens/s over Bakeoff's", ratio, 2.0);
            }
            _ => {}
        }
        if ratios_only {
            continue;
        }
        if phase.is_for_accuracy() {
            let (mean, p99) = if phase.tls { (1.0, 3.0) } else { (0.3, 1.0) };
            let error = |error: Option<f64>| error.map(f64::abs);
            most("TTFT mean error, ms", error(bakeoff.first_mean_error), mean);
            most("TTFT p99 error, ms", error(bakeoff.first_p99_error), p99);
            let gaps = bakeoff.gap_p99_said.zip(bakeoff.gap_p99_true);
            let off = gaps.map(|(said, truth)| (said / truth - 1.0).abs());
            most("ITL p99 said over true, off by", off, 0.15);
        }
        match phase.name {
            "acc512" | "chat512" => {
                let kept = bakeoff.tokens_per_second.map(|rate| -rate);
                most("tokens/s kept (negative)", kept, -49_000.0);
            }
            "open200" => {
                most("distance to a Poisson process", bakeoff.distance, 0.025);
                most("schedule delay p99, ms", bakeoff.delay_p99, 1.0);
            }
            "open5000" => most("schedule delay p99, ms", bakeoff.delay_p99, 2.0),
            _ => {}
        }
        let memory = if phase.name.ends_with("10k") {
            400.0
        } else {
            48.0
        };
        most("peak memory, MiB", bakeoff.memory, memory);
    }
    short
}

/// The figures as a table in Markdown.
pub fn table(measured: &[Measured]) -> String {
    let mut table = String::from(
        "| load | client | tokens/s | CPU µs/token | TTFT error mean / p99, ms | time per token off by | ITL p99 said / true, ms | schedule delay p99, ms | distance to Poisson (5 % limit) | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for phase in measured {
        row(&mut table, phase.phase, Client::Bakeoff, &phase.bakeoff);
        if let Some(limit) = &phase.limit {
            row(&mut table, phase.phase, Client::Limit, limit);
        }
    }
    table
}

fn row(table: &mut String, phase: Phase, client: Client, figures: &Figures) {
    let client = match client {
        Client::Bakeoff => "Bakeoff",
        Client::Limit => "limit",
    };
    let off = figures.per_token_error.map(|error| error * 100.0);
    // Writing to a string does not fail.
    let _ = writeln!(
        table,
        "| {} | {client} | {} | {} | {} / {} | {} % | {} / {} | {} | {} ({}) | {} |",
        phase.name,
        number(figures.tokens_per_second, 0),
        number(figures.cpu_micros, 2),
        number(figures.first_mean_error, 2),
        number(figures.first_p99_error, 2),
        number(off, 2),
        number(figures.gap_p99_said, 1),
        number(figures.gap_p99_true, 1),
        number(figures.delay_p99, 2),
        number(figures.distance, 3),
        number(figures.distance_limit, 3),
        number(figures.memory, 0),
    );
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".into(), |value| format!("{value:.digits$}"))
}
