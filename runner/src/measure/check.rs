//! Questions to an engine before it is loaded: does it answer, which model does it serve, which
//! version is it.

use std::time::Duration;

use bakeoff_crds::{
    plan::{HttpCall, HttpMethod, PlannedEngine, PlannedModelCheck, RequestedModel},
    summary::reason,
};
use serde_json::Value;

use super::{MeasureError, Progress};
use crate::{
    clock::{Nanos, SECOND},
    record::{FailureKind, Outcome, Record},
    store::{
        backend::install_crypto_provider,
        fetch::{body_of, causes},
    },
    wire::tls,
};

/// Longest wait for the first tiny answer: engines compile and capture graphs before it.
pub(super) const TRY_TIMEOUT: Nanos = 300 * SECOND;
/// Pause between two tries to reach an engine.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer: lists of models are far shorter, and what is longer is no such list.
const LONGEST_ANSWER: u64 = 4 << 20;

/// An engine that can be asked.
pub struct Engine<'a> {
    /// Root of its server.
    url: &'a str,
    /// Key of a paid endpoint.
    api_key: Option<&'a str>,
    /// How long it may take until it answers at all.
    patience: Duration,
    /// From where the wait is told to stop.
    progress: &'a Progress,
    client: reqwest::Client,
}

impl<'a> Engine<'a> {
    /// An engine that is asked nothing yet.
    ///
    /// # Errors
    /// Where this machine's certificates cannot be read: waiting would not help.
    pub fn new(
        url: &'a str,
        api_key: Option<&'a str>,
        patience: Duration,
        progress: &'a Progress,
    ) -> Result<Self, MeasureError> {
        let client = client().map_err(|cause| {
            let message = format!("{url} cannot be asked: {cause}");
            MeasureError::new(reason::ENGINE_UNREACHABLE, message)
        })?;
        Ok(Self {
            url,
            api_key,
            patience,
            progress,
            client,
        })
    }

    /// Checks that the engine serves the model of the plan.
    ///
    /// # Errors
    /// `WrongModelServed`, or `EngineUnreachable` where it does not answer within its time.
    pub async fn check_model(&self, engine: &PlannedEngine) -> Result<(), MeasureError> {
        let Some(check) = &engine.model_check else {
            return Ok(());
        };
        let answer = self.ask_patiently(&check.path).await?;
        let found = values_at(&answer, &check.pointer);
        let mut expected = std::iter::once(&check.expect).chain(&check.adapters);
        match expected.find(|name| !found.contains(name)) {
            None => Ok(()),
            Some(missing) => Err(wrong_model(engine, check, missing, &found)),
        }
    }

    /// The version that the engine tells of itself; `None` where it does not.
    pub async fn version(&self, engine: &PlannedEngine) -> Option<String> {
        let field = engine.version.as_ref()?;
        let answer = self.ask(&field.path).await.ok()?;
        values_at(&answer, &field.pointer).into_iter().next()
    }

    /// The commit of the model that the engine tells of; `None` where it does not.
    pub(super) async fn model_revision(&self, engine: &PlannedEngine) -> Option<String> {
        let field = engine.model_revision.as_ref()?;
        let answer = self.ask(&field.path).await.ok()?;
        values_at(&answer, &field.pointer).into_iter().next()
    }

