//! A request for text: refused, answered, or spoilt by the fault.

use std::sync::{Arc, atomic::Ordering};

use bakeoff_crds::run::Fault;
use http_body_util::{BodyExt as _, Either, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderValue, RETRY_AFTER},
};

use super::{
    Refused, Simulator,
    response::{AnswerBody, json, refusal_of, streamed},
};
use crate::simulate::{
    body::{Part, StreamBody, Trace},
    call,
    frames::{Answer, Interface},
    log::{self, Outcome, Record},
    refusal::Refusal,
    request::Generation,
    text,
};

/// Largest request body.
const MAX_BODY_BYTES: usize = 64 << 20;

impl Simulator {
    pub(super) async fn generate(
        &self,
        request: Request<Incoming>,
        received_at: u64,
        interface: Interface,
        streams: Option<bool>,
    ) -> Result<Response<AnswerBody>, Refused> {
        let engine = self.config.engine;
        let mut trace = self.trace(request.uri().path(), received_at);
        let is_call = interface == Interface::Grpc;
        let refused = refusal_of(is_call);
        let mut refuse = |refusal| {
            trace.end(Outcome::Rejected);
            self.metrics.failure();
            Ok(refused(refusal))
        };
        if self.config.fault == Fault::RateLimit && self.limited() {
            let mut response = refuse(Refusal::overloaded(engine))?;
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("7"));
            return Ok(response);
        }
        let place = match self
            .places
            .as_ref()
            .map(|it| Arc::clone(it).try_acquire_owned())
        {
            Some(Err(_)) => return refuse(Refusal::overloaded(engine)),
            Some(Ok(place)) => Some(place),
            None => None,
        };
        let body = match Limited::new(request.into_body(), MAX_BODY_BYTES)
            .collect()
            .await
        {
            Ok(body) => body.to_bytes(),
            Err(error) => return refuse(Refusal::invalid(engine, &error.to_string())),
        };
        if self.config.fault == Fault::ServerError {
            return refuse(Refusal::server_error(engine));
        }
        let generation = match Generation::read(&self.config, interface, streams, &body) {
            Ok(generation) => generation,
            Err(refusal) => return refuse(refusal),
        };
        let answers = self.plan(interface, &generation, &trace.id());
        trace.model(generation.model.clone());
        trace.input_tokens(answers.iter().map(|answer| answer.input_tokens).sum());
        let mut parts: Vec<Part> = answers
            .into_iter()
            .map(|answer| Part {
                tokens: self.scheduler.submit(
                    answer.input_tokens,
                    answer.output_tokens,
                    answer.at_limit,
                ),
                answer,
            })
            .collect();
        if generation.stream {
            let body = StreamBody::new(parts, trace, self.config.fault, place);
            return Ok(if is_call {
                call::accepted(Either::Right(body))
            } else {
                streamed(engine, body)
            });
        }
        match self.config.fault {
            Fault::ErrorEvent => {
                trace.end(Outcome::ErrorEvent);
                return Ok(refused(Refusal::server_error(engine)));
            }
            Fault::CutStream => {
                trace.end(Outcome::Cut);
                return Err(Refused);
            }
            Fault::Stall => return std::future::pending().await,
            _ => {}
        }
        for part in &mut parts {
            while let Some(index) = part.tokens.recv().await {
                if index + 1 == part.answer.output_tokens {
                    break;
                }
            }
        }
        let answers: Vec<Answer> = parts.into_iter().map(|part| part.answer).collect();
        trace.frame(answers.iter().map(|answer| answer.output_tokens).sum());
        if let Some(answer) = answers.first().filter(|_| is_call) {
            let body = StreamBody::whole_call(answer.whole_call(), trace);
            return Ok(call::accepted(Either::Right(body)));
        }
        trace.end(Outcome::Completed);
        let whole = match answers.as_slice() {
            [answer] => answer.whole(),
            several => Answer::whole_of_several(several),
        };
        Ok(json(StatusCode::OK, whole))
    }

    /// Whether the request that was just counted is one that [`Fault::RateLimit`] refuses.
    fn limited(&self) -> bool {
        self.answers.load(Ordering::Relaxed).is_multiple_of(2)
    }

    fn trace(&self, path: &str, received_at: u64) -> Trace {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let record = Record {
            id: format!(
                "{:016x}",
                text::hash(&number.to_le_bytes(), self.config.seed)
            ),
            path: path.to_owned(),
            model: None,
            received_at,
            input_tokens: 0,
            output_tokens: 0,
            first_token_at: None,
            last_token_at: None,
            frames: Vec::new(),
            outcome: Outcome::Cancelled,
        };
        Trace::new(self.log.clone(), record)
    }

    /// The answers to a request, one for each prompt.
    fn plan(&self, interface: Interface, generation: &Generation, id: &str) -> Vec<Answer> {
        let prompts = std::iter::once(&generation.prompt).chain(&generation.further_prompts);
        let mut answers: Vec<Answer> = prompts
            .zip(0..)
            .map(|(prompt, choice)| Answer {
                choice,
                ..self.answer_to(prompt, interface, generation, id)
            })
            .collect();
        if self.config.prefix_caching {
            let prompts = std::iter::once(&generation.prompt).chain(&generation.further_prompts);
            let model = generation.model.as_deref().unwrap_or_default();
            for (prompt, answer) in prompts.zip(&answers) {
                let tokens = answer.input_tokens;
                let hits = self.prefixes.look_up(model, prompt, tokens);
                self.metrics.look_up(tokens, hits);
            }
        }
        let input = answers.iter().map(|answer| answer.input_tokens).sum();
        let output = answers.iter().map(|answer| answer.output_tokens).sum();
        for answer in &mut answers {
            answer.of_request = (input, output);
        }
        answers
    }

    fn answer_to(
        &self,
        prompt: &str,
        interface: Interface,
        generation: &Generation,
        id: &str,
    ) -> Answer {
        let engine = self.config.engine;
        let hash = text::hash(prompt.as_bytes(), self.config.seed);
        let ignore_eos = generation.ignore_eos && engine.ignores_eos();
        let output_tokens = text::output_tokens(hash, generation.max_tokens, ignore_eos)
            .max(generation.min_tokens)
            .min(generation.max_tokens);
        let adapter = generation
            .model
            .as_ref()
            .filter(|asked| engine.serves_adapters() && self.config.adapters.contains(asked));
        let model = engine
            .triton_model()
            .or(adapter.map(String::as_str))
            .unwrap_or_else(|| self.config.shown_model());
        Answer {
            engine,
            interface,
            id: id.to_owned(),
            created: log::now() / 1_000_000_000,
            model: serde_json::Value::from(model).to_string(),
            prompt: prompt.to_owned(),
            hash,
            input_tokens: text::input_tokens(prompt).saturating_add(generation.template_tokens),
            output_tokens,
            at_limit: output_tokens == generation.max_tokens,
            include_usage: generation.include_usage,
            continuous_usage: generation.continuous_usage,
            outputs: generation.outputs,
            choice: 0,
            of_request: (0, 0),
        }
    }
}
