//! How fast and how accurate the load path is, against the truth of a server's own log and against
//! a reader that does nothing but count frames.
//!
//! `cargo bench -p bakeoff-runner` runs every load three times, prints a table of medians, and fails
//! where a figure falls short. The server runs on one core and the client, the `bakeoff` program as
//! users run it, on another. Linux only.
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

mod arguments;
mod figures;
mod judge;
mod limit;
mod measure;
mod mock;
mod phase;
mod system;
#[path = "../../src/drive/timer.rs"]
mod timer;
mod tls;

use std::process::ExitCode;

// The load path's timer is taken as it is, and looks for the clock here.
use bakeoff_runner::clock;

use arguments::Arguments;
use judge::Measured;
use measure::{Client, Figures, Place, medians, run};
use phase::{PHASES, Phase};

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(load) = arguments::limit(&words)? {
        println!("{}", serde_json::to_string(&limit::run(&load)?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::read(&words)?;
    bakeoff_runner::drive::vitals::raise_open_files_limit();
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("tokenizer.json"), TOKENIZER)?;
    let (server, client) = system::two_cores()?;
    // Sampling must not disturb the client.
    system::stay_on(server);
    let place = Place {
        server,
        client,
        bakeoff: arguments.client.clone(),
        folder: folder.path().into(),
    };
    let mut measured = Vec::new();
    for phase in PHASES.iter().filter(|phase| arguments.takes(phase)) {
        eprintln!("{}: {}", phase.name, phase.about);
        let (mut bakeoff, mut limit) = (Vec::new(), Vec::new());
        for _ in 0..arguments.repeat {
            // By turns: what else the machine does meets both.
            bakeoff.push(measure(&place, phase, Client::Bakeoff)?);
            if phase.against_limit {
                limit.push(measure(&place, phase, Client::Limit)?);
            }
        }
        measured.push(Measured {
            phase: *phase,
            bakeoff: medians(&bakeoff),
            limit: phase.against_limit.then(|| medians(&limit)),
        });
    }
    print!("{}", judge::table(&measured));
    let short = judge::judge(&measured, arguments.gate);
    if short.is_empty() {
        println!("\nEvery figure is reached.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nFalls short:");
    for short in &short {
        println!("- {short}");
    }
    Ok(ExitCode::FAILURE)
}

fn measure(place: &Place, phase: &Phase, client: Client) -> anyhow::Result<Figures> {
    let figures = run(place, phase, client)?;
    eprintln!("  {client:?} {}", serde_json::to_string(&figures)?);
    Ok(figures)
}

/// A tokenizer that takes each word as a token.
const TOKENIZER: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
  "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
  "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
}"#;