    /// Makes a call without a body. The cause, where the answer is no success.
    pub(super) async fn call(&self, call: &HttpCall) -> Result<(), String> {
        let url = format!("{}{}", self.url.trim_end_matches('/'), call.path);
        let mut request = match call.method {
            HttpMethod::Get => self.client.get(&url),
            HttpMethod::Post => self.client.post(&url),
        };
        if let Some(key) = self.api_key {
            request = request.bearer_auth(key);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| format!("{url}: {}", causes(&error)))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("{url}: HTTP {status}")),
        }
    }

    async fn ask_patiently(&self, path: &str) -> Result<Value, MeasureError> {
        let asked = async {
            loop {
                match self.ask(path).await {
                    Ok(answer) => return Ok(answer),
                    Err(cause) if self.progress.control().is_cancelled() => return Err(cause),
                    Err(cause) => {
                        tracing::debug!(url = self.url, %cause, "the engine is not there yet");
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let unreachable = |cause: &str| {
            MeasureError::new(
                reason::ENGINE_UNREACHABLE,
                format!("{}{path} gives no answer: {cause}", self.url),
            )
            .that_may_pass()
        };
        match tokio::time::timeout(self.patience, asked).await {
            Ok(answer) => answer.map_err(|cause| unreachable(&cause)),
            // One last try tells what is wrong now.
            Err(_) => self.ask(path).await.map_err(|cause| unreachable(&cause)),
        }
    }

    async fn ask(&self, path: &str) -> Result<Value, String> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = self.client.get(&url);
        if let Some(key) = self.api_key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.map_err(|error| causes(&error))?;
        if !answer.status().is_success() {
            return Err(format!("HTTP {}", answer.status()));
        }
        let body = body_of(answer, LONGEST_ANSWER).await?;
        serde_json::from_slice(&body).map_err(|error| format!("the answer is no JSON: {error}"))
    }
}

fn client() -> Result<reqwest::Client, String> {
    install_crypto_provider();
    let mut builder = crate::outside::client().timeout(ANSWER_TIMEOUT);
    if let Some(path) = tls::bundle_from_environment() {
        let pem = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let certificates =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| causes(&error))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| causes(&error))
}

fn wrong_model(
    engine: &PlannedEngine,
    check: &PlannedModelCheck,
    missing: &str,
    found: &[String],
) -> MeasureError {
    let serves = match found {
        [] => format!("has no {} at {}", check.pointer, check.path),
        found => format!("serves {}", found.join(", ")),
    };
    MeasureError::new(
        reason::WRONG_MODEL_SERVED,
        format!(
            "{} {serves}, but the run asks for {missing}; start it with that model, or correct model.id and model.adapters",
            engine.name
        ),
    )
}

/// The values at a JSON pointer (RFC 6901) in which `*` stands for every item of a list, as text.
fn values_at(value: &Value, pointer: &str) -> Vec<String> {
    let mut places = vec![value];
    for part in pointer.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        places = places
            .into_iter()
            .flat_map(|place| match (place, key.as_str()) {
                (Value::Array(items), "*") => items.iter().collect(),
                (Value::Array(items), key) => key
                    .parse()
                    .ok()
                    .and_then(|at: usize| items.get(at))
                    .into_iter()
                    .collect(),
                (Value::Object(fields), key) => fields.get(key).into_iter().collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
    }
    places
        .into_iter()
        .filter_map(|place| match place {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        })
        .collect()
}

/// What the first tiny answers say, one for each of the models that requests ask for. Failures that
/// show only in the course of an answer are left to the stages, which count them.
pub(super) fn first_answers(
    records: &[Record],
    models: &[RequestedModel],
) -> Result<(), MeasureError> {
    for record in records {
        let at = usize::try_from(record.index).ok();
        let model = at.and_then(|at| models.get(at));
        let asked_for = model.map_or_else(String::new, |model| format!(" for {}", model.name));
        first_answer(record, &asked_for)?;
    }
    Ok(())
}

fn first_answer(record: &Record, asked_for: &str) -> Result<(), MeasureError> {
    let Outcome::Failed(kind, message) = &record.outcome else {
        return Ok(());
    };
    let unreachable = || {
        MeasureError::new(
            reason::ENGINE_UNREACHABLE,
            format!("the engine does not answer a first request{asked_for}: {message}"),
        )
    };
    match kind {
        FailureKind::Timeout if record.chunks > 0 => {
            tracing::warn!(%message, "the first answer stalled");
            Ok(())
        }
        FailureKind::Connect | FailureKind::Timeout | FailureKind::Http5xx => {
            Err(unreachable().that_may_pass())
        }
        // It understood, and refuses; or it speaks another protocol.
        FailureKind::Http4xx | FailureKind::Protocol => Err(unreachable()),
        FailureKind::RateLimited
        | FailureKind::StreamError
        | FailureKind::Truncated
        | FailureKind::Empty
        | FailureKind::Cancelled => {
            tracing::warn!(%message, "the first answer failed");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A server that gives every request this body.
    async fn serving(body: String) -> String {
        let answer = axum::Router::new().fallback(move || async move { body });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, answer).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn what_is_no_list_of_models_is_refused_by_what_it_is() {
        let progress = Progress::default();
        for (body, cause) in [
            (
                "[".repeat(LONGEST_ANSWER as usize + 1),
                "longer than 4194304 bytes",
            ),
            ("<html>".into(), "no JSON"),
        ] {
            let url = serving(body).await;
            let engine = Engine::new(&url, None, Duration::ZERO, &progress).unwrap();
            let error = engine.ask_patiently("/v1/models").await.unwrap_err();
            assert!(error.message.contains(cause), "{}", error.message);
            assert!(error.message.contains("/v1/models"), "{}", error.message);
        }
    }

    #[test]
    fn pointers_with_stars_find_every_item() {
        let models =
            json!({"data": [{"id": "a"}, {"id": "b/c"}], "info": {"x/y": 7}, "none": null});
        for (pointer, expected) in [
            ("/data/*/id", vec!["a", "b/c"]),
            ("/data/1/id", vec!["b/c"]),
            ("/info/x~1y", vec!["7"]),
            ("/data/*/name", vec![]),
            ("/none", vec![]),
            ("/data/9/id", vec![]),
        ] {
            assert_eq!(values_at(&models, pointer), expected, "{pointer}");
        }
    }

    #[test]
    fn failures_that_end_a_round_are_told_from_those_that_stages_count() {
        for (kind, ends) in [
            (FailureKind::Connect, Some(true)),
            (FailureKind::Http5xx, Some(true)),
            (FailureKind::Http4xx, Some(false)),
            (FailureKind::Timeout, Some(true)),
            (FailureKind::StreamError, None),
            (FailureKind::Truncated, None),
        ] {
            let mut record = Record::new(0, 0, None, 0);
            record.outcome = Outcome::Failed(kind, "why".into());
            let may_pass = first_answers(&[record], &[])
                .err()
                .map(|error| error.may_pass);
            assert_eq!(may_pass, ends, "{kind:?}");
        }
        assert!(first_answers(&[Record::new(0, 0, None, 0)], &[]).is_ok());
    }

    #[test]
    fn whatever_an_engine_lists_has_values_or_none() {
        let whole = json!({"object": "list", "data": [
            {"id": "a", "root": "/m", "parent": null}, {"id": "b", "max": 4096},
        ], "model_id": "c", "deep": [[["d"]]]});
        let pointers = [
            "/data/*/id",
            "/model_id",
            "/*/*/*",
            "",
            "/",
            "/data/0/id",
            "/data/-1",
            "/deep/0/0/0",
            "/data/99999999999999999999/id",
            "/~0~1",
            "data",
            "/*",
        ];
        let mut some = 0;
        crate::testing::fuzz::cases(1000, |random| {
            let mut answer = whole.clone();
            for _ in 0..random.below(4) {
                random.mutate_json(&mut answer);
            }
            let found = values_at(&answer, random.pick::<&str>(&pointers));
            // No more than there are values.
            assert!(found.len() <= answer.to_string().len());
            some += usize::from(!found.is_empty());
        });
        assert!(some > 0);
    }
}
