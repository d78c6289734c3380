//! One request and its answer: from stamped bytes to a record.

use std::{io, ops::ControlFlow, sync::Arc};

use crate::{
    clock::{self, Nanos},
    prompt::Message,
    protocol::{DecodeError, Decoder, Event, FinishReason},
    record::{FailureKind, Outcome, Record},
    stats::Gaps,
    wire::response::ResponseReader,
};
use call::Call;

/// Most bytes kept of the body of an error answer.
const MAX_ERROR_BODY: usize = 512;
/// Most bytes read of it, to keep the connection.
const MAX_DRAINED: u64 = 64 * 1024;
/// Most bytes kept of one answer's text; a longer one is not counted by the tokenizer.
const MAX_TEXT: usize = 16 << 20;
/// Most bytes of a failure's message.
const MAX_MESSAGE: usize = 300;

/// One request under way.
pub(super) struct Exchange {
    pub(super) record: Record,
    /// The whole request.
    request: Arc<[u8]>,
    written: usize,
    response: ResponseReader,
    decoder: Decoder,
    /// Text of the answers so far, where it is kept: one for each prompt.
    pub(super) texts: Option<Vec<String>>,
    /// When the last content of each answer was read, where there are several.
    latest: Box<[Option<Nanos>]>,
    error_body: Vec<u8>,
    /// Of a call by gRPC.
    call: Call,
    /// What was said before, where later turns are made from the engine's answers.
    pub(super) history: Vec<Message>,
}

/// Where an exchange is after some bytes.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// More is to come.
    Continue,
    /// It is over.
    Ended {
        outcome: Outcome,
        /// Whether the connection can take another request.
        reusable: bool,
    },
}

impl Exchange {
    pub(super) fn new(
        record: Record,
        request: Arc<[u8]>,
        decoder: Decoder,
        answers: usize,
        keep_text: bool,
    ) -> Self {
        let several = if answers > 1 { answers } else { 0 };
        Self {
            record,
            request,
            written: 0,
            response: ResponseReader::new(),
            decoder,
            texts: keep_text.then(|| vec![String::new(); answers]),
            latest: vec![None; several].into(),
            error_body: Vec::new(),
            call: Call::default(),
            history: Vec::new(),
        }
    }

    /// What of the request is still to be written.
    pub(super) fn unwritten(&self) -> &[u8] {
        self.request.get(self.written..).unwrap_or_default()
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
    }

