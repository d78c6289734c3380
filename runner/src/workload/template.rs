//! Chat templates: from messages to the plain prompt of interfaces that take no messages.

use std::io::{self, Write};

use bakeoff_crds::common::shortened;
use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig};
use serde::Deserialize;

use crate::prompt::Message;

/// Name of the template within its environment, as it stands in error messages.
const NAME: &str = "chat_template";
/// Date for templates that put one into the system prompt: a fixed one, so that every run gets the
/// same prompts.
const DATE: &str = "01 Jan 2026";

/// Most instructions for one prompt. Models' templates take some fifty a message; one that takes so
/// many goes round in a loop. It takes a fraction of a second.
const MOST_STEPS: u64 = 1_000_000;
/// Most levels of loops and macros within each other, as minijinja counts them: a macro is ten or so.
/// Its own limit of 500 is for threads with much stack left.
const MOST_DEPTH: usize = 150;
/// Most bytes of one prompt: more than any model's context holds.
const MOST_BYTES: usize = 64 << 20;
/// Most characters of an error: a template can raise any text.
const MOST_SHOWN: usize = 500;

/// A model's chat template.
///
/// It is a program of whoever made the model. Its steps and the prompt's length are bounded; memory
/// for values within it is not, nor their depth: a namespace that is put into itself
/// (`{% set ns.x = ns %}`) and then printed overflows the stack in minijinja 3.0.5, which ends the
/// process.
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

/// What is used of a `tokenizer_config.json`.
#[derive(Debug, Default, Deserialize)]
struct Config {
    chat_template: Option<Templates>,
    bos_token: Option<SpecialToken>,
    eos_token: Option<SpecialToken>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SpecialToken {
    Text(String),
    Object { content: String },
}

impl SpecialToken {
    fn text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}

impl ChatTemplate {
    /// The template to use: `given` (`model.chatTemplate`), else the one of
    /// `tokenizer_config.json`, else none.
    ///
    /// # Errors
    /// When the configuration is no such JSON, or the template does not parse.
    pub fn choose(given: Option<&str>, config: Option<&[u8]>) -> Result<Option<Self>, String> {
        let config: Config = match config {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|error| {
                let error = shortened(&error.to_string(), MOST_SHOWN);
                format!("tokenizer_config.json: {error}")
            })?,
            None => Config::default(),
        };
        let own = config.chat_template.and_then(|templates| match templates {
            Templates::One(template) => Some(template),
            Templates::Named(templates) => templates
                .into_iter()
                .find(|candidate| candidate.name == "default")
                .map(|default| default.template),
        });
        let Some(source) = given.map(str::to_owned).or(own) else {
            return Ok(None);
        };
        let mut environment = environment();
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| told(&error))?;
        Ok(Some(Self {
            environment,
            bos_token: config.bos_token.map(SpecialToken::text).unwrap_or_default(),
            eos_token: config.eos_token.map(SpecialToken::text).unwrap_or_default(),
        }))
    }

    /// The plain prompt of a conversation, up to where the answer begins. Without the token of the
    /// beginning, which every engine adds itself: twice would change what the model sees.
    ///
    /// # Errors
    /// What the template says against the messages.
    pub fn render(&self, messages: &[Message]) -> Result<String, String> {
        let conversation: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        let values = context! {
            messages => conversation,
            add_generation_prompt => true,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
        };
        let mut prompt = Bounded(Vec::new());
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render_captured_to(values, &mut prompt))
            .map_err(|error| told(&error))?;
        let text = String::from_utf8(prompt.0).map_err(|error| error.to_string())?;
        Ok(match text.strip_prefix(self.bos_token.as_str()) {
            Some(rest) => rest.to_owned(),
            None => text,
        })
    }
}

/// Takes a prompt up to its bound.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            let message = format!("the prompt is longer than {MOST_BYTES} bytes");
            return Err(io::Error::other(message));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a template's error says, with what led to it.
