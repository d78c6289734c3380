//! Frames of OpenAI's completions and chat completions, as vLLM, llama.cpp, TGI, SGLang,
//! transformers serve, FastChat, TorchServe and paid endpoints send them.
//!
//! The two interfaces differ only in where the text stands (`text`; `delta` or `message`), so one
//! reader takes both.

use serde::Deserialize;

use super::{
    DecodeError, Event, FinishReason,
    json::{ErrorField, Text, text},
};

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    usage: Option<Usage>,
    error: Option<ErrorField>,
    #[serde(borrow)]
    object: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    /// FastChat's errors: the words stand in `text`.
    #[serde(default)]
    error_code: Option<i64>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    /// Place of its prompt in the request.
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    delta: Option<Message<'a>>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    /// The newer name of `reasoning_content`; servers in between send both, with the same text.
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
}

/// What must be known of the frames before.
#[derive(Debug, Default)]
pub struct State {
    /// Whether `usage` counts up from frame to frame (`continuous_usage_stats`). Shows at the first
    /// frame: usage that comes with the last frames only says nothing of any one frame.
    continuous: Option<bool>,
    completion_tokens: u32,
}

impl State {
    /// Reads a frame, or a `whole` answer.
    pub fn read(
        &mut self,
        data: &[u8],
        whole: bool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let frame: Frame<'_> =
            serde_json::from_slice(data).map_err(|error| DecodeError::json(&error, data))?;
        if let Some(message) = error_of(&frame) {
            return Err(DecodeError::stream(message));
        }
        let tokens = self.tokens(&frame, whole);
        let mut found = false;
        for choice in &frame.choices {
            let answer = choice.index;
            for text in texts(choice).filter(|text| !text.is_empty()) {
                // A frame's count goes with its first text.
                let tokens = if found { tokens.map(|_| 0) } else { tokens };
                on_event(Event::Content {
                    text,
                    tokens,
                    answer,
                });
                found = true;
            }
        }
        if let Some(choice) = frame.choices.first()
            && !found
            && !whole
            && tokens.is_some_and(|tokens| tokens > 0)
        {
            on_event(Event::Content {
                text: "",
                tokens,
                answer: choice.index,
            });
        }
        if let Some(usage) = &frame.usage {
            on_event(Event::Usage {
                input_tokens: usage.prompt_tokens,
                output_tokens: usage.completion_tokens,
            });
        }
        for reason in frame.choices.iter().filter_map(finish_reason) {
            on_event(Event::Finish {
                reason: FinishReason::from_engine(reason),
            });
        }
        Ok(())
    }

    /// Tokens in this frame, where it says so: by how much continuous usage grew, or all of them in
    /// a whole answer.
    fn tokens(&mut self, frame: &Frame<'_>, whole: bool) -> Option<u32> {
        if frame.choices.is_empty() {
            return None;
        }
        let completion_tokens = frame
            .usage
            .as_ref()
            .and_then(|usage| usage.completion_tokens);
        if whole {
            return completion_tokens;
        }
        let last_frame = frame
            .choices
            .iter()
            .any(|choice| finish_reason(choice).is_some());
        let continuous = *self
            .continuous
            .get_or_insert(completion_tokens.is_some() && !last_frame);
        let completion_tokens = completion_tokens.filter(|_| continuous)?;
        let grown = completion_tokens.saturating_sub(self.completion_tokens);
        self.completion_tokens = completion_tokens;
        Some(grown)
    }
}

/// The reason, on a last frame. Before it the field is null, absent (transformers serve) or empty
/// (TGI's completions).
fn finish_reason<'a>(choice: &'a Choice<'_>) -> Option<&'a str> {
    Some(text(&choice.finish_reason)).filter(|reason| !reason.is_empty())
}

fn texts<'a>(choice: &'a Choice<'_>) -> impl Iterator<Item = &'a str> {
    let message = choice.delta.as_ref().or(choice.message.as_ref());
    let reasoning = message.map_or("", |message| {
        let reasoning = text(&message.reasoning_content);
        if reasoning.is_empty() {
            text(&message.reasoning)
        } else {
            reasoning
        }
    });
    let content = message.map_or("", |message| text(&message.content));
    [text(&choice.text), reasoning, content].into_iter()
}

fn error_of<'a>(frame: &'a Frame<'_>) -> Option<&'a str> {
    if let Some(error) = &frame.error {
        return Some(&error.0);
    }
    if text(&frame.object) == "error" {
        return Some(text(&frame.message));
    }
    if frame.error_code.is_some_and(|code| code != 0) {
        return Some(text(&frame.text));
    }
    None
}
