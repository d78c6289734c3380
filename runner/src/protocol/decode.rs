//! From the bytes of an answer to its events.

use std::sync::Arc;

use bakeoff_crds::run::Protocol;

use super::{
    Event,
    grpc::{self, MessageError, Messages},
    http::{JsonValues, NotUtf8, Reader, TextReader, ValuesError},
    llama_cpp, openai, tgi, triton_tensorrt_llm, triton_vllm,
};
use crate::wire::sse::{MAX_EVENT_BYTES, SseError, SseEvent, SseParser};

/// Why an answer under HTTP 200 is none, or not a whole one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The server reported an error within the answer.
    #[error("the engine reported an error under HTTP 200: {0}")]
    StreamError(String),
    /// The answer is not what the protocol says.
    #[error("the answer is not of this protocol: {0}")]
    Protocol(String),
    /// The body ended before the answer did.
    #[error("the body ended before the answer did")]
    Truncated,
    /// The body holds no answer.
    #[error("the body is empty")]
    Empty,
    /// One event, or the body of an answer that does not stream, is too large.
    #[error("a frame is larger than {limit} bytes")]
    FrameTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl DecodeError {
    /// What a frame that is no JSON, or has a field of another type, is called.
    pub(super) fn json(error: &serde_json::Error, frame: &[u8]) -> Self {
        Self::Protocol(format!("{error} in {:?}", excerpt(frame)))
    }

    /// An error event; overlong messages are cut.
    pub(super) fn stream(message: &str) -> Self {
        Self::StreamError(excerpt(message.as_bytes()))
    }
}

/// The beginning of a text, at most 500 bytes.
fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(500)]);
    text.trim().to_owned()
}

impl From<SseError> for DecodeError {
    fn from(error: SseError) -> Self {
        match error {
            SseError::FrameTooLarge { limit } => Self::FrameTooLarge { limit },
        }
    }
}

impl From<ValuesError> for DecodeError {
    fn from(error: ValuesError) -> Self {
        match error {
            ValuesError::Stray(byte) => Self::Protocol(format!(
                "{:?} stands where a JSON value should begin",
                char::from(byte)
            )),
            ValuesError::TooLarge => Self::FrameTooLarge {
                limit: MAX_EVENT_BYTES,
            },
        }
    }
}

impl From<NotUtf8> for DecodeError {
    fn from(_: NotUtf8) -> Self {
        Self::Protocol("the text is not UTF-8".to_owned())
    }
}

impl From<MessageError> for DecodeError {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Compressed => {
                Self::Protocol("a message is compressed, which was not asked for".to_owned())
            }
            MessageError::TooLarge => Self::FrameTooLarge {
                limit: MAX_EVENT_BYTES,
            },
        }
    }
}

/// Reads one answer.
///
/// Whether it is a stream or one JSON object shows at its first byte, because some servers answer a
/// request for a stream with one object, and the other way round. What stands after the end of the
/// answer is not read.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    frames: Frames,
}

#[derive(Debug)]
enum Framing {
    Undecided,
    Events(SseParser),
    Whole(Vec<u8>),
    Values(JsonValues),
    Text(TextReader),
    Messages(Messages),
}

/// The protocol's reading of frames, and how far the answer has come.
#[derive(Debug)]
struct Frames {
    state: State,
    seen: bool,
    /// Answers of the request.
    answers: u32,
    /// Those that are still to tell why they ended.
    unfinished: u32,
    ended: bool,
}

#[derive(Debug)]
enum State {
    OpenAi(openai::State),
    Tgi,
    TritonVllm(triton_vllm::State),
    TritonTensorRtLlm(triton_tensorrt_llm::State),
    LlamaCpp(llama_cpp::State),
    Http(Reader),
    TritonGrpc(grpc::triton::State),
    JetStreamGrpc(grpc::jetstream::State),
    TorchServeGrpc(grpc::torchserve::State),
}

