//! What a report is made of, read back from a bucket and mutated at random: every file is either
//! refused by a reader, or every page and picture can be made of it; nothing panics or hangs.

use bakeoff_crds::{
    outcome::Outcome,
    plan::Plan,
    report::{Report, SCHEMA_VERSION, StageReport},
    run::Format,
    summary::PreflightSummary,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Measured, assemble, fixture, join, log, table, write::render};
use crate::{
    store::held,
    testing::fuzz::{self, Random},
};

/// The value with up to three changes, where it can still be read.
fn mutant<T: Serialize + DeserializeOwned>(value: &T, random: &mut Random) -> Option<T> {
    let mut json = serde_json::to_value(value).unwrap();
    for _ in 0..1 + random.below(3) {
        random.mutate_json(&mut json);
    }
    serde_json::from_value(json).ok()
}

/// Everything that is made of a report.
fn show(report: &Report, random: &mut Random) {
    let mut formats = vec![Format::Csv, Format::Html];
    // A picture takes longer than all else.
    if random.below(40) == 0 {
        formats.push(Format::Chart);
    } else {
        let _ = super::chart::comparison(report);
    }
    for file in render(report, &formats).unwrap() {
        assert!(
            file.bytes.len() < 4 << 20,
            "{}: {}",
            file.name,
            file.bytes.len()
        );
    }
    let _ = table::comparison(report);
    let both = [report.clone(), fixture::report()];
    let groups = join::groups(&both);
    let _ = join::table(&join::overview(&both, &groups));
    for group in &groups {
        let _ = table::comparison(&group.report);
    }
    for engine in &report.engines {
        for stage in &engine.stages {
            let _ = table::stage(stage);
        }
    }
    // It can be read back, from the file and from a log.
    let json = serde_json::to_vec(report).unwrap();
    let back: Report = serde_json::from_slice(&json).unwrap_or_else(|error| {
        let at = error.column().saturating_sub(400);
        let end = error.column().min(json.len());
        panic!("{error}: {}", String::from_utf8_lossy(&json[at..end]))
    });
    assert_eq!(
        serde_json::to_value(&back).unwrap(),
        serde_json::to_value(report).unwrap()
    );
    if report.schema_version == SCHEMA_VERSION {
        log::read(&log::write(report).unwrap()).unwrap();
    }
}

#[test]
fn any_report_that_can_be_read_can_be_shown() {
    let reports = [fixture::report(), fixture::rates()];
    let mut shown = 0;
    let cases = fuzz::cases(60, |random| {
        if let Some(report) = mutant(random.pick(&reports), random) {
            show(&report, random);
            shown += 1;
        }
    });
    eprintln!("{shown} of {cases} could be read");
    assert!(shown > 0);
}

#[test]
fn a_report_can_be_made_of_whatever_stages_can_be_read() {
    let mut made = 0;
    let cases = fuzz::cases(60, |random| {
        let mut facts = fixture::facts();
        let mut plan = fixture::plan();
        let mut stages = fixture::measured();
        match random.below(6) {
            0 => {
                let Some(outcome) = mutant::<Outcome>(&facts.outcome, random) else {
                    return;
                };
                facts.outcome = outcome;
            }
            1 => {
                let Some(preflight) = mutant::<PreflightSummary>(&facts.preflight, random) else {
                    return;
                };
                facts.preflight = preflight;
            }
            2 => {
                let Some(other) = mutant::<Plan>(&plan, random) else {
                    return;
                };
                plan = other;
            }
            _ => {
                for _ in 0..1 + random.below(4) {
                    let at = random.below(stages.len());
                    let Some(stage) = mutant::<StageReport>(&stages[at].stage, random) else {
                        return;
                    };
                    let engine = stages[at].engine.clone();
                    stages[at] = Measured { engine, stage };
                }
            }
        }
        made += 1;
        show(&assemble(&plan, &facts, stages), random);
    });
    eprintln!("{made} of {cases} could be read");
    assert!(made > 0);
}

#[test]
fn a_reporters_log_is_read_or_refused() {
    let whole = log::write(&fixture::report()).unwrap();
    let words: &[&[u8]] = &[
        b"\n",
        b"{",
        b"}",
        b"-----BEGIN BAKEOFF REPORT-----\n",
        b"-----END BAKEOFF REPORT-----\n",
        b"\xFF",
        b"\\u0000",
        b"1e999",
    ];
    fuzz::cases(200, |random| {
        let mut bytes = whole.as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            random.mutate(&mut bytes, &[whole.as_bytes()], words);
        }
        if let Err(error) = log::read(&String::from_utf8_lossy(&bytes)) {
            assert!(error.to_string().len() < 6000, "{error}");
        }
    });
}

#[test]
fn a_log_with_held_files_is_read_or_refused() {
    let one = held::write("team/run-1/engines/a/stage.json", b"{\"name\": \"a\"}");
    let whole = format!(
        "{one}INFO between\n{}",
        held::write("team/run-1/x", &[0; 3000])
    );
    let words: &[&[u8]] = &[
        b"\n",
        b"|",
        b" ",
        b"-----",
        b"-----BEGIN BAKEOFF FILE ",
        b"-----END BAKEOFF FILE ",
        b"../",
        b"\xFF",
        b"=",
    ];
    fuzz::cases(500, |random| {
        let mut bytes = whole.as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            random.mutate(&mut bytes, &[whole.as_bytes()], words);
        }
        match held::read(&String::from_utf8_lossy(&bytes)) {
            // What is read is what was written, wherever it is said to belong.
            Ok(files) => assert!(
                files
                    .iter()
                    .all(|file| [13, 3000].contains(&file.bytes.len()))
            ),
            Err(error) => assert!(error.to_string().len() < 20_000, "{error}"),
        }
    });
}
