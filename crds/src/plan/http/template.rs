//! Requests made from a format's templates.

use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use crate::run::{HttpFormat, Sampling};

/// Steps that one template may take.
const FUEL: u64 = 50_000;

/// A format that gives no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct HttpFormatError {
    /// Which part, as a path in the format.
    pub place: String,
    /// What is wrong with it, and the remedy.
    pub cause: String,
}

/// What a body's template sees.
#[derive(Clone, Copy, Debug)]
pub struct BodyValues<'a> {
    /// The prompt as plain text, chat template applied.
    pub prompt: &'a str,
    /// The prompt as messages of a chat.
    pub messages: &'a [TemplateMessage<'a>],
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Sampling parameters.
    pub sampling: &'a Sampling,
    /// Name of the model, or of an adapter on it.
    pub model: &'a str,
    /// Whether the answer is asked for as a stream.
    pub stream: bool,
}

/// A message of a chat.
#[derive(Clone, Copy, Debug)]
pub struct TemplateMessage<'a> {
    /// `user`, `assistant` or `system`.
    pub role: &'a str,
    /// The text.
    pub content: &'a str,
}

/// The compiled templates of a format.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    environment: Environment<'static>,
    headers: Vec<String>,
    is_json: bool,
}

const PATH: &str = "path";
const BODY: &str = "body";

impl RequestTemplate {
    /// Reads the templates.
    ///
    /// # Errors
    /// Where one is malformed.
    pub fn new(format: &HttpFormat) -> Result<Self, HttpFormatError> {
        let is_json = format.content_type.ends_with("json");
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(move |name| {
            if name == BODY && is_json {
                AutoEscape::Json
            } else {
                AutoEscape::None
            }
        });
        let headers = format.headers.iter();
        let headers = headers.map(|(name, value)| (header_place(name), value.clone()));
        let parts = [
            (PATH.to_owned(), format.path.clone()),
            (BODY.to_owned(), format.body.clone()),
        ];
        for (place, template) in parts.into_iter().chain(headers) {
            environment
                .add_template_owned(place.clone(), template)
                .map_err(|error| wrong(&place, &error))?;
        }
        Ok(Self {
            environment,
            headers: format.headers.keys().cloned().collect(),
            is_json,
        })
    }

    /// The path of requests.
    ///
    /// # Errors
    /// Where the template cannot be rendered, or gives no path.
    pub fn path(&self, model: &str, stream: bool) -> Result<String, HttpFormatError> {
        let path = self.render(PATH, context! { model, stream })?;
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if path.starts_with('/') && path.bytes().all(plain) {
            return Ok(path);
        }
        Err(HttpFormatError {
            place: PATH.to_owned(),
            cause: format!("{path:?} is no path; percent-encode what is not plain ASCII"),
        })
    }

    /// Header fields of requests.
    ///
    /// # Errors
    /// Where a template cannot be rendered.
    pub fn headers(
        &self,
        model: &str,
        stream: bool,
    ) -> Result<Vec<(String, String)>, HttpFormatError> {
        let value = |name: &String| {
            let value = self.render(&header_place(name), context! { model, stream })?;
            Ok((name.clone(), value))
        };
        self.headers.iter().map(value).collect()
    }

    /// The body of one request.
    ///
    /// # Errors
    /// Where the template cannot be rendered, or gives no JSON where it should.
    pub fn body(&self, values: &BodyValues<'_>) -> Result<String, HttpFormatError> {
        let sampling = values.sampling;
        let messages = values.messages.iter();
        let messages: Vec<minijinja::Value> = messages
            .map(|it| context! { role => it.role, content => it.content })
            .collect();
        let body = self.render(
            BODY,
            context! {
                prompt => values.prompt,
                messages,
                maxTokens => values.max_tokens,
                temperature => sampling.temperature,
                topP => sampling.top_p,
                topK => sampling.top_k,
                seed => sampling.seed,
                stop => sampling.stop.clone(),
                ignoreEos => sampling.ignore_eos,
                model => values.model,
                stream => values.stream,
            },
        )?;
        if self.is_json
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&body)
        {
            return Err(HttpFormatError {
                place: BODY.to_owned(),
                cause: format!(
                    "it gives no JSON: {error}; values bring their own quotes, as in {{\"prompt\": {{{{ prompt }}}}}}"
                ),
            });
        }
        Ok(body)
    }

    /// Names that the body makes use of. What the path has is the same for all requests.
    pub fn mentioned(&self) -> BTreeSet<String> {
        let body = self.environment.get_template(BODY).into_iter();
        body.flat_map(|template| template.undeclared_variables(false))
            .collect()
    }

    fn render(&self, place: &str, values: minijinja::Value) -> Result<String, HttpFormatError> {
        let template = self.environment.get_template(place);
        template
            .and_then(|template| template.render(values))
            .map_err(|error| wrong(place, &error))
    }
}

fn header_place(name: &str) -> String {
    format!("headers.{name}")
}

fn wrong(place: &str, error: &minijinja::Error) -> HttpFormatError {
    // The chain holds the line and the name that is missing.
    let mut cause = error.to_string();
    if let Some(detail) = error.detail()
        && !cause.contains(detail)
    {
        cause = format!("{cause}: {detail}");
    }
    HttpFormatError {
        place: place.to_owned(),
        cause,
    }
}
