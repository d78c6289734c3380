//! Rendering of a profile's templates for one run.
//!
//! Templates see `model`, `tuning`, `hardware`, `workload` and `port`. A name that is not there is
//! an error, so that a typing mistake in a profile cannot pass for an absent setting; settings that
//! a run leaves out are there and none. The work that a template may do is bounded.

mod deployment;
mod ignored;
mod values;

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, Value, context};

use crate::{
    common::literal,
    run::{Adapter, BenchmarkRunSpec, EngineSpec, ModelSpec, Tuning},
};

/// Steps that one template may take.
const FUEL: u64 = 50_000;

/// A template that cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} of the profile: {cause}")]
pub struct RenderError {
    /// Which template, as a path in the profile.
    pub place: String,
    /// What is wrong with it.
    pub cause: String,
}

/// Renders the strings of one profile for one engine of one run.
#[derive(Debug)]
pub struct Renderer {
    environment: Environment<'static>,
    values: Value,
    model: ModelSpec,
}

impl Renderer {
    /// A renderer for one engine of a run, with the settings that hold for that engine.
    pub fn new(spec: &BenchmarkRunSpec, engine: &EngineSpec, tuning: &Tuning, port: u16) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(write_value);
        Self {
            environment,
            values: values::of(spec, engine, tuning, port),
            model: spec.model.clone(),
        }
    }

    /// Renders one template; `place` names it in errors and, by its ending, says how values are
    /// escaped.
    ///
    /// # Errors
    /// Where the template is malformed, uses a name that is not there or does not come to an end.
    pub fn render(&self, place: &str, template: &str) -> Result<String, RenderError> {
        self.environment
            .render_named_str(place, template, &self.values)
            .map_err(|error| {
                // The chain holds the line and the name that is missing.
                let mut cause = error.to_string();
                if let Some(detail) = error.detail()
                    && !cause.contains(detail)
                {
                    cause = format!("{cause}: {detail}");
                }
                RenderError {
                    place: place.to_owned(),
                    cause,
                }
            })
    }

    /// The name by which requests ask for an adapter, by a template over `adapter`.
    ///
    /// # Errors
    /// As [`Renderer::render`].
    pub fn adapter(&self, template: &str, adapter: &Adapter) -> Result<String, RenderError> {
        let with_adapter = Self {
            environment: self.environment.clone(),
            values: context! { adapter => values::of_adapter(&self.model, adapter), ..self.values.clone() },
            model: self.model.clone(),
        };
        with_adapter.render("protocols.adapter", template)
    }

    fn environment(
        &self,
        place: &str,
        templates: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, RenderError> {
        let mut env = BTreeMap::new();
        for (name, template) in templates {
            let value = self.render(&format!("{place}.env.{name}"), template)?;
            if !value.is_empty() {
                env.insert(name.clone(), value);
            }
        }
        Ok(env)
    }

    fn items(&self, place: &str, templates: &[String]) -> Result<Vec<String>, RenderError> {
        let mut rendered = Vec::new();
        for (index, template) in templates.iter().enumerate() {
            let item = self.render(&format!("{place}[{index}]"), template)?;
            let words = item.lines().filter(|word| !word.is_empty());
            rendered.extend(words.map(str::to_owned));
        }
        Ok(rendered)
    }
}

/// Writes a value of the run. In what Kubernetes fills variables in, arguments and environment, a
/// profile may say `$(NAME)`, and a run's values may not: a token would be told by whoever says its
/// name.
fn write_value(
    out: &mut minijinja::Output<'_>,
    state: &mut minijinja::State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if is_filled_in(state.name()) && text.contains('$') => {
            minijinja::escape_formatter(out, state, &Value::from(literal(text)))
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// Whether Kubernetes fills in variables in what is rendered for this place.
fn is_filled_in(place: &str) -> bool {
    !place.starts_with("files ")
        && [".args", ".command", ".env."]
            .iter()
            .any(|part| place.contains(part))
}