impl Decoder {
    pub(super) fn new(protocol: Protocol, answers: u32) -> Self {
        let state = match protocol {
            Protocol::OpenAiCompletions | Protocol::OpenAiChat => {
                State::OpenAi(openai::State::default())
            }
            Protocol::Tgi => State::Tgi,
            Protocol::TritonVllm => State::TritonVllm(triton_vllm::State::default()),
            Protocol::TritonTensorRtLlm => {
                State::TritonTensorRtLlm(triton_tensorrt_llm::State::default())
            }
            Protocol::LlamaCpp => State::LlamaCpp(llama_cpp::State::default()),
            Protocol::TritonVllmGrpc => State::TritonGrpc(grpc::triton::State::default()),
            Protocol::TritonTensorRtLlmGrpc => State::TritonGrpc(grpc::triton::State::growing()),
            Protocol::JetStreamGrpc => State::JetStreamGrpc(grpc::jetstream::State::default()),
            Protocol::KserveV2Grpc => State::TritonGrpc(grpc::triton::State::whole()),
            Protocol::TorchServeGrpc => State::TorchServeGrpc(grpc::torchserve::State::default()),
            // Their codecs make readers: see `http`.
            Protocol::Http
            | Protocol::TorchServe
            | Protocol::TransformersInstances
            | Protocol::Sax
            | Protocol::JetStream
            | Protocol::KserveV2 => State::Http(Reader::new(Arc::default(), false, None)),
        };
        let mut decoder = Self::of(state, answers);
        if protocol.is_grpc() {
            decoder.framing = Framing::Messages(Messages::default());
        }
        decoder
    }

    /// The decoder of a protocol that is data.
    pub(super) fn http(reader: Reader) -> Self {
        Self::of(State::Http(reader), 1)
    }

    fn of(state: State, answers: u32) -> Self {
        Self {
            framing: Framing::Undecided,
            frames: Frames {
                state,
                seen: false,
                answers,
                unfinished: answers,
                ended: false,
            },
        }
    }

    /// Takes the next bytes of the body, without transfer encoding, and hands over what they
    /// complete.
    ///
    /// # Errors
    /// See [`DecodeError`]; `Truncated` and `Empty` come from [`Self::finish`] alone. The decoder
    /// is of no use after an error.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        if let Framing::Undecided = self.framing
            && let State::Http(reader) = &self.frames.state
            && reader.is_text()
        {
            self.framing = Framing::Text(TextReader::default());
        }
        if let Framing::Undecided = self.framing {
            let is_data = matches!(self.frames.state, State::Http(_));
            // In whichever piece it comes.
            bytes = bytes.trim_ascii_start();
            match bytes.first() {
                None => return Ok(()),
                Some(b'{' | b'[' | b'"') if is_data => {
                    self.framing = Framing::Values(JsonValues::default());
                }
                Some(b'{') => self.framing = Framing::Whole(Vec::new()),
                Some(_) => self.framing = Framing::Events(SseParser::default()),
            }
        }
        match &mut self.framing {
            Framing::Undecided => Ok(()),
            Framing::Events(parser) => {
                let mut outcome = Ok(());
                let fed = parser.feed(bytes, &mut |event| {
                    if outcome.is_ok() {
                        outcome = self.frames.take(event, on_event);
                    }
                });
                // A frame that cannot be read comes before one that is too large.
                outcome?;
                Ok(fed?)
            }
            Framing::Values(values) => {
                let mut outcome = Ok(());
                let fed = values.feed(bytes, &mut |value| {
                    if outcome.is_ok() {
                        outcome = self.frames.read(value, on_event, false);
                    }
                });
                outcome?;
                Ok(fed?)
            }
            Framing::Text(text) => {
                let frames = &mut self.frames;
                Ok(text.feed(bytes, &mut |text| frames.read_text(text, on_event))?)
            }
            Framing::Messages(messages) => {
                let mut outcome = Ok(());
                let fed = messages.feed(bytes, &mut |message| {
                    if outcome.is_ok() {
                        outcome = self.frames.read(message, on_event, false);
                    }
                });
                outcome?;
                Ok(fed?)
            }
            Framing::Whole(body) => {
                if body.len() + bytes.len() > MAX_EVENT_BYTES {
                    return Err(DecodeError::FrameTooLarge {
                        limit: MAX_EVENT_BYTES,
                    });
                }
                body.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Tells that the body has ended.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn finish(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        match std::mem::replace(&mut self.framing, Framing::Undecided) {
            Framing::Undecided => {}
            Framing::Events(mut parser) => {
                let mut outcome = Ok(());
                parser.finish(&mut |event| outcome = self.frames.take(event, on_event));
                match outcome {
                    // The end of the body cut through a frame.
                    Err(DecodeError::Protocol(_)) => return Err(DecodeError::Truncated),
                    outcome => outcome?,
                }
                if let Some(line) = parser.unknown().filter(|_| !self.frames.seen) {
                    return Err(DecodeError::Protocol(format!(
                        "no event, but lines such as {:?}",
                        excerpt(line)
                    )));
                }
            }
            Framing::Values(values) if values.is_within() => return Err(DecodeError::Truncated),
            Framing::Text(text) if text.is_within() => return Err(DecodeError::Truncated),
            Framing::Messages(messages) if messages.is_within() => {
                return Err(DecodeError::Truncated);
            }
            Framing::Values(_) | Framing::Text(_) | Framing::Messages(_) => {}
            Framing::Whole(body) => match self.frames.take_whole(&body, on_event) {
                Err(DecodeError::Protocol(_)) if is_cut(&body) => {
                    return Err(DecodeError::Truncated);
                }
                outcome => outcome?,
            },
        }
        self.frames.finish(on_event)
    }
}

/// Whether a JSON text breaks off at its end.
fn is_cut(body: &[u8]) -> bool {
    !body.trim_ascii_end().ends_with(b"}")
        || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err_and(|error| error.is_eof())
}

impl Frames {
    fn take(
        &mut self,
        event: SseEvent<'_>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let data = event.data.trim_ascii();
        if self.ended || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            if self.seen {
                self.ended = true;
                on_event(Event::End);
            }
            return Ok(());
        }
        if event.name == b"error" {
            return Err(DecodeError::stream(&error_text(data)));
        }
        self.read(data, on_event, false)
    }

    fn take_whole(
        &mut self,
        body: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        self.read(body, on_event, true)?;
        // Some servers give no reason in a whole answer.
        if self.answers == 1 {
            self.unfinished = 0;
        }
        Ok(())
    }

    fn read(
        &mut self,
        data: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
        whole: bool,
    ) -> Result<(), DecodeError> {
        self.seen = true;
        let (unfinished, ended) = (&mut self.unfinished, &mut self.ended);
        let mut watch = |event: Event<'_>| {
            match event {
                Event::Finish { .. } => *unfinished = unfinished.saturating_sub(1),
                Event::End => *ended = true,
                Event::Content { .. } | Event::Usage { .. } => {}
            }
            on_event(event);
        };
        match &mut self.state {
            State::OpenAi(state) => state.read(data, whole, &mut watch),
            State::Tgi => tgi::read(data, &mut watch),
            State::TritonVllm(state) => state.read(data, &mut watch),
            State::TritonTensorRtLlm(state) => state.read(data, &mut watch),
            State::LlamaCpp(state) => state.read(data, &mut watch),
            State::Http(reader) => reader.read(data, &mut watch),
            State::TritonGrpc(state) => state.read(data, &mut watch),
            State::JetStreamGrpc(state) => state.read(data, &mut watch),
            State::TorchServeGrpc(state) => state.read(data, &mut watch),
        }
    }

