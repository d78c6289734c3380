//! A hub that is not there: lists repositories and gives their files, in parts and with faults.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::json;

use crate::store::sha256_hex;

/// What becomes of one request for a file.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection ends after so many bytes.
    Cut(usize),
    /// A status, to be tried again at once.
    Status(u16),
    /// Other bytes.
    Garbled,
    /// All of it, although a part was asked for.
    Whole,
    /// A redirection to another server.
    Moved(String),
}

/// A file of a repository.
#[derive(Clone, Debug, Default)]
pub struct HubFile {
    pub bytes: Vec<u8>,
    /// In large-file storage, whose SHA-256s the hub tells.
    pub is_large: bool,
    /// The size that the hub tells, where it is another.
    pub told_size: Option<u64>,
    /// What becomes of the first requests for it.
    pub faults: VecDeque<Fault>,
}

impl HubFile {
    pub fn small(text: &str) -> Self {
        Self {
            bytes: text.as_bytes().to_vec(),
            ..Self::default()
        }
    }

    pub fn large(bytes: usize) -> Self {
        Self {
            bytes: (0..bytes).map(|at| (at * 31 % 251) as u8).collect(),
            is_large: true,
            ..Self::default()
        }
    }

    pub fn with(mut self, faults: &[Fault]) -> Self {
        self.faults = faults.iter().cloned().collect();
        self
    }
}

/// A request that the hub saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

#[derive(Default)]
struct Content {
    /// By id: the commit, and the files.
    repositories: BTreeMap<String, (String, BTreeMap<String, HubFile>)>,
    /// Whoever shows another token is refused.
    token: Option<String>,
    seen: Vec<Seen>,
}

/// The hub.
#[derive(Clone)]
pub struct Hub {
    pub url: String,
    content: Arc<Mutex<Content>>,
}

impl Hub {
    pub async fn start() -> Self {
        let content = Arc::new(Mutex::new(Content::default()));
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&content));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, content }
    }

    pub fn repository(self, id: &str, commit: &str, files: &[(&str, HubFile)]) -> Self {
        let files = files.iter().cloned();
        let files = files.map(|(path, file)| (path.to_owned(), file)).collect();
        let entry = (commit.to_owned(), files);
        let mut content = self.content.lock().unwrap();
        content.repositories.insert(id.to_owned(), entry);
        drop(content);
        self
    }

    pub fn gated(self, token: &str) -> Self {
        self.content.lock().unwrap().token = Some(token.to_owned());
        self
    }

    /// The requests since the last look.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.content.lock().unwrap().seen)
    }
}

async fn answer(State(content): State<Arc<Mutex<Content>>>, request: Request) -> Response {
    let mut content = content.lock().unwrap();
    let header = |name| {
        let value: Option<&HeaderValue> = request.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let token = header(header::AUTHORIZATION);
    let path = request.uri().path().to_owned();
    content.seen.push(Seen {
        path: path.clone(),
        range: header(header::RANGE),
        token: token.clone(),
    });
    if let Some(expected) = &content.token {
        match token.as_deref().and_then(|it| it.strip_prefix("Bearer ")) {
            None => return status(401),
            Some(found) if found != expected => return status(403),
            Some(_) => {}
        }
    }
    let repositories = &mut content.repositories;
    if let Some(asked) = path.strip_prefix("/api/models/") {
        let Some((id, _revision)) = asked.split_once("/revision/") else {
            return status(404);
        };
        assert_eq!(request.uri().query(), Some("blobs=true"));
        return match repositories.get(id) {
            Some((commit, files)) => listing(commit, files),
            None => status(404),
        };
    }
    let Some((id, file)) = path.trim_start_matches('/').split_once("/resolve/") else {
        return status(404);
    };
    let Some((commit, file)) = file.split_once('/') else {
        return status(404);
    };
    let found = repositories
        .get_mut(id)
        .filter(|(known, _)| known == commit)
        .and_then(|(_, files)| files.get_mut(&file.replace("%20", " ")));
    match found {
        Some(file) => give(file, request.headers()),
        None => status(404),
    }
}

fn status(code: u16) -> Response {
    Response::builder()
        .status(code)
        .header(header::RETRY_AFTER, "0")
        .body(Body::empty())
        .unwrap()
}

fn listing(commit: &str, files: &BTreeMap<String, HubFile>) -> Response {
    let siblings: Vec<_> = files
        .iter()
        .map(|(path, file)| {
            let size = file.told_size.unwrap_or(file.bytes.len() as u64);
            let lfs = json!({"sha256": sha256_hex(&file.bytes), "size": size, "pointerSize": 135});
            let mut sibling = json!({"rfilename": path, "size": size, "blobId": "0"});
            if file.is_large {
                sibling["lfs"] = lfs;
            }
            sibling
        })
        .collect();
    let body = json!({"id": "x", "sha": commit, "siblings": siblings});
    Response::new(Body::from(body.to_string()))
}

fn give(file: &mut HubFile, headers: &HeaderMap) -> Response {
    let length = file.bytes.len();
    let fault = file.faults.pop_front();
    let from = headers
        .get(header::RANGE)
        .filter(|_| !matches!(fault, Some(Fault::Whole)))
        .map_or(0, |range| {
            let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
            range.strip_suffix('-').unwrap().parse::<usize>().unwrap()
        });
    if from > 0 && from >= length {
        return status(416);
    }
    let rest = Bytes::copy_from_slice(&file.bytes[from..]);
    let parts: Vec<Result<Bytes, std::io::Error>> = match fault {
        Some(Fault::Status(code)) => return status(code),
        Some(Fault::Moved(to)) => {
            return Response::builder()
                .status(302)
                .header(header::LOCATION, to)
                .body(Body::empty())
                .unwrap();
        }
        Some(Fault::Cut(bytes)) => vec![
            Ok(rest.slice(..bytes)),
            Err(std::io::Error::other("the line is cut")),
        ],
        Some(Fault::Garbled) => vec![Ok(rest.iter().map(|byte| byte ^ 1).collect())],
        Some(Fault::Whole) | None => vec![Ok(rest.clone())],
    };
    let builder = Response::builder().header(header::CONTENT_LENGTH, rest.len());
    let builder = match from {
        0 => builder.status(StatusCode::OK),
        _ => builder.status(StatusCode::PARTIAL_CONTENT).header(
            header::CONTENT_RANGE,
            format!("bytes {from}-{}/{length}", length - 1),
        ),
    };
    // What comes first is on its way before the line is cut.
    let body = futures::stream::iter(parts).then(async |part| {
        if part.is_err() {
            tokio::task::yield_now().await;
        }
        part
    });
    builder.body(Body::from_stream(body)).unwrap()
}