    /// Takes bytes that were read at `stamp`.
    pub(super) fn receive(&mut self, bytes: &[u8], stamp: Nanos, gaps: &mut Gaps) -> Step {
        let mut error = None;
        let (record, decoder) = (&mut self.record, &mut self.decoder);
        let error_body = &mut self.error_body;
        let (texts, latest) = (&mut self.texts, &mut self.latest);
        let fed = self.response.feed(bytes, &mut |head, piece| {
            record.bytes += piece.len() as u64;
            if !(200..300).contains(&head.status) {
                let room = MAX_ERROR_BODY - error_body.len();
                error_body.extend_from_slice(piece.get(..room).unwrap_or(piece));
                return if record.bytes > MAX_DRAINED {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                };
            }
            let mut on_event = |event: Event<'_>| note(record, texts, latest, gaps, stamp, event);
            match decoder.feed(piece, &mut on_event) {
                Ok(()) => ControlFlow::Continue(()),
                Err(cause) => {
                    error = Some(cause);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(error) = error {
            return ended(decode_failure(&error), false);
        }
        if let Some(head) = self.response.head().filter(|head| head.status == 429) {
            self.record.retry_after = head.retry_after;
        }
        match fed {
            Err(cause) => ended(failure(FailureKind::Protocol, &cause.to_string()), false),
            Ok(ControlFlow::Break(())) => {
                ended(self.refused().unwrap_or(Outcome::Succeeded), false)
            }
            Ok(_) if self.response.is_done() => self.complete(stamp, gaps),
            Ok(_) => Step::Continue,
        }
    }

    /// The failure that the answer's status says, if it does.
    fn refused(&self) -> Option<Outcome> {
        let status = self.response.head()?.status;
        let kind = kind_of(status)?;
        let body = String::from_utf8_lossy(&self.error_body);
        Some(failure(kind, &format!("HTTP {status}: {}", body.trim())))
    }

    /// The outcome where the time for it is up: what the status said, if there was one that says it.
    pub(super) fn late(&self, after: Nanos) -> Outcome {
        self.refused().unwrap_or_else(|| {
            let message = format!("no whole answer within {} s", clock::seconds(after));
            failure(FailureKind::Timeout, &message)
        })
    }

    /// Whether nothing of an answer has come.
    pub(super) fn is_unanswered(&self) -> bool {
        !self.response.has_begun() && !self.call.has_begun()
    }

    /// The whole request is to be written again, on another connection. When it was first sent
    /// stays as it is: the lost time is part of the wait.
    pub(super) fn begin_again(&mut self) {
        self.written = 0;
        self.response = ResponseReader::new();
        self.call = Call::default();
    }

    /// The connection has ended.
    pub(super) fn disconnected(
        &mut self,
        cause: Option<&io::Error>,
        stamp: Nanos,
        gaps: &mut Gaps,
    ) -> Step {
        if cause.is_none() && self.response.finish() {
            return self.complete(stamp, gaps);
        }
        if let Some(refused) = self.refused() {
            return ended(refused, false);
        }
        let (kind, what) = if !self.is_unanswered() {
            (
                FailureKind::Truncated,
                "the connection ended within the answer",
            )
        } else {
            (
                FailureKind::Connect,
                "the connection ended before an answer",
            )
        };
        let message = match cause {
            Some(cause) => format!("{what}: {cause}"),
            None => what.into(),
        };
        ended(failure(kind, &message), false)
    }

    fn complete(&mut self, stamp: Nanos, gaps: &mut Gaps) -> Step {
        let head = self.response.head().unwrap_or_default();
        let outcome = match self.refused() {
            Some(refused) => refused,
            None => self.finish_answer(stamp, gaps),
        };
        ended(outcome, head.keep_alive && !self.response.has_surplus())
    }
}

impl Exchange {
    /// What became of an answer that was accepted and is over.
    fn finish_answer(&mut self, stamp: Nanos, gaps: &mut Gaps) -> Outcome {
        let (record, texts) = (&mut self.record, &mut self.texts);
        let latest = &mut self.latest;
        let mut on_event = |event: Event<'_>| note(record, texts, latest, gaps, stamp, event);
        match self.decoder.finish(&mut on_event) {
            Err(cause) => decode_failure(&cause),
            Ok(()) if self.record.chunks == 0 => {
                failure(FailureKind::Empty, "the answer held no content")
            }
            Ok(()) => Outcome::Succeeded,
        }
    }
}

/// Keeps what an event tells.
fn note(
    record: &mut Record,
    texts: &mut Option<Vec<String>>,
    latest: &mut [Option<Nanos>],
    gaps: &mut Gaps,
    stamp: Nanos,
    event: Event<'_>,
) {
    match event {
        Event::Content {
            text: piece,
            tokens,
            answer,
        } => {
            let answer = answer as usize;
            // Gaps are those within one answer, however the answers of a request interleave.
            let before = match latest.get_mut(answer) {
                Some(latest) => latest.replace(stamp),
                None => record.last_content,
            };
            if let Some(before) = before {
                gaps.record(stamp - before, tokens);
            }
            record.first_content.get_or_insert(stamp);
            record.last_content = Some(stamp);
            record.chunks = record.chunks.saturating_add(1);
            if let Some(text) = texts.as_mut().and_then(|texts| texts.get_mut(answer)) {
                text.push_str(piece);
                if text.len() > MAX_TEXT {
                    *texts = None;
                }
            }
        }
        Event::Usage {
            input_tokens,
            output_tokens,
        } => {
            record.input_tokens = input_tokens.or(record.input_tokens);
            record.output_tokens = output_tokens.or(record.output_tokens);
        }
        Event::Finish { reason } => {
            record.finish = Some(match reason {
                FinishReason::Stop => "stop",
                FinishReason::Length => "length",
                FinishReason::Other => "other",
            });
        }
        Event::End => {}
    }
}

/// The kind of failure that a status says, if it says one.
fn kind_of(status: u16) -> Option<FailureKind> {
    match status {
        200..=299 => None,
        429 => Some(FailureKind::RateLimited),
        400..=499 => Some(FailureKind::Http4xx),
        500..=599 => Some(FailureKind::Http5xx),
        _ => Some(FailureKind::Protocol),
    }
}

fn ended(outcome: Outcome, reusable: bool) -> Step {
    Step::Ended { outcome, reusable }
}

/// A failure with its message, cut to a bound.
pub(super) fn failure(kind: FailureKind, message: &str) -> Outcome {
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    Outcome::Failed(kind, message.get(..end).unwrap_or_default().into())
}

fn decode_failure(error: &DecodeError) -> Outcome {
    let kind = match error {
        DecodeError::StreamError(_) => FailureKind::StreamError,
        DecodeError::Protocol(_) | DecodeError::FrameTooLarge { .. } => FailureKind::Protocol,
        DecodeError::Truncated => FailureKind::Truncated,
        DecodeError::Empty => FailureKind::Empty,
    };
    failure(kind, &error.to_string())
}

mod call;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
