//! The operator dies, is refused, is shown what is over, or stands still, at any moment of a run:
//! what the run leaves is what it leaves undisturbed.
//!
//! After Sieve (Sun et al., OSDI 2022), which disturbs a controller's view and its life in the same
//! ways. API server, scheduler and Job controller are real; what a kubelet would do is played by
//! [`machine`], so that a whole run takes seconds. Each case has a namespace, a run and an operator
//! of its own.
//!
//! A seeded sample runs each time. All cases: `BAKEOFF_E2E_FAULTS=all`; the same sample again:
//! `BAKEOFF_E2E_FAULTS=<seed>`.

// Whoever waits for all cases wants to see them pass.
#![allow(clippy::print_stdout)]

mod case;
mod end;
mod fate;
mod machine;
mod named;
mod operator;
mod played;
mod right;
mod rights;
mod sample;
mod wire;

use anyhow::{Context, Result, ensure};
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};
use futures::future::try_join_all;
use futures::{StreamExt as _, stream};

use self::case::{Outcome, Story};
use self::end::End;
use self::fate::FATES;
use self::machine::Ledger;
use self::played::without_the_installed_operator;
use self::sample::{Counts, Sample};
use self::wire::Disturbance;

/// Cases at once, on two cores that mostly wait.
const AT_ONCE: usize = 8;
/// Runs that a disturbance may take to come to pass.
const TRIES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_the_operator_the_run_ends_the_same() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    without_the_installed_operator(async |ledger| all(&ledger).await).await
}

async fn all(ledger: &Ledger) -> Result<()> {
    let sample = Sample::from_environment()?;
    println!("sample {sample}");
    let stories = [Story::Success, Story::Fails(&FATES[0])];
    try_join_all(stories.map(|story| befall(ledger, story, sample))).await?;
    Ok(())
}

/// One story undisturbed, and then with each disturbance of the sample.
async fn befall(ledger: &Ledger, story: Story, sample: Sample) -> Result<()> {
    let (expected, counts) = undisturbed(ledger, story).await?;
    println!("{story} undisturbed: {counts:?}");
    let cases = sample.of(&counts);
    let mut failed = 0;
    let mut hit = 0;
    let mut ended = stream::iter(cases.iter().copied())
        .map(|disturbance| disturbed(ledger, story, disturbance, &expected))
        .buffer_unordered(AT_ONCE)
        .enumerate();
    // Told as it goes: all cases take long.
    while let Some((number, end)) = ended.next().await {
        match end {
            Ok(struck) => hit += usize::from(struck),
            Err(error) => {
                failed += 1;
                println!("{error:#}");
            }
        }
        let number = number + 1;
        if number.is_multiple_of(50) || number == cases.len() {
            println!(
                "{story}: {number} of {} cases, {hit} of them struck, {failed} ended otherwise",
                cases.len()
            );
        }
    }
    ensure!(
        failed == 0,
        "{failed} cases ended otherwise; to see them again: BAKEOFF_E2E_FAULTS={sample}"
    );
    // Progress is told when it is seen, so one run makes a few writes more than another.
    ensure!(
        hit * 10 >= cases.len() * 9,
        "{hit} of {} struck",
        cases.len()
    );
    Ok(())
}

async fn undisturbed(ledger: &Ledger, story: Story) -> Result<(End, Counts)> {
    let Outcome { end, wire } = in_namespace(ledger, story, Disturbance::None, None).await?;
    // A truth that holds nothing would be met by anything.
    let engines = match story {
        Story::Success => 3,
        Story::Fails(_) => 2,
    };
    ensure!(end.driven.len() == engines, "{:?}", end.driven);
    ensure!(end.outcome.get("turns").is_some(), "{:#}", end.outcome);
    let (reads, events) = wire.reads_and_events();
    let writes = wire.writes().len();
    Ok((
        end,
        Counts {
            writes,
            reads,
            events,
        },
    ))
}

/// Whether the disturbance came to pass. A run that came to its end before takes its turn again, and
/// is disturbed earlier. Fails where the run's end is another for it.
async fn disturbed(
    ledger: &Ledger,
    story: Story,
    mut disturbance: Disturbance,
    expected: &End,
) -> Result<bool> {
    for _ in 0..TRIES {
        let outcome = in_namespace(ledger, story, disturbance, Some(expected)).await?;
        if outcome.wire.is_struck() {
            return Ok(true);
        }
        disturbance = disturbance.earlier();
    }
    Ok(false)
}

async fn in_namespace(
    ledger: &Ledger,
    story: Story,
    disturbance: Disturbance,
    expected: Option<&End>,
) -> Result<Outcome> {
    let mut outcome = None;
    with_namespace(async |namespace: Namespace| {
        outcome = Some(case::run(&namespace, ledger, story, disturbance, expected).await?);
        Ok(())
    })
    .await?;
    outcome.context("a case without an outcome")
}
