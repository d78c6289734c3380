//! Triton's `ModelStreamInfer` with the tensors of its vLLM and TensorRT-LLM (LLM API) backends, and
//! `ModelInfer` with texts for tensors, which KServe's other servers have too. Source of the shapes:
//! `protobuf/grpc_service.proto` of triton-inference-server/common, and the backends' `config.pbtxt`
//! and `request.py`.

use bytes::Bytes;

use super::{
    message,
    protobuf::{Fields, Malformed, Value, Writer, varint},
};
use crate::protocol::{
    DecodeError, Event, FinishReason, Request, so_far::SoFar, triton, triton_vllm,
};

/// Tensors of ModelInferRequest, each a list; of one element, but for texts.
#[derive(Default)]
struct Tensors {
    /// Whether shapes begin with that of a batch, in which the request is one.
    batched: bool,
    heads: Writer,
    contents: Vec<Vec<u8>>,
}

impl Tensors {
    fn push(&mut self, name: &str, datatype: &str, elements: u64, content: Vec<u8>) {
        let shape: &[u64] = if self.batched {
            &[1, elements]
        } else {
            &[elements]
        };
        let tensor = Writer::default()
            .bytes(1, name.as_bytes())
            .bytes(2, datatype.as_bytes())
            .numbers(3, shape);
        self.heads = std::mem::take(&mut self.heads).bytes(5, &tensor.0);
        self.contents.push(content);
    }

    /// Texts: each with its length in front, the lowest byte first.
    fn texts(&mut self, name: &str, texts: &[&str]) {
        let mut content = Vec::new();
        for text in texts {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            content.extend_from_slice(&length.to_le_bytes());
            content.extend_from_slice(text.as_bytes());
        }
        self.push(name, "BYTES", texts.len() as u64, content);
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.push(name, "BOOL", 1, vec![u8::from(value)]);
    }

    fn int32(&mut self, name: &str, value: u32) {
        self.push(name, "INT32", 1, value.to_le_bytes().to_vec());
    }

    fn float(&mut self, name: &str, value: f64) {
        // The backend's own precision.
        self.push(name, "FP32", 1, (value as f32).to_le_bytes().to_vec());
    }

    /// The message of a request by ModelStreamInfer. Without a last, empty response nothing but the end
    /// of the call would tell that the answer is whole.
    fn stream_request(self, model: &str) -> Bytes {
        let flag = Writer::default().number(1, 1);
        let parameter = Writer::default()
            .bytes(1, b"triton_enable_empty_final_response")
            .bytes(2, &flag.0);
        self.request(model, &Writer::default().bytes(4, &parameter.0), &[])
    }

    fn request(self, model: &str, parameters: &Writer, outputs: &[&str]) -> Bytes {
        let mut request = Writer::default().bytes(1, model.as_bytes());
        request.0.extend_from_slice(&parameters.0);
        request.0.extend_from_slice(&self.heads.0);
        for output in outputs {
            let output = Writer::default().bytes(1, output.as_bytes());
            request = request.bytes(6, &output.0);
        }
        for content in &self.contents {
            request = request.bytes(7, content);
        }
        message(&request.0).into()
    }
}

/// The message of a request to the vLLM backend.
pub fn encode_vllm(request: &Request<'_>) -> Bytes {
    let mut tensors = Tensors::default();
    tensors.texts("text_input", &[request.text()]);
    tensors.flag("stream", request.options.streaming);
    tensors.texts("sampling_parameters", &[&triton_vllm::sampling(request)]);
    tensors.flag("exclude_input_in_output", true);
    tensors.flag("return_finish_reason", true);
    tensors.flag("return_num_input_tokens", true);
    tensors.flag("return_num_output_tokens", true);
    tensors.stream_request(request.model)
}

