//! Everything that is the same for all stages of a round, made before the first.

use std::sync::Arc;

use bakeoff_crds::{plan::Stage, run::History, summary::reason};

use super::{
    Client, Lengths, MeasureError, Progress, lengths,
    turns::{self, Answers, Writer},
};
use crate::{
    answer::Expected,
    calibrate::Calibration,
    clock::{self, Nanos},
    drive::{self, DriveError, Script, Share, StageInput, vitals},
    protocol::{Codec, RequestOptions},
    wire::{request::RequestHead, target::Target, tls},
    workload::names,
};

/// Everything that is the same for all stages of a round, made before the first.
pub(super) struct Load {
    pub(super) writer: Writer,
    pub(super) script: Arc<Script>,
    /// The first turns alone, without time to think.
    pub(super) first_turns: Arc<Script>,
    pub(super) lengths: Lengths,
    /// Right answers, by prompt; empty where none is known.
    pub(super) expected: Arc<[Option<Expected>]>,
    /// When each prompt came, where they are of a trace.
    pub(super) trace: Arc<[Nanos]>,
    /// What the client adds itself, where the run wants to know.
    pub(super) calibration: Option<Calibration>,
}

impl Load {
    pub(super) fn prepare(client: &Client<'_>) -> Result<Self, MeasureError> {
        vitals::raise_open_files_limit();
        let unreachable = |error: String| MeasureError::new(reason::ENGINE_UNREACHABLE, error);
        let target = Target::resolve(&request_url(client))
            .map_err(|error| unreachable(error.to_string()).that_may_pass())?;
        let workload = &client.plan.spec.workload;
        let codec = Codec::new(
            &client.engine.endpoint,
            RequestOptions {
                sampling: workload.sampling.clone(),
                streaming: workload.streaming,
                prompts_per_request: workload.prompts_per_request,
                names: client
                    .engine
                    .models
                    .iter()
                    .map(|model| model.adapter.clone())
                    .collect(),
            },
        );
        let head = RequestHead {
            grpc: codec.is_grpc(),
            path: client.engine.endpoint.path.clone(),
            accept: codec.accept().into(),
            content_type: Some(codec.content_type().into()),
            bearer: client.api_key.clone(),
            headers: [codec.headers(), &client.headers].concat(),
        };
        head.check()
            .map_err(|error| unreachable(error.to_string()))?;
        let conversations = workload.prompts.conversations.as_ref();
        let history = conversations.map(|conversations| conversations.history);
        let writer = Writer {
            codec: Arc::new(codec),
            head,
            target,
        };
        let turns = turns::of(client.prompts, &writer, history)?;
        let models = client.engine.models.iter();
        let weights: Vec<u32> = models.map(|model| model.weight).collect();
        let names = names::sequence(&weights, workload.seed);
        let first_turns = turns.iter().filter_map(|turns| turns.first().cloned());
        let first_turns = first_turns.map(|turn| vec![turn]);
        let first_turns = Arc::new(Script::new(first_turns, names.clone()));
        let mut script = Script::new(turns, names);
        if history == Some(History::Answers) {
            script = script.composed_by(Arc::new(Answers {
                writer: writer.clone(),
                prompts: client.prompts.to_vec(),
            }));
        }
        let together = writer.codec.prompts_per_request();
        Ok(Self {
            script: Arc::new(script),
            first_turns,
            lengths: lengths(client.plan, client.prompts),
            expected: turns::expected(client.prompts, together),
            trace: client
                .prompts
                .iter()
                .map_while(|prompt| prompt.arrival_nanos)
                .collect(),
            writer,
            calibration: None,
        })
    }

    /// A stage over these requests; the caller says which comes first and when it ends.
    pub(super) fn stage(&self, client: &Client<'_>, stage: &Stage) -> StageInput {
        let spec = &client.plan.spec;
        StageInput {
            target: self.writer.target.clone(),
            tls: self.writer.target.tls_name.is_some().then(|| {
                if self.writer.codec.is_grpc() {
                    tls::for_http2(&client.tls)
                } else {
                    Arc::clone(&client.tls)
                }
            }),
            codec: Arc::clone(&self.writer.codec),
            script: Arc::clone(&self.script),
            first_request: 0,
            load: stage.load.clone(),
            end: stage.end,
            seed: spec.workload.seed,
            trace: Arc::clone(&self.trace),
            request_timeout: clock::span(spec.workload.request_timeout.get()),
            deadline: Some(clock::span(spec.policy.timeouts.stage.get())),
            threads: client.threads,
            share: Share::WHOLE,
            gate: None,
            keep_text: false,
        }
    }
}

/// Root of the server that takes the requests: on another port than everything else where the engine
/// has one for them. An address of the user's own choice is left as it is.
fn request_url(client: &Client<'_>) -> String {
    let endpoint = &client.engine.endpoint;
    let url = reqwest::Url::parse(client.url).ok();
    let own = url.filter(|url| url.port_or_known_default() == Some(endpoint.port));
    let Some((port, mut url)) = endpoint.request_port.zip(own) else {
        return client.url.to_owned();
    };
    // Fails only for addresses without a host, which is told when it is looked up.
    let _ = url.set_port(Some(port));
    url.into()
}

/// Drives a stage on threads of its own.
pub(super) async fn run(
    input: StageInput,
    progress: &Arc<Progress>,
) -> Result<drive::Driven, DriveError> {
    let progress = Arc::clone(progress);
    progress.control().reset_counts();
    tokio::task::spawn_blocking(move || drive::drive(&input, progress.control()))
        .await
        .map_err(|_| DriveError::Panicked)?
}
