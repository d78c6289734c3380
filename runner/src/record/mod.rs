//! What is kept of one request. Its size does not depend on the number of tokens: [`BYTES`] at most,
//! and of a failure a message of 300 bytes at most.

pub mod log;

use crate::{answer::AnswerFacts, clock::Nanos};

/// Most bytes that a record takes, beside a failure's message.
pub const BYTES: usize = 256;
const _: () = assert!(size_of::<Record>() <= BYTES);

/// What became of one arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Place in the stage's sequence of requests, from 0. Where arrivals are conversations, that is
    /// the arrival's place times the turns of the longest one, plus the turn.
    pub index: u64,
    /// Place in the stage's sequence of arrivals, from 0.
    pub arrival: u64,
    /// Turn of the arrival's conversation, from 0; none where arrivals are single requests.
    pub turn: Option<u32>,
    /// Answers that it asked for: one for each prompt.
    pub answers: u32,
    /// Which of the load's names for the model it asked for, from 0.
    pub name: u16,
    /// Place of the prompt in the frozen file, from 0; of the first, where it holds several.
    pub prompt: u64,
    /// When it was due; absent in a closed loop, where the answer before it decides.
    pub due: Option<Nanos>,
    /// When the client took it up: just before `sent`, or before a connection was opened for it.
    pub started: Nanos,
    /// Just before its first byte was written; absent where there was no connection.
    pub sent: Option<Nanos>,
    /// When the first content of the answer was read.
    pub first_content: Option<Nanos>,
    /// When the last content of the answer was read.
    pub last_content: Option<Nanos>,
    /// When the answer ended or the request failed.
    pub end: Nanos,
    /// Frames with content.
    pub chunks: u32,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Length of the prompt in tokens, by the engine.
    pub input_tokens: Option<u32>,
    /// Length of the answer in tokens, by the engine.
    pub output_tokens: Option<u32>,
    /// Length of the answer in tokens, by the model's tokenizer; counted after the stage.
    pub tokenizer_output_tokens: Option<u32>,
    /// Why generation ended: `stop`, `length` or `other`.
    pub finish: Option<&'static str>,
    /// What the answer's text tells; read after the stage, where the text was kept.
    pub answer: Option<AnswerFacts>,
    /// Seconds that the server asked to be left alone, where it refused the request as one too many.
    pub retry_after: Option<u32>,
    /// Success or the kind of failure.
    pub outcome: Outcome,
}

impl Record {
    /// A request that was just taken up.
    pub fn new(index: u64, prompt: u64, due: Option<Nanos>, started: Nanos) -> Self {
        Self {
            index,
            arrival: index,
            turn: None,
            answers: 1,
            name: 0,
            prompt,
            due,
            started,
            sent: None,
            first_content: None,
            last_content: None,
            end: started,
            chunks: 0,
            bytes: 0,
            input_tokens: None,
            output_tokens: None,
            tokenizer_output_tokens: None,
            finish: None,
            answer: None,
            retry_after: None,
            outcome: Outcome::Succeeded,
        }
    }

    /// Length of the answer: the engine's figure first, the tokenizer's second.
    pub fn answer_tokens(&self) -> Option<u32> {
        self.output_tokens.or(self.tokenizer_output_tokens)
    }

    /// Whether the answer is whole.
    pub fn succeeded(&self) -> bool {
        self.outcome == Outcome::Succeeded
    }
}

/// Success or the kind of failure, with what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered whole.
    Succeeded,
    /// Failed.
    Failed(FailureKind, Box<str>),
}

/// Kinds of failure, by their names in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// No connection, or it was lost before the first byte of an answer.
    Connect,
    /// No whole answer within the request timeout.
    Timeout,
    /// HTTP 429: one request too many.
    RateLimited,
    /// Another status from 400 to 499.
    Http4xx,
    /// A status from 500 to 599.
    Http5xx,
    /// An error event under HTTP 200.
    StreamError,
    /// The answer ended before its end.
    Truncated,
    /// The answer held no content.
    Empty,
    /// The answer breaks HTTP or the engine's format.
    Protocol,
    /// The client was told to stop.
    Cancelled,
}

/// Every kind of failure.
pub const ALL_FAILURE_KINDS: [FailureKind; 10] = [
    FailureKind::Connect,
    FailureKind::Timeout,
    FailureKind::RateLimited,
    FailureKind::Http4xx,
    FailureKind::Http5xx,
    FailureKind::StreamError,
    FailureKind::Truncated,
    FailureKind::Empty,
    FailureKind::Protocol,
    FailureKind::Cancelled,
];

impl FailureKind {
    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        ALL_FAILURE_KINDS
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::RateLimited => "rateLimited",
            Self::Http4xx => "http4xx",
            Self::Http5xx => "http5xx",
            Self::StreamError => "streamError",
            Self::Truncated => "truncated",
            Self::Empty => "empty",
            Self::Protocol => "protocol",
            Self::Cancelled => "cancelled",
        }
    }
}