/// The message of a request to TensorRT-LLM's LLM API backend. Greedy decoding as over HTTP.
pub fn encode_tensorrt_llm(request: &Request<'_>) -> Bytes {
    let sampling = &request.options.sampling;
    let greedy = sampling.temperature <= 0.0;
    let mut tensors = Tensors::default();
    tensors.texts("text_input", &[request.text()]);
    tensors.flag("streaming", request.options.streaming);
    tensors.int32("sampling_param_max_tokens", request.max_tokens());
    let temperature = if greedy { 1.0 } else { sampling.temperature };
    tensors.float("sampling_param_temperature", temperature);
    if let Some(top_k) = if greedy { Some(1) } else { sampling.top_k } {
        tensors.int32("sampling_param_top_k", top_k);
    }
    tensors.float("sampling_param_top_p", sampling.top_p.unwrap_or(1.0));
    if let Some(seed) = sampling.seed {
        tensors.push(
            "sampling_param_seed",
            "UINT64",
            1,
            seed.to_le_bytes().to_vec(),
        );
    }
    if !sampling.stop.is_empty() {
        let stop: Vec<&str> = sampling.stop.iter().map(String::as_str).collect();
        tensors.texts("sampling_param_stop", &stop);
    }
    tensors.flag("sampling_param_exclude_input_from_output", true);
    tensors.flag("return_finish_reason", true);
    tensors.stream_request(request.model)
}

/// The message of a request by ModelInfer to a model with texts for tensors: those that the infer call
/// over HTTP has.
pub fn encode_texts(request: &Request<'_>) -> Bytes {
    let mut tensors = Tensors {
        batched: true,
        ..Tensors::default()
    };
    tensors.texts("text_input", &[request.text()]);
    tensors.int32("max_tokens", request.max_tokens());
    tensors.request(request.model, &Writer::default(), &["text_output"])
}

/// What must be known of the responses before.
#[derive(Debug, Default)]
pub struct State {
    /// Whether `text_output` holds the whole text so far, as TensorRT-LLM's backend writes it.
    grows: bool,
    /// Whether a message is the bare response of ModelInfer, whose errors are the call's status.
    bare: bool,
    /// Whether responses say why generation ended: then the last one must.
    pub tells_finish: bool,
    so_far: SoFar,
    output_tokens: Option<u32>,
}

/// What a response holds.
#[derive(Debug, Default)]
struct Response<'a> {
    text: Option<&'a str>,
    finish: Option<&'a str>,
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    is_final: bool,
}

impl State {
    /// The state of answers by TensorRT-LLM's backend.
    pub fn growing() -> Self {
        Self {
            grows: true,
            ..Self::default()
        }
    }

    /// The state of an answer by ModelInfer.
    pub fn whole() -> Self {
        Self {
            bare: true,
            ..Self::default()
        }
    }

    /// Reads a ModelStreamInferResponse, or a ModelInferResponse.
    pub fn read(
        &mut self,
        data: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let response = if self.bare {
            infer_response(data)?
        } else {
            stream_response(data)?
        };
        let finish = response.finish.and_then(triton::finish);
        self.tells_finish |= response.finish.is_some();
        if let Some(tokens) = response.output_tokens {
            self.output_tokens = Some(self.output_tokens.unwrap_or(0).saturating_add(tokens));
        }
        if let Some(text) = response.text {
            let text = match self.grows {
                true => self.so_far.new_part(text, finish.is_some()),
                false => text,
            };
            let tokens = response.output_tokens;
            if !text.is_empty() || tokens.is_some_and(|tokens| tokens > 0) {
                on_event(Event::Content {
                    text,
                    tokens,
                    answer: 0,
                });
            }
        } else if !response.is_final {
            return Err(DecodeError::Protocol(
                "a response has no output `text_output`".to_owned(),
            ));
        }
        if response.input_tokens.is_some() || response.output_tokens.is_some() {
            on_event(Event::Usage {
                input_tokens: response.input_tokens,
                output_tokens: self.output_tokens,
            });
        }
        if let Some(reason) = finish {
            on_event(Event::Finish { reason });
        } else if response.is_final && !self.tells_finish {
            on_event(Event::Finish {
                reason: FinishReason::Other,
            });
        }
        Ok(())
    }
}