fn told(error: &Error) -> String {
    let mut text = match error.kind() {
        ErrorKind::OutOfFuel => {
            format!("it takes over {MOST_STEPS} steps for one prompt ({error:#})")
        }
        _ => format!("{error:#}"),
    };
    if let Some(cause) = std::error::Error::source(error) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    shortened(&text, MOST_SHOWN)
}

/// Jinja as Hugging Face's transformers sets it up for chat templates.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // Settings that contradict each other are the only error, and these do not.
    if let Ok(syntax) = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
    {
        environment.set_syntax(syntax);
    }
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        },
    );
    environment.add_function("strftime_now", |_format: String| DATE);
    environment.set_fuel(Some(MOST_STEPS));
    environment.set_recursion_limit(MOST_DEPTH);
    environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::dataset::message;

    const MISTRAL: &str = "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'].strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}";

    fn config(template: &str) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({
            "chat_template": template, "bos_token": "<s>", "eos_token": {"content": "</s>"}
        }))
        .unwrap()
    }

    #[test]
    fn a_models_own_template_is_applied_without_its_first_token() {
        let template = ChatTemplate::choose(None, Some(&config(MISTRAL)))
            .unwrap()
            .unwrap();
        let messages = [
            message("user", " hi ".into()),
            message("assistant", "yes".into()),
            message("user", "more".into()),
        ];
        assert_eq!(
            template.render(&messages).unwrap(),
            "[INST] hi [/INST]yes</s>[INST] more [/INST]"
        );
    }

    #[test]
    fn a_given_template_comes_before_the_models_own() {
        let given = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
        let template = ChatTemplate::choose(Some(given), Some(&config(MISTRAL)))
            .unwrap()
            .unwrap();
        assert_eq!(
            template.render(&[message("user", "hi".into())]).unwrap(),
            "<|user|>hi<|assistant|>"
        );
        assert!(ChatTemplate::choose(None, None).unwrap().is_none());
    }

    #[test]
    fn of_several_templates_the_default_is_taken() {
        let config = br#"{"chat_template": [{"name": "rag", "template": "no"}, {"name": "default", "template": "yes"}]}"#;
        let template = ChatTemplate::choose(None, Some(config)).unwrap().unwrap();
        assert_eq!(template.render(&[]).unwrap(), "yes");
    }

    #[test]
    fn a_template_that_goes_on_for_ever_ends() {
        for (source, words) in [
            (
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                "1000000 steps",
            ),
            (
                "{% for a in range(99999) %}{{ messages[0].content }}{% endfor %}",
                "67108864 bytes",
            ),
            (
                "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
                "recursion",
            ),
            ("{{ raise_exception('x' * 100000) }}", "xxxx"),
            ("{{ 'x' * 100000000000 }}", "too large"),
        ] {
            let template = ChatTemplate::choose(Some(source), None).unwrap().unwrap();
            let long = message("user", "day ".repeat(10_000));
            let error = template.render(&[long]).unwrap_err();
            assert!(error.contains(words), "{source}: {error}");
            assert!(error.chars().count() <= MOST_SHOWN + 1, "{error}");
        }
        let nested = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
        assert!(ChatTemplate::choose(Some(&nested), None).is_err());
        // A conversation of thousands of messages is none of these.
        let template = ChatTemplate::choose(None, Some(&config(MISTRAL)))
            .unwrap()
            .unwrap();
        let talk: Vec<Message> = (0..4000)
            .map(|at| message(["user", "assistant"][at % 2], "time".into()))
            .collect();
        assert!(template.render(&talk).is_ok());
    }

    #[test]
    fn what_a_template_refuses_is_told() {
        let template = ChatTemplate::choose(None, Some(&config(MISTRAL)))
            .unwrap()
            .unwrap();
        let error = template
            .render(&[message("assistant", "first".into())])
            .unwrap_err();
        assert!(error.contains("must alternate"), "{error}");
        assert!(ChatTemplate::choose(Some("{% if %}"), None).is_err());
    }
}