    fn read_text(&mut self, text: &str, on_event: &mut dyn FnMut(Event<'_>)) {
        self.seen = true;
        if let State::Http(reader) = &mut self.state {
            reader.read_text(text, on_event);
        }
    }

    fn finish(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        // With several answers the end of the stream does not make up for one that is missing.
        if self.ended && (self.answers == 1 || self.unfinished == 0) {
            return Ok(());
        }
        if !self.seen {
            return Err(DecodeError::Empty);
        }
        if let State::Http(reader) = &self.state
            && let Some(error) = reader.nothing_found()
        {
            return Err(error);
        }
        if self.ended || (self.unfinished > 0 && !self.ends_with_its_body()) {
            return Err(DecodeError::Truncated);
        }
        self.ended = true;
        on_event(Event::End);
        Ok(())
    }

    /// Whether the end of the body is the only end that the server sends.
    fn ends_with_its_body(&self) -> bool {
        match &self.state {
            State::OpenAi(_) | State::Tgi | State::LlamaCpp(_) => false,
            State::TritonVllm(state) => !state.tells_finish,
            State::TritonTensorRtLlm(state) => !state.tells_finish,
            State::Http(reader) => reader.ends_with_its_body(),
            // The call's own status tells.
            State::TritonGrpc(state) => !state.tells_finish,
            State::JetStreamGrpc(_) => true,
            State::TorchServeGrpc(state) => !state.is_within(),
        }
    }
}

/// The message of an event that is named `error`.
fn error_text(data: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        error: super::json::ErrorField,
    }
    if let Ok(body) = serde_json::from_slice::<Body>(data) {
        return body.error.0;
    }
    match serde_json::from_slice::<super::json::ErrorField>(data) {
        Ok(error) => error.0,
        Err(_) => String::from_utf8_lossy(data).into_owned(),
    }
}
