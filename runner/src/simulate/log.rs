//! The truth about what was sent and when, to hold a client's figures against.
//!
//! One record per request, as a line of JSON. Times are nanoseconds since the Unix epoch by the
//! process's one anchor; each is read right before the frame goes to the socket, in the same poll
//! of the connection. The schedule itself is coarser (tokio's timer wakes up to a millisecond and a
//! bit late); the log tells the times that came true, not the scheduled ones.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::clock;

/// One request.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Id of the answer, as the client sees it where the interface has one.
    pub id: String,
    /// Path of the request.
    pub path: String,
    /// Name of the model or adapter that it asked for, where it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// When the request's head had been read, in nanoseconds since the Unix epoch.
    pub received_at: u64,
    /// Tokens of the prompt by the simulator's own rule.
    pub input_tokens: u32,
    /// Tokens that were written.
    pub output_tokens: u32,
    /// When the first frame with a token was written.
    pub first_token_at: Option<u64>,
    /// When the last one was.
    pub last_token_at: Option<u64>,
    /// When each frame with a token was.
    pub frames: Vec<u64>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Its answer was written whole.
    Completed,
    /// The client left before its end.
    Cancelled,
    /// It was refused by an HTTP status.
    Rejected,
    /// An error event ended it.
    ErrorEvent,
    /// It was cut without its end.
    Cut,
}

/// Nanoseconds since the Unix epoch.
pub fn now() -> u64 {
    u64::try_from(clock::wall_now().as_nanosecond()).unwrap_or(0)
}

/// The records of a simulator; clones share them.
#[derive(Clone, Debug, Default)]
pub struct TruthLog(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    records: Vec<Record>,
    file: Option<BufWriter<File>>,
}

impl TruthLog {
    /// A log that is also written to a file, one JSON object a line.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn create(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self(Arc::new(Mutex::new(Inner {
            records: Vec::new(),
            file,
        }))))
    }

    /// The records so far, in the order in which the requests ended.
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// The records so far as lines of JSON.
    pub fn lines(&self) -> String {
        self.lock().records.iter().map(line).collect()
    }

    pub(super) fn push(&self, record: Record) {
        let mut inner = self.lock();
        if let Some(file) = &mut inner.file
            && let Err(error) = file
                .write_all(line(&record).as_bytes())
                .and_then(|()| file.flush())
        {
            tracing::warn!(%error, "cannot write the simulator's log; it goes on in memory");
            inner.file = None;
        }
        inner.records.push(record);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(record: &Record) -> String {
    // Numbers and strings: nothing that JSON cannot say.
    let mut line = serde_json::to_string(record).unwrap_or_default();
    line.push('\n');
    line
}
