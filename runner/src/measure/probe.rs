//! The parity probe: what an engine makes of a few of the run's own prompts before it is loaded. The
//! reporter holds the engines' answers against each other and against the model's tokenizer.

use std::sync::Arc;

use bakeoff_crds::{
    plan::{Stage, StageEnd},
    report::{Probe, ProbeAnswer, ProbeBegin, ProbeQuestion},
    run::{Protocol, Sampling},
    summary::reason,
};

use super::{
    Client, EngineRound, MeasureError, check,
    load::{Load, run},
    round_folder,
    stage::read_answers,
    turns::Writer,
    warm::closed_loop_of_one,
};
use crate::{
    clock,
    drive::{Driven, Script},
    prompt::Prompt,
    protocol::{Codec, RequestOptions},
    record::{Outcome, Record},
};

/// Prompts that are asked, at the most.
const PROMPTS: usize = 2;
/// How often each is asked.
const TIMES: usize = 2;
/// Most tokens of an answer: enough to tell two answers apart, and soon over.
const TOKENS: u32 = 16;

/// Beginning of the names of probes in a round's folder.
pub const PROBE: &str = "probe-";

/// Asks the engine and stores what it answers. `first` are the records of the very first requests.
/// An engine that fails at it is loaded all the same: the report says what is not known of it.
pub(super) async fn probe(
    round: &EngineRound<'_>,
    load: &Load,
    first: &Driven,
    model_revision: Option<String>,
) -> Result<(), MeasureError> {
    let client = &round.client;
    client.progress.stage(0, "probe");
    let mut probe = Probe {
        round: round.round,
        restart: round.restart,
        model_revision,
        ..Probe::default()
    };
    if let Some((sent, token)) = first.records.first().and_then(first_token) {
        probe.first_token_seconds = Some(clock::seconds(token.saturating_sub(sent)));
        probe.first_token_time = Some(clock::wall(token).to_string());
    }
    if first.records.iter().all(Record::succeeded) {
        (probe.questions, probe.begin) = ask(client, load).await?;
    }
    let json = serde_json::to_vec_pretty(&probe)
        .map_err(|error| MeasureError::new(reason::UPLOAD_FAILED, error.to_string()))?;
    let path = free_path(round).await?;
    round.store.put_new(&path, json).await?;
    Ok(())
}

fn first_token(record: &Record) -> Option<(clock::Nanos, clock::Nanos)> {
    record.sent.zip(record.first_content)
}

/// Nothing is ever overwritten, and a runner that comes back asks again.
async fn free_path(round: &EngineRound<'_>) -> Result<String, MeasureError> {
    let folder = round_folder(&round.client.engine.name, round.round);
    let entries = round.store.list(&folder).await?;
    let begin = format!("{folder}/{PROBE}");
    let there = entries.iter().filter(|it| it.path.starts_with(&begin));
    Ok(format!("{begin}{:03}.json", there.count() + 1))
}

/// The last prompts, as with the warm-up: so that no prompt is in the engine's cache when it is first
/// measured, where there are enough. Later turns of a conversation are no questions of their own.
fn chosen(prompts: &[Prompt]) -> Vec<&Prompt> {
    let begins = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| prompts.get(before));
        let conversation = |prompt: &Prompt| prompt.conversation;
        let own = prompts.get(*at).and_then(conversation);
        own.is_none() || own != before.and_then(conversation)
    };
    (0..prompts.len())
        .rev()
        .filter(begins)
        .filter_map(|at| prompts.get(at))
        .take(PROMPTS)
        .collect()
}

/// The token of the beginning, for prompts that are sent one by one and as they are.
fn begin_token(client: &Client<'_>) -> Option<String> {
    let is_chat = client.engine.endpoint.protocol == Protocol::OpenAiChat;
    let one_by_one = client.plan.spec.workload.prompts_per_request == 1;
    let tokenizer = client.tokenizer.as_ref();
    tokenizer.filter(|_| !is_chat && one_by_one)?.begin()
}

