//! A hub on this machine that pods can reach: one repository, in Hugging Face's interface.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bakeoff_e2e::settings::service_address;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The token that it asks for.
pub(super) const TOKEN: &str = "hf_ThisIsTheTokenOfTheStandIn";
/// What its one revision stands for.
pub(super) const COMMIT: &str = "5f0b02c75b57c5855da9ae460ce51323ea669d8a";
/// Ids of its repositories: a model, and one whose weights are not what the hub says.
pub(super) const MODEL: &str = "org/tiny";
pub(super) const FALSE_MODEL: &str = "org/false";
/// Bytes of the weights.
const WEIGHTS: usize = 3 << 20;

/// The hub, until it is dropped.
pub(super) struct Hub {
    /// Its root.
    pub(super) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Hub {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((service_address()?, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, &seen).await {
                        tracing::warn!(%error, "a request to the hub");
                    }
                });
            }
        });
        Ok(Self {
            url,
            asked,
            serving,
        })
    }

    /// Files that were asked for since the last look.
    pub(super) fn files(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let files = asked.drain(..).filter(|path| path.contains("/resolve/"));
        let mut files: Vec<String> = files.collect();
        files.sort();
        files
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One request to a connection.
async fn answer(stream: TcpStream, asked: &Mutex<Vec<String>>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let path = head.first().and_then(|line| line.split(' ').nth(1));
    let path = path.unwrap_or_default().to_owned();
    let token = format!("authorization: bearer {TOKEN}").to_lowercase();
    let has_token = head.iter().any(|line| line.to_lowercase() == token);
    let (status, body) = match has_token {
        true => content(&path),
        false => ("401 Unauthorized", Vec::new()),
    };
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(path);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.flush().await?;
    Ok(())
}

fn content(path: &str) -> (&'static str, Vec<u8>) {
    let path = path.split('?').next().unwrap_or_default();
    for id in [MODEL, FALSE_MODEL] {
        if path == format!("/api/models/{id}/revision/main") {
            return ("200 OK", listing(id).to_string().into_bytes());
        }
        let files = format!("/{id}/resolve/{COMMIT}/");
        match path.strip_prefix(&files) {
            Some("config.json") => return ("200 OK", b"{}".to_vec()),
            Some("model.safetensors") => return ("200 OK", vec![7; WEIGHTS]),
            _ => {}
        }
    }
    ("404 Not Found", Vec::new())
}

fn listing(id: &str) -> serde_json::Value {
    use sha2::Digest as _;
    let content = if id == MODEL { 7 } else { 8 };
    let hash = sha2::Sha256::digest(vec![content; WEIGHTS]);
    let sha256: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "id": id, "sha": COMMIT, "siblings": [
        { "rfilename": "config.json", "size": 2 },
        { "rfilename": "model.safetensors", "size": WEIGHTS,
          "lfs": { "sha256": sha256, "size": WEIGHTS } },
        // A copy that nobody is to ask for.
        { "rfilename": "pytorch_model.bin", "size": WEIGHTS },
    ]})
}
