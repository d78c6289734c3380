//! Frames read by JSON pointers.

use std::sync::Arc;

use bakeoff_crds::run::{HttpAnswer, HttpFraming, HttpText};
use serde_json::Value;

use crate::protocol::{DecodeError, Event, FinishReason, json::ErrorField, so_far::SoFar};

/// Reads the frames of one answer, or a whole one.
#[derive(Debug)]
pub struct Reader {
    answer: Arc<HttpAnswer>,
    /// Whether it was asked for as a stream.
    streams: bool,
    /// What the text begins with and is no part of the answer, and how much of it has come.
    echo: Option<(Arc<str>, usize)>,
    so_far: SoFar,
    /// Whether any place held anything.
    found: bool,
}

impl Reader {
    /// A reader at the beginning of an answer to `prompt`.
    pub fn new(answer: Arc<HttpAnswer>, streams: bool, prompt: Option<Arc<str>>) -> Self {
        Self {
            streams,
            echo: prompt.filter(|_| answer.echoes_prompt).map(|it| (it, 0)),
            so_far: SoFar::default(),
            found: false,
            answer,
        }
    }

    /// Whether the body is bare text.
    pub fn is_text(&self) -> bool {
        self.answer.framing == HttpFraming::Text
    }

    /// Whether the end of the body is the only end that the server sends.
    pub fn ends_with_its_body(&self) -> bool {
        !self.streams || self.answer.finish_reason.is_empty()
    }

    /// What is wrong with an answer of which no frame held anything.
    pub fn nothing_found(&self) -> Option<DecodeError> {
        let places = self.answer.text.join(" or ");
        (!self.found && !self.is_text()).then(|| {
            DecodeError::Protocol(format!("no frame holds anything at {places} (answer.text)"))
        })
    }

    /// Reads a piece of bare text.
    pub fn read_text(&mut self, text: &str, on_event: &mut dyn FnMut(Event<'_>)) {
        self.piece(text, None, on_event);
    }

    /// Reads a frame, or a whole answer.
    pub fn read(
        &mut self,
        data: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let frame: Value =
            serde_json::from_slice(data).map_err(|error| DecodeError::json(&error, data))?;
        let answer = Arc::clone(&self.answer);
        if let Some(error) = first(&frame, &answer.error).filter(|error| tells(error)) {
            let words = serde_json::from_value::<ErrorField>(error.clone());
            return Err(DecodeError::stream(
                words.as_ref().map_or("without a message", |error| &error.0),
            ));
        }
        let input_tokens = count(&frame, &answer.input_tokens)?;
        let output_tokens = count(&frame, &answer.output_tokens)?;
        let reason = first(&frame, &answer.finish_reason);
        let finish = reason.filter(|reason| tells(reason)).map(|reason| {
            let word = reason.as_str().unwrap_or_default();
            FinishReason::from_engine(word)
        });
        let text = first(&frame, &answer.text);
        self.found |=
            text.is_some() || reason.is_some() || input_tokens.is_some() || output_tokens.is_some();
        match text {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => {
                let tokens = output_tokens.filter(|_| !self.streams);
                match answer.text_is {
                    HttpText::Piece => self.piece(text, tokens, on_event),
                    HttpText::SoFar => self.grown(text, tokens, finish.is_some(), on_event),
                }
            }
            Some(other) => {
                let places = answer.text.join(" or ");
                return Err(DecodeError::Protocol(format!(
                    "at {places} (answer.text) stands {other}, which is no text"
                )));
            }
        }
        if input_tokens.is_some() || output_tokens.is_some() {
            on_event(Event::Usage {
                input_tokens,
                output_tokens,
            });
        }
        if let Some(reason) = finish {
            on_event(Event::Finish { reason });
        }
        Ok(())
    }

    fn piece(&mut self, text: &str, tokens: Option<u32>, on_event: &mut dyn FnMut(Event<'_>)) {
        let Some((echo, come)) = &mut self.echo else {
            return content(text, tokens, on_event);
        };
        let rest = echo.get(*come..).unwrap_or_default();
        if let Some(new) = text.strip_prefix(rest) {
            self.echo = None;
            return content(new, tokens, on_event);
        }
        if rest.starts_with(text) {
            *come += text.len();
            return;
        }
        // It is no echo after all: what was kept back belongs to the answer.
        let kept = format!("{}{text}", echo.get(..*come).unwrap_or_default());
        self.echo = None;
        content(&kept, tokens, on_event);
    }

    fn grown(
        &mut self,
        text: &str,
        tokens: Option<u32>,
        last: bool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) {
        let own = match &self.echo {
            None => text,
            Some((echo, _)) => match text.strip_prefix(&**echo) {
                Some(own) => own,
                None if echo.starts_with(text) => "",
                None => text,
            },
        };
        content(self.so_far.new_part(own, last), tokens, on_event);
    }
}

fn content(text: &str, tokens: Option<u32>, on_event: &mut dyn FnMut(Event<'_>)) {
    if !text.is_empty() {
        on_event(Event::Content {
            text,
            tokens,
            answer: 0,
        });
    }
}

/// What stands at the first of some places that is there.
fn first<'a>(frame: &'a Value, places: &[String]) -> Option<&'a Value> {
    places.iter().find_map(|place| frame.pointer(place))
}

/// Whether a value says something: null, false and the empty word do not.
fn tells(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && value.as_str() != Some("")
}

fn count(frame: &Value, places: &[String]) -> Result<Option<u32>, DecodeError> {
    match first(frame, places) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|count| u32::try_from(count).ok()) {
            Some(count) => Ok(Some(count)),
            None => Err(DecodeError::Protocol(format!(
                "at {} stands {value}, which is no number of tokens",
                places.join(" or ")
            ))),
        },
    }
}
