//! The servers that a run needs, in one: an engine that speaks OpenAI's completions, an S3 server, a
//! Prometheus and a model hub. It notes what it is asked for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// How long a slow answer takes: longer than the bounds of the table's objectives and timeouts.
const SLOW: Duration = Duration::from_millis(20);
/// The files that a run can read, by name.
const INPUTS: [(&str, &str); 8] = [
    ("one.jsonl", include_str!("inputs/one.jsonl")),
    ("two.jsonl", include_str!("inputs/two.jsonl")),
    (
        "one.sharegpt.json",
        include_str!("inputs/one.sharegpt.json"),
    ),
    (
        "two.sharegpt.json",
        include_str!("inputs/two.sharegpt.json"),
    ),
    (
        "one.tokenizer.json",
        include_str!("inputs/one.tokenizer.json"),
    ),
    (
        "two.tokenizer.json",
        include_str!("inputs/two.tokenizer.json"),
    ),
    ("one.trace.csv", include_str!("inputs/one.trace.csv")),
    ("two.trace.csv", include_str!("inputs/two.trace.csv")),
];

/// Two servers that differ in nothing but their address.
pub struct Servers {
    /// Root of the first.
    pub url: String,
    other: String,
    world: Arc<World>,
}

#[derive(Default)]
struct World {
    seen: Mutex<Vec<String>>,
    /// Objects by bucket and key.
    objects: Mutex<BTreeMap<String, Bytes>>,
}

impl Servers {
    /// Starts both.
    pub async fn start() -> Self {
        let world = Arc::new(World::default());
        for (name, content) in INPUTS {
            let key = format!("inputs/{name}");
            world.objects.lock().unwrap().insert(key, content.into());
        }
        let url = serve("LOOPBACK", &world).await;
        let other = serve("OTHER", &world).await;
        Self { url, other, world }
    }

    /// The text with the servers' addresses in place of their names.
    pub fn with_addresses(&self, text: &str) -> String {
        text.replace("http://LOOPBACK", &self.url)
            .replace("http://OTHER", &self.other)
    }

    /// The text with the servers' names in place of their addresses.
    pub fn without_addresses(&self, text: &str) -> String {
        text.replace(&self.url, "http://LOOPBACK")
            .replace(&self.other, "http://OTHER")
    }

    /// What was asked for.
    pub fn seen(&self) -> Vec<String> {
        self.world.seen.lock().unwrap().clone()
    }

    /// What is in the buckets.
    pub fn stored(&self) -> BTreeMap<String, Bytes> {
        self.world.objects.lock().unwrap().clone()
    }
}

async fn serve(name: &'static str, world: &Arc<World>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new()
        .fallback(answer)
        .with_state((name, Arc::clone(world)));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

async fn answer(
    State((name, world)): State<(&'static str, Arc<World>)>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    let note = |line: String| world.seen.lock().unwrap().push(format!("{name} {line}"));
    if path == "/v1/models" {
        return json(&json!({"data": [{"id": "base-model"}]}));
    }
    if path == "/version" {
        return json(&json!({"version": "1"}));
    }
    if path == "/metrics" {
        return "".into_response();
    }
    if path == "/api/v1/query" {
        note(format!("query {}", without_window(&query["query"])));
        let result = json!([{"metric": {}, "value": [0, "1"]}]);
        return json(&json!({
            "status": "success",
            "data": {"resultType": "vector", "result": result}
        }));
    }
    if path.ends_with("/resolve/main/tokenizer.json") {
        return INPUTS[4].1.into_response();
    }
    if path.starts_with("/v1/") {
        let text = String::from_utf8_lossy(&body).into_owned();
        note(format!("{method} {path} {text}"));
        return completion(&text).await;
    }
    if method == Method::PUT {
        let credential = headers["authorization"].to_str().unwrap();
        let region = credential.split('/').nth(2).unwrap();
        note(format!("{method} {path} in {region}"));
    }
    object(&world, &method, path.trim_start_matches('/'), &query, body)
}

fn json(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

/// A query without the length of its window, which no run repeats.
fn without_window(query: &str) -> String {
    let mut parts = query.split('[');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("[window");
        text.push_str(part.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
    }
    text
}

/// As many tokens as were asked for; slow, or none at all, where the prompt says so.
async fn completion(request: &str) -> Response {
    if request.contains("FAIL") {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if request.contains("SLOW") {
        // It is the engine that is slow; nothing waits for this.
        tokio::time::sleep(SLOW).await;
    }
    let request: Value = serde_json::from_str(request).unwrap();
    let tokens = request["max_tokens"].as_u64().unwrap();
    let prompts = request["prompt"].as_array().map_or(1, Vec::len) as u64;
    let mut body = String::new();
    for token in 1..=tokens {
        let reason = (token == tokens).then_some("length");
        for index in 0..prompts {
            let choice = json!({"index": index, "text": " one", "finish_reason": reason});
            body.push_str(&format!("data: {}\n\n", json!({"choices": [choice]})));
        }
    }
    let usage = json!({"prompt_tokens": 2 * prompts, "completion_tokens": tokens * prompts});
    body.push_str(&format!(
        "data: {}\n\ndata: [DONE]\n\n",
        json!({"choices": [], "usage": usage})
    ));
    ([("content-type", "text/event-stream")], body).into_response()
}

/// S3's operations on objects, as far as a run needs them.
fn object(
    world: &World,
    method: &Method,
    key: &str,
    query: &BTreeMap<String, String>,
    body: Bytes,
) -> Response {
    let mut objects = world.objects.lock().unwrap();
    if let Some(prefix) = query.get("prefix") {
        return list(&objects, key, prefix);
    }
    let etag = [
        ("etag", "\"1\""),
        ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ];
    match *method {
        Method::PUT => {
            objects.insert(key.to_owned(), body);
            etag.into_response()
        }
        _ => match objects.get(key) {
            Some(bytes) => (etag, bytes.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
    }
}

fn list(objects: &BTreeMap<String, Bytes>, bucket: &str, prefix: &str) -> Response {
    let mut found = String::new();
    for (key, bytes) in objects {
        let Some(key) = key.strip_prefix(bucket.trim_end_matches('/')) else {
            continue;
        };
        let key = key.trim_start_matches('/');
        if key.starts_with(prefix) {
            found.push_str(&format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><ETag>\"1\"</ETag>\
                 <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
                bytes.len()
            ));
        }
    }
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    )
    .into_response()
}