async fn ask(
    client: &Client<'_>,
    load: &Load,
) -> Result<(Vec<ProbeQuestion>, Option<ProbeBegin>), MeasureError> {
    let workload = &client.plan.spec.workload;
    let codec = Codec::new(
        &client.engine.endpoint,
        RequestOptions {
            sampling: Sampling {
                seed: workload.sampling.seed,
                ignore_eos: workload.sampling.ignore_eos,
                ..Sampling::default()
            },
            streaming: workload.streaming,
            prompts_per_request: workload.prompts_per_request,
            names: load.writer.codec.options().names.clone(),
        },
    );
    let writer = Writer {
        codec: Arc::new(codec),
        ..load.writer.clone()
    };
    let together = writer.codec.prompts_per_request();
    let asked: Vec<Prompt> = chosen(client.prompts)
        .into_iter()
        .map(|prompt| Prompt {
            max_tokens: prompt.max_tokens.min(TOKENS),
            ..prompt.clone()
        })
        .collect();
    // One after the other, and then again: an answer from the cache would else follow at once.
    let begin = begin_token(client);
    let begun = begin
        .as_ref()
        .zip(asked.first())
        .map(|(token, prompt)| Prompt {
            text: format!("{token}{}", prompt.text),
            max_tokens: 1,
            ..prompt.clone()
        });
    let questions = TIMES * asked.len();
    let requests = (0..TIMES)
        .flat_map(|_| &asked)
        .chain(&begun)
        .map(|prompt| writer.request(&vec![prompt; together], 0))
        .collect::<Result<Vec<_>, _>>()?;
    let stage = Stage {
        name: "probe".into(),
        load: closed_loop_of_one(),
        end: StageEnd::Requests((questions + begun.iter().len()) as u64),
    };
    let mut input = load.stage(client, &stage);
    input.script = Arc::new(Script::of_requests(requests));
    input.codec = Arc::clone(&writer.codec);
    input.request_timeout = input.request_timeout.min(check::TRY_TIMEOUT);
    input.deadline = Some(check::TRY_TIMEOUT);
    input.keep_text = true;
    let driven = run(input, &client.progress).await?;
    let driven = read_answers(driven, client.tokenizer.clone(), Arc::from([])).await?;
    let of_all = |tokens: u32| tokens.saturating_mul(u32::try_from(together).unwrap_or(u32::MAX));
    let at = |record: &Record| record.index as usize;
    let begin = begin.filter(|_| begun.is_some()).map(|token| {
        let record = driven.records.iter().find(|it| at(it) == questions);
        ProbeBegin {
            token,
            input_tokens: record.and_then(|it| it.input_tokens.filter(|_| it.succeeded())),
        }
    });
    let asked = asked
        .iter()
        .enumerate()
        .map(|(place, prompt)| ProbeQuestion {
            prompt: prompt.index,
            tokens: prompt.input_tokens.map(of_all),
            bare_tokens: client
                .tokenizer
                .as_ref()
                .filter(|_| prompt.input_tokens.is_some())
                .map(|tokenizer| of_all(tokenizer.answer(&prompt.text))),
            asked_tokens: of_all(prompt.max_tokens),
            forced: workload.sampling.ignore_eos,
            answers: driven
                .records
                .iter()
                .filter(|record| at(record) < questions && at(record) % asked.len() == place)
                .map(answer)
                .collect(),
        })
        .collect();
    Ok((asked, begin))
}

fn answer(record: &Record) -> ProbeAnswer {
    ProbeAnswer {
        input_tokens: record.input_tokens,
        output_tokens: record.answer_tokens(),
        finish: record.finish.map(str::to_owned),
        digest: record.answer.map(|facts| facts.digest.to_string()),
        failure: match &record.outcome {
            Outcome::Succeeded => None,
            Outcome::Failed(kind, message) => Some(format!("{}: {message}", kind.name())),
        },
    }
}
