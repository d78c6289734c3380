//! An S3 server that fails as it is told: it answers with errors, says nothing, or breaks off.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Name of the bucket.
pub const NAME: &str = "results";

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// What is asked for.
    Serve,
    /// Answers with a status, an S3 error's code beside it.
    Refuse(u16, &'static str),
    /// Takes the request and never answers; the connection stays.
    Hang,
    /// Does what is asked for and never answers; the connection stays.
    HangAfter,
    /// Breaks off without having done anything.
    CutBefore,
    /// Does what is asked for, and breaks off without an answer.
    CutAfter,
    /// Breaks off amid the answer.
    CutMidway,
}

/// A request, as far as one decides by it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Key, without the bucket.
    pub key: String,
}

type Decide = Box<dyn FnMut(&Asked) -> Act + Send>;

/// A bucket that is served until the test ends.
pub struct Bucket {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    objects: BTreeMap<String, Vec<u8>>,
    decide: Decide,
    /// Keys that were written without the condition that nothing is there.
    unconditional: Vec<String>,
    /// Connections that hang.
    hanging: Vec<TcpStream>,
}

impl Bucket {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            objects: BTreeMap::new(),
            decide: Box::new(|_| Act::Serve),
            unconditional: Vec::new(),
            hanging: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A connection that breaks is the client's to mind.
                std::thread::spawn(move || connection(stream, &state));
            }
        });
        Self { url, state }
    }

    /// Decides from now on what becomes of requests.
    pub fn decide(&self, decide: impl FnMut(&Asked) -> Act + Send + 'static) {
        let mut state = self.state();
        state.decide = Box::new(decide);
        state.hanging.clear();
    }

    /// Everything that is there.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().objects.clone()
    }

    /// No write could have replaced anything.
    pub fn assert_never_overwritten(&self) {
        let unconditional = self.state().unconditional.clone();
        assert!(unconditional.is_empty(), "{unconditional:?}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Variables by which the program finds it.
pub fn environment(url: &str) -> [(&'static str, String); 4] {
    [
        ("AWS_ACCESS_KEY_ID", "a".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "b".to_owned()),
        ("AWS_ENDPOINT_URL", url.to_owned()),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ]
}

struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    if_none_match: bool,
    body: Vec<u8>,
}

fn connection(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let request = read(&mut reader)?;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Asked {
            method: request.method.clone(),
            key: request.key.clone(),
        };
        let act = (state.decide)(&asked);
        match act {
            Act::Serve | Act::HangAfter | Act::CutAfter | Act::CutMidway => {
                let answer = answer(&mut state, &request);
                if act == Act::HangAfter {
                    state.hanging.push(writer);
                    return None;
                }
                drop(state);
                match act {
                    Act::Serve => writer.write_all(&answer).ok()?,
                    Act::CutMidway => {
                        let half = answer.len() - 1 - answer.len() / 3;
                        writer
                            .write_all(&answer[..half.min(answer.len() - 1)])
                            .ok()?;
                        return None;
                    }
                    _ => return None,
                }
            }
            Act::Refuse(status, code) => {
                drop(state);
                let body = format!("<Error><Code>{code}</Code><Message>told to</Message></Error>");
                writer
                    .write_all(&head(status, &[], body.as_bytes(), true))
                    .ok()?;
            }
            Act::Hang => {
                state.hanging.push(writer);
                return None;
            }
            Act::CutBefore => return None,
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut if_none_match) = (0, false);
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let field = field.trim_end().to_ascii_lowercase();
        let Some((name, value)) = field.split_once(':') else {
            break;
        };
        match name {
            "content-length" => length = value.trim().parse().ok()?,
            "if-none-match" => if_none_match = value.trim() == "*",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    // A writer that was killed amid its object leaves none, as on a real server.
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let key = path.trim_start_matches('/');
    let key = key.strip_prefix(NAME)?.trim_start_matches('/');
    let query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    Some(Request {
        method,
        key: decoded(key),
        query,
        if_none_match,
        body,
    })
}

/// Without percent-encoding.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        plain.push(char::from(u8::from_str_radix(code, 16).unwrap()));
        plain.push_str(rest);
    }
    plain
}

fn answer(state: &mut State, request: &Request) -> Vec<u8> {
    if let Some(prefix) = request.query.get("prefix") {
        return head(200, &[], list(state, prefix).as_bytes(), true);
    }
    match request.method.as_str() {
        "PUT" => {
            if !request.if_none_match {
                state.unconditional.push(request.key.clone());
            }
            if state.objects.contains_key(&request.key) && request.if_none_match {
                return head(
                    412,
                    &[],
                    b"<Error><Code>PreconditionFailed</Code></Error>",
                    true,
                );
            }
            state
                .objects
                .insert(request.key.clone(), request.body.clone());
            head(200, OBJECT, b"", true)
        }
        "DELETE" => {
            state.objects.remove(&request.key);
            head(204, &[], b"", true)
        }
        method => match state.objects.get(&request.key) {
            Some(bytes) => head(200, OBJECT, bytes, method == "GET"),
            None => head(404, &[], b"", true),
        },
    }
}

const OBJECT: &[(&str, &str)] = &[
    ("etag", "\"1\""),
    ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
];

fn head(status: u16, fields: &[(&str, &str)], body: &[u8], with_body: bool) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    if with_body {
        bytes.extend_from_slice(body);
    }
    bytes
}

fn list(state: &State, prefix: &str) -> String {
    let mut found = String::new();
    for (key, bytes) in state.objects.range(prefix.to_owned()..) {
        if !key.starts_with(prefix) {
            break;
        }
        found.push_str(&format!(
            "<Contents><Key>{key}</Key><Size>{}</Size><ETag>\"1\"</ETag>\
             <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
            bytes.len()
        ));
    }
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    )
}