/// Reads a ModelStreamInferResponse: a response, or an error in place of one.
fn stream_response(data: &[u8]) -> Result<Response<'_>, DecodeError> {
    let mut response = Response::default();
    for field in Fields(data) {
        match field.map_err(malformed)? {
            (1, Value::Bytes(error)) if !error.is_empty() => {
                return Err(DecodeError::stream(&String::from_utf8_lossy(error)));
            }
            (2, Value::Bytes(inner)) => response = infer_response(inner)?,
            _ => {}
        }
    }
    Ok(response)
}

/// Reads a ModelInferResponse, whose tensors' contents follow one another outside of them.
fn infer_response(data: &[u8]) -> Result<Response<'_>, DecodeError> {
    let mut names = Vec::new();
    let mut contents = Vec::new();
    let mut response = Response::default();
    for field in Fields(data) {
        match field.map_err(malformed)? {
            (4, Value::Bytes(parameter)) => response.is_final |= is_final(parameter)?,
            (5, Value::Bytes(tensor)) => {
                let mut name: &[u8] = &[];
                let mut own = None;
                for field in Fields(tensor) {
                    match field.map_err(malformed)? {
                        (1, Value::Bytes(bytes)) => name = bytes,
                        (5, Value::Bytes(bytes)) => own = Some(bytes),
                        _ => {}
                    }
                }
                names.push((name, own));
            }
            (6, Value::Bytes(content)) => contents.push(content),
            _ => {}
        }
    }
    for (place, (name, own)) in names.into_iter().enumerate() {
        let raw = contents.get(place).copied();
        match name {
            b"text_output" => response.text = text(raw, own)?,
            b"finish_reason" => response.finish = text(raw, own)?,
            b"num_input_tokens" => response.input_tokens = number(raw, own)?,
            b"num_output_tokens" => response.output_tokens = number(raw, own)?,
            _ => {}
        }
    }
    Ok(response)
}

/// Whether a parameter says that no further response comes.
fn is_final(parameter: &[u8]) -> Result<bool, DecodeError> {
    let (mut named, mut yes) = (false, false);
    for field in Fields(parameter) {
        match field.map_err(malformed)? {
            (1, Value::Bytes(name)) => named = name == b"triton_final_response",
            (2, Value::Bytes(value)) => {
                for field in Fields(value) {
                    yes |= field.map_err(malformed)? == (1, Value::Number(1));
                }
            }
            _ => {}
        }
    }
    Ok(named && yes)
}

/// The first text of a tensor, from its raw content or from `InferTensorContents`.
fn text<'a>(raw: Option<&'a [u8]>, own: Option<&'a [u8]>) -> Result<Option<&'a str>, DecodeError> {
    let bytes = match (raw, own) {
        (Some(raw), _) => {
            let Some((length, rest)) = raw.split_first_chunk::<4>() else {
                return Ok(None);
            };
            let length = u32::from_le_bytes(*length) as usize;
            Some(rest.get(..length).ok_or_else(|| malformed(Malformed))?)
        }
        (None, Some(own)) => match field(own, 8)? {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        },
        (None, None) => None,
    };
    let text = bytes.map(std::str::from_utf8).transpose();
    text.map_err(|_| DecodeError::Protocol("a text tensor is not UTF-8".to_owned()))
}

/// The first number of a tensor of UINT32, from its raw content or from `InferTensorContents`.
fn number(raw: Option<&[u8]>, own: Option<&[u8]>) -> Result<Option<u32>, DecodeError> {
    if let Some(raw) = raw {
        let bytes = raw.first_chunk::<4>();
        return Ok(bytes.map(|bytes| u32::from_le_bytes(*bytes)));
    }
    let Some(own) = own else {
        return Ok(None);
    };
    let value = match field(own, 4)? {
        Some(Value::Number(number)) => Some(number),
        Some(Value::Bytes(mut packed)) => varint(&mut packed),
        _ => None,
    };
    Ok(value.and_then(|value| u32::try_from(value).ok()))
}

fn field(message: &[u8], number: u64) -> Result<Option<Value<'_>>, DecodeError> {
    for field in Fields(message) {
        let (found, value) = field.map_err(malformed)?;
        if found == number {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn malformed(_: Malformed) -> DecodeError {
    DecodeError::Protocol("a message is not what its .proto says".to_owned())
}
