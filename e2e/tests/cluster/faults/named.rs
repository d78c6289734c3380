//! Every failure of an engine or of its runner has a name of its own and a message to act on; it costs
//! that engine its turn, frees what it held, and is told in status and report with secrets masked.

use anyhow::{Context, Result, ensure};
use bakeoff_e2e::harness::has_cluster;
use futures::{StreamExt as _, stream};

use super::case::{Outcome, Story};
use super::end::End;
use super::fate::{FATES, Fate, TOKEN};
use super::machine::Ledger;
use super::played::without_the_installed_operator;
use super::wire::Disturbance;
use super::{AT_ONCE, in_namespace};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_has_its_name() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    without_the_installed_operator(async |ledger| {
        let mut wrong: Vec<String> = Vec::new();
        let mut ended = stream::iter(&FATES)
            .map(|fate| named(&ledger, fate))
            .buffer_unordered(AT_ONCE);
        while let Some(result) = ended.next().await {
            wrong.extend(result.err().map(|error| format!("{error:#}")));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    })
    .await
}

async fn named(ledger: &Ledger, fate: &'static Fate) -> Result<()> {
    let story = Story::Fails(fate);
    let Outcome { end, .. } = in_namespace(ledger, story, Disturbance::None, None).await?;
    check(fate, &end).with_context(|| fate.engine)?;
    // Once, unless what befell the engine takes the round to another node.
    let loads = |turn: &str| end.driven.iter().filter(|driven| *driven == turn).count();
    let others = [loads("alpha, round 1"), loads("gamma, round 1")];
    let is_as_expected = others == [1, 1] || (fate.loses_place && others[0] >= 1 && others[1] == 1);
    ensure!(is_as_expected, "{}: {:?}", fate.engine, end.driven);
    Ok(())
}

fn check(fate: &Fate, end: &End) -> Result<()> {
    let engines = &end.status["engines"];
    let phase = |engine: usize| engines[engine]["phase"].as_str().unwrap_or_default();
    let phases = [0, 1, 2].map(phase);
    let expected = ["Succeeded", "Failed", "Succeeded"];
    ensure!(phases == expected, "{engines:#}");
    ensure!(engines[1]["reason"] == fate.reason, "{engines:#}");
    let message = engines[1]["message"].as_str().unwrap_or_default();
    for words in fate.words {
        ensure!(
            message.contains(words),
            "{message:?} does not say {words:?}"
        );
    }
    let outcome = end.outcome.to_string();
    ensure!(
        outcome.contains(fate.reason),
        "the report's outcome: {outcome}"
    );
    ensure!(
        !outcome.contains(TOKEN) && !message.contains(TOKEN),
        "a token is told"
    );
    Ok(())
}
