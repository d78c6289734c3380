//! Requests of any shape, and where their answers hold what: what is said of a server in place of
//! code that knows it.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an engine is asked over HTTP, as data.
///
/// `path`, `headers` and `body` are minijinja templates. A name that is not there is an error. In a
/// body of JSON each value is written as JSON, quotes and escapes included: `{"prompt": {{ prompt }}}`.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpFormat {
    /// Path of the POST, a template over `model` and `stream`.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/.*$"))]
    pub path: String,
    /// Further header fields, each value a template over `model` and `stream`. Not for secrets: an
    /// API key comes by `apiKeySecretRef`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub headers: BTreeMap<String, String>,
    /// Media type of the body. Values are written as JSON where it ends in `json`, else as they are.
    #[serde(default = "json")]
    #[schemars(
        length(min = 3, max = 128),
        regex(pattern = r"^[a-z]+/[A-Za-z0-9.+-]+$")
    )]
    pub content_type: String,
    /// The body, a template over `prompt`, `messages`, `maxTokens`, `temperature`, `topP`, `topK`,
    /// `seed`, `stop`, `ignoreEos`, `model` and `stream`; those that the run leaves out are none.
    #[schemars(length(min = 1, max = 16_384))]
    pub body: String,
    /// Where the answer holds what.
    pub answer: HttpAnswer,
}

/// Where an answer holds what. Places are JSON pointers; of several, the first that is there counts.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.framing == 'Text') != has(self.text)")
    .message("text says where JSON holds the answer; give it with framing Json, and leave it out with Text"))]
#[x_kube(validation = Rule::new(
    "self.framing == 'Json' || (!has(self.inputTokens) && !has(self.outputTokens) && !has(self.finishReason))")
    .message("a bare text holds no inputTokens, outputTokens and finishReason; remove them, or set framing to Json"))]
#[x_kube(validation = Rule::new("self.framing == 'Json' || self.textIs == 'Piece'")
    .message("bare text comes piece by piece; set textIs to Piece, or framing to Json"))]
pub struct HttpAnswer {
    /// Whether the server can stream. Where it cannot, a run that streams takes its whole answers,
    /// and there is no time to first token.
    #[serde(default = "yes")]
    pub streams: bool,
    /// What the body is made of.
    #[serde(default)]
    pub framing: HttpFraming,
    /// The text, in a frame of a stream or in a whole answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 4),
        inner(length(max = 256), regex(pattern = r"^(/.*)?$"))
    )]
    pub text: Vec<String>,
    /// Whether a frame holds its own piece of text or all of it so far.
    #[serde(default)]
    pub text_is: HttpText,
    /// Whether the text begins with the prompt, which is no part of the answer.
    #[serde(default)]
    pub echoes_prompt: bool,
    /// Tokens of the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 4),
        inner(length(max = 256), regex(pattern = r"^/.*$"))
    )]
    pub input_tokens: Vec<String>,
    /// Tokens of the answer so far; the last such count holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 4),
        inner(length(max = 256), regex(pattern = r"^/.*$"))
    )]
    pub output_tokens: Vec<String>,
    /// Why generation ended: a word, or `true`; null, false and the empty word mean that it goes on.
    /// Given here, a stream that ends without it was cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 4),
        inner(length(max = 256), regex(pattern = r"^/.*$"))
    )]
    pub finish_reason: Vec<String>,
    /// An error within HTTP 200: a text, or an object with `message`. Left out: `/error`.
    #[serde(default = "error", skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 4),
        inner(length(max = 256), regex(pattern = r"^/.*$"))
    )]
    pub error: Vec<String>,
}

/// What the body of an answer is made of.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum HttpFraming {
    /// JSON: server-sent events, lines, values one after the other, or one value. Which of these
    /// shows at the first byte.
    #[default]
    Json,
    /// Bare text, each chunk of it a piece of the answer.
    Text,
}

/// What a frame's text is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum HttpText {
    /// The next piece.
    #[default]
    Piece,
    /// Everything so far.
    SoFar,
}

fn json() -> String {
    "application/json".into()
}

fn error() -> Vec<String> {
    vec!["/error".into()]
}

fn yes() -> bool {
    true
}
