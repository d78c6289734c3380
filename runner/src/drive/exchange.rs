//! One request and its answer: from stamped bytes to a record.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    ops::ControlFlow,
    sync::Arc,
};

use crate::{
    clock::Nanos,
    protocol::{DecodeError, Decoder, Event, FinishReason},
    record::{FailureKind, Outcome, Record},
    stats::Gaps,
    wire::response::ResponseReader,
};

/// Most bytes kept of the body of an error answer.
const MAX_ERROR_BODY: usize = 512;
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
    /// Text of the answer so far, where it is kept.
    pub(super) text: Option<String>,
    error_body: Vec<u8>,
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
        keep_text: bool,
    ) -> Self {
        Self {
            record,
            request,
            written: 0,
            response: ResponseReader::new(),
            decoder,
            text: keep_text.then(String::new),
            error_body: Vec::new(),
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
        let (text, error_body) = (&mut self.text, &mut self.error_body);
        let fed = self.response.feed(bytes, &mut |head, piece| {
            record.bytes += piece.len() as u64;
            if !(200..300).contains(&head.status) {
                let room = MAX_ERROR_BODY - error_body.len();
                error_body.extend_from_slice(piece.get(..room).unwrap_or(piece));
                return ControlFlow::Continue(());
            }
            let mut on_event = |event: Event<'_>| note(record, text, gaps, stamp, event);
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
        match fed {
            Err(cause) => ended(failure(FailureKind::Protocol, &cause.to_string()), false),
            Ok(_) if self.response.is_done() => self.complete(stamp, gaps),
            Ok(_) => Step::Continue,
        }
    }

    /// Whether nothing of an answer has come.
    pub(super) fn is_unanswered(&self) -> bool {
        !self.response.has_begun()
    }

    /// The whole request is to be written again, on another connection. When it was first sent
    /// stays as it is: the lost time is part of the wait.
    pub(super) fn begin_again(&mut self) {
        self.written = 0;
        self.response = ResponseReader::new();
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
        let (kind, what) = if self.response.has_begun() {
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
        let outcome = if (200..300).contains(&head.status) {
            let (record, text) = (&mut self.record, &mut self.text);
            let mut on_event = |event: Event<'_>| note(record, text, gaps, stamp, event);
            match self.decoder.finish(&mut on_event) {
                Err(cause) => decode_failure(&cause),
                Ok(()) if self.record.chunks == 0 => {
                    failure(FailureKind::Empty, "the answer held no content")
                }
                Ok(()) => Outcome::Succeeded,
            }
        } else {
            let kind = match head.status {
                400..=499 => FailureKind::Http4xx,
                500..=599 => FailureKind::Http5xx,
                _ => FailureKind::Protocol,
            };
            let body = String::from_utf8_lossy(&self.error_body);
            failure(kind, &format!("HTTP {}: {}", head.status, body.trim()))
        };
        ended(outcome, head.keep_alive)
    }
}

/// Keeps what an event tells.
fn note(
    record: &mut Record,
    text: &mut Option<String>,
    gaps: &mut Gaps,
    stamp: Nanos,
    event: Event<'_>,
) {
    match event {
        Event::Content {
            text: piece,
            tokens,
        } => {
            match record.last_content {
                None => record.first_content = Some(stamp),
                Some(before) => gaps.record(stamp - before, tokens),
            }
            record.last_content = Some(stamp);
            record.chunks += 1;
            if let Some(text) = text {
                text.push_str(piece);
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

/// The answers' text on disk, by the place of their request: for the tokenizer, after the stage.
/// Each entry is the place (8 bytes), the length (8 bytes), both little-endian, and the text.
pub struct SpooledText {
    file: BufWriter<File>,
}

impl SpooledText {
    pub(super) fn new(file: File) -> Self {
        Self {
            file: BufWriter::with_capacity(256 * 1024, file),
        }
    }

    pub(super) fn push(&mut self, index: u64, text: &str) -> io::Result<()> {
        self.file.write_all(&index.to_le_bytes())?;
        self.file.write_all(&(text.len() as u64).to_le_bytes())?;
        self.file.write_all(text.as_bytes())
    }

    /// Gives every text with the place of its request.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn for_each(self, mut give: impl FnMut(u64, &str)) -> io::Result<()> {
        let mut file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let mut file = BufReader::with_capacity(256 * 1024, file);
        let mut number = [0; 8];
        loop {
            match file.read_exact(&mut number) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                result => result?,
            }
            let index = u64::from_le_bytes(number);
            file.read_exact(&mut number)?;
            let mut text = String::new();
            (&mut file)
                .take(u64::from_le_bytes(number))
                .read_to_string(&mut text)?;
            give(index, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::{plan::Endpoint, run::Protocol};

    use super::*;
    use crate::protocol::{Codec, RequestOptions};

    fn exchange() -> Exchange {
        let endpoint = Endpoint {
            protocol: Protocol::OpenAiCompletions,
            port: 0,
            path: "/v1/completions".into(),
            model: "m".into(),
        };
        let codec = Codec::new(
            &endpoint,
            RequestOptions {
                streaming: true,
                ..RequestOptions::default()
            },
        );
        let mut record = Record::new(0, 0, None, 5);
        record.sent = Some(10);
        Exchange::new(record, Arc::from(*b"request"), codec.decoder(), true)
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n";

    fn answer(body: &str) -> String {
        format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len())
    }

    const TOKEN: &str =
        "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":null}]}\n\n";
    const LAST: &str =
        "data: {\"choices\":[{\"index\":0,\"text\":\"b\",\"finish_reason\":\"length\"}]}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"total_tokens\":6,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

    #[test]
    fn stamps_are_those_of_the_reads() {
        let mut exchange = exchange();
        let mut gaps = Gaps::new();
        let whole = answer(&format!("{TOKEN}{LAST}{USAGE}"));
        let cut = whole.find(LAST).unwrap();
        assert_eq!(
            exchange.receive(&whole.as_bytes()[..cut], 100, &mut gaps),
            Step::Continue
        );
        let step = exchange.receive(&whole.as_bytes()[cut..], 130, &mut gaps);
        assert_eq!(step, ended(Outcome::Succeeded, true));
        let record = exchange.record;
        assert_eq!(
            (record.first_content, record.last_content),
            (Some(100), Some(130))
        );
        assert_eq!(
            (record.input_tokens, record.output_tokens, record.chunks),
            (Some(4), Some(2), 2)
        );
        assert_eq!(record.finish, Some("length"));
        assert_eq!(exchange.text.as_deref(), Some("ab"));
        assert_eq!(gaps.chunk.count(), 1);
    }

    #[test]
    fn each_bad_answer_is_one_kind_of_failure() {
        let error = "data: {\"error\":{\"message\":\"out of blocks\",\"code\":500}}\n\n";
        for (answer, kind) in [
            (
                "HTTP/1.1 429 No\r\ncontent-length: 4\r\n\r\nslow".into(),
                FailureKind::Http4xx,
            ),
            (
                "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".into(),
                FailureKind::Http5xx,
            ),
            (
                "HTTP/1.1 302 There\r\ncontent-length: 0\r\n\r\n".into(),
                FailureKind::Protocol,
            ),
            ("SSH-2.0\r\n\r\n".into(), FailureKind::Protocol),
            (answer(&format!("{TOKEN}{error}")), FailureKind::StreamError),
            (answer(TOKEN), FailureKind::Truncated),
            (answer(USAGE), FailureKind::Empty),
            (answer("data: {\n\n"), FailureKind::Protocol),
        ] {
            let mut exchange = exchange();
            match exchange.receive(answer.as_bytes(), 100, &mut Gaps::new()) {
                Step::Ended {
                    outcome: Outcome::Failed(found, _),
                    ..
                } => assert_eq!(found, kind, "{answer}"),
                other => panic!("{answer}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_lost_connection_is_told_by_where_it_was_lost() {
        for (before, kind) in [("", FailureKind::Connect), (HEAD, FailureKind::Truncated)] {
            let mut exchange = exchange();
            let mut gaps = Gaps::new();
            exchange.receive(before.as_bytes(), 100, &mut gaps);
            match exchange.disconnected(None, 110, &mut gaps) {
                Step::Ended {
                    outcome: Outcome::Failed(found, _),
                    ..
                } => assert_eq!(found, kind, "{before}"),
                other => panic!("{before}: {other:?}"),
            }
        }
    }

    #[test]
    fn spooled_texts_come_back() {
        let mut spool = SpooledText::new(tempfile::tempfile().unwrap());
        spool.push(7, "größer").unwrap();
        spool.push(2, "").unwrap();
        let mut seen = Vec::new();
        spool
            .for_each(|index, text| seen.push((index, text.to_owned())))
            .unwrap();
        assert_eq!(seen, [(7, "größer".to_owned()), (2, String::new())]);
    }
}
