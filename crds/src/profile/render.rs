//! Rendering of a profile's templates for one run.
//!
//! Templates see `model`, `tuning`, `hardware`, `workload` and `port`. A name that is not there is
//! an error, so that a typing mistake in a profile cannot pass for an absent setting; settings that
//! a run leaves out are there and none. The work that a template may do is bounded.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::{EngineProfileSpec, FurtherContainer};
use crate::{
    common::{literal, shortened},
    plan::{Deployment, PlannedContainer, PlannedObject, prefetch},
    run::{
        Adapter, BenchmarkRunSpec, CachePolicy, Dtype, EngineSpec, KvCacheDtype, ModelSpec,
        SpeculativeDecoding, Tuning,
    },
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
            values: values(spec, engine, tuning, port),
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
            values: context! { adapter => adapter_value(&self.model, adapter), ..self.values.clone() },
            model: self.model.clone(),
        };
        with_adapter.render("protocols.adapter", template)
    }

    /// Renders the container and files of a profile.
    ///
    /// # Errors
    /// As [`Renderer::render`].
    pub fn deployment(
        &self,
        profile: &EngineProfileSpec,
        engine: &EngineSpec,
    ) -> Result<Deployment, RenderError> {
        let container = &profile.container;
        let image = engine.image.clone().or_else(|| container.image.clone());
        let image = image.unwrap_or_default();
        let mut args = self.items("container.args", &container.args)?;
        if container.accelerator {
            args.extend(engine.args.iter().cloned());
        }
        let further = |place: &str, container: &FurtherContainer, args: &[String]| {
            let mut planned = self.container(place, container, &image)?;
            planned.args.extend(args.iter().cloned());
            Ok(planned)
        };
        let mut containers = Vec::new();
        for container in &profile.containers {
            let place = format!("containers.{}", container.name);
            let own: &[String] = if container.accelerator {
                &engine.args
            } else {
                &[]
            };
            containers.push(further(&place, container, own)?);
        }
        let mut init_containers = Vec::new();
        for container in &profile.init_containers {
            let place = format!("initContainers.{}", container.name);
            init_containers.push(further(&place, &container.as_further(), &[])?);
        }
        let mut files = BTreeMap::new();
        for file in &profile.files {
            let content = self.render(&format!("files {}", file.path), &file.content)?;
            if !content.trim().is_empty() {
                files.insert(file.path.clone(), content);
            }
        }
        Ok(Deployment {
            command: self.items("container.command", &container.command)?,
            env: self.environment("container", &container.env)?,
            accelerator: container.accelerator,
            object: self.object(profile, &image)?,
            image,
            args,
            containers,
            init_containers,
            extra_env: engine.env.clone(),
            files,
            cache_path: profile.cache_path.clone(),
            build_path: profile.build_path.clone(),
            shared_memory: profile.shared_memory.clone().map(|size| size.0),
            readiness_path: self.render("readiness.path", &profile.readiness.path)?,
            pod_security: profile.pod_security,
        })
    }

    /// The object of a profile, where it has one.
    fn object(
        &self,
        profile: &EngineProfileSpec,
        image: &str,
    ) -> Result<Option<PlannedObject>, RenderError> {
        let Some(object) = &profile.object else {
            return Ok(None);
        };
        // The ending has values escaped as YAML.
        let place = "object.manifest.yaml";
        let text = self.render(place, &object.manifest)?;
        let fault = |cause: String| RenderError {
            place: "object.manifest".into(),
            cause,
        };
        let manifest = serde_saphyr::from_str(&text).map_err(|error| {
            fault(format!(
                "is not YAML: {}",
                shortened(&error.to_string(), 500)
            ))
        })?;
        let pods = object.pods.iter().map(|pod| {
            let place = format!("object.pods.{}", pod.name);
            self.container(&place, pod, image)
        });
        let planned = PlannedObject {
            api_version: object.api_version.clone(),
            kind: object.kind.clone(),
            resource: object.resource.clone(),
            manifest,
            readiness: object.readiness.clone(),
            probe: object.probe,
            ports: object
                .ports
                .iter()
                .map(|(name, port)| (name.clone(), port.0))
                .collect(),
            pods: pods.collect::<Result<_, _>>()?,
        };
        match planned.fault() {
            None => Ok(Some(planned)),
            Some(cause) => Err(fault(cause)),
        }
    }

    fn container(
        &self,
        place: &str,
        container: &FurtherContainer,
        image_of_engine: &str,
    ) -> Result<PlannedContainer, RenderError> {
        let image = container.image.clone();
        Ok(PlannedContainer {
            name: container.name.clone(),
            image: image.unwrap_or_else(|| image_of_engine.to_owned()),
            command: self.items(&format!("{place}.command"), &container.command)?,
            args: self.items(&format!("{place}.args"), &container.args)?,
            env: self.environment(place, &container.env)?,
            accelerator: container.accelerator,
            ready_port: container.ready_port,
        })
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

    /// Settings of `tuning` and `model` that no template of the profile mentions, though the run
    /// sets them: what this engine cannot honour.
    pub fn ignored_settings(&self, profile: &EngineProfileSpec) -> Vec<String> {
        let mentioned = self.mentioned(profile);
        let mut ignored: Vec<String> = OPTIONAL
            .iter()
            .filter(|path| self.is_set(path) && !mentioned.contains(**path))
            .map(|path| (*path).to_owned())
            .collect();
        // What is in a setting counts where the setting itself is known.
        let parts: Vec<String> = ignored.iter().map(|path| format!("{path}.")).collect();
        ignored.retain(|path| !parts.iter().any(|part| path.starts_with(part)));
        // A loop's own variable cannot be seen from outside its template.
        if self.has_adapter_revision() && !texts(profile).any(|it| it.contains("adapter.revision"))
        {
            ignored.push("model.adapters.revision".to_owned());
        }
        ignored
    }

    /// Whether the run says something of a setting, beyond its default.
    fn is_set(&self, path: &str) -> bool {
        let mut value = self.values.clone();
        for key in path.split('.') {
            match value.get_attr(key) {
                Ok(inner) => value = inner,
                Err(_) => return false,
            }
        }
        let by_default = match path {
            "model.dtype" => value.as_str() == Some("auto"),
            // Weights on a volume are there in one revision.
            "model.revision" => {
                let path = self
                    .values
                    .get_attr("model")
                    .and_then(|model| model.get_attr("path"));
                value.as_str() == Some("main") || path.is_ok_and(|path| !path.is_none())
            }
            _ => false,
        };
        !value.is_none() && !value.is_undefined() && !by_default
    }

    fn has_adapter_revision(&self) -> bool {
        let adapters = self
            .values
            .get_attr("model")
            .and_then(|model| model.get_attr("adapters"));
        let adapters = adapters.and_then(|adapters| adapters.try_iter());
        adapters.is_ok_and(|mut adapters| {
            adapters.any(|adapter| {
                let revision = adapter.get_attr("revision");
                revision.is_ok_and(|revision| !revision.is_none())
            })
        })
    }

    fn mentioned(&self, profile: &EngineProfileSpec) -> BTreeSet<String> {
        texts(profile)
            .filter_map(|text| self.environment.template_from_str(text).ok())
            .flat_map(|template| template.undeclared_variables(true))
            .collect()
    }
}

/// The templates of the containers.
fn texts(profile: &EngineProfileSpec) -> impl Iterator<Item = &String> {
    fn of<'a>(
        command: &'a [String],
        args: &'a [String],
        env: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a String> {
        command.iter().chain(args).chain(env.values())
    }
    let container = &profile.container;
    let further = profile.containers.iter();
    let before = profile.init_containers.iter();
    let object = profile.object.iter();
    of(&container.command, &container.args, &container.env)
        .chain(further.flat_map(|it| of(&it.command, &it.args, &it.env)))
        .chain(before.flat_map(|it| of(&it.command, &it.args, &it.env)))
        .chain(profile.files.iter().map(|file| &file.content))
        .chain(object.clone().map(|object| &object.manifest))
        .chain(
            object
                .flat_map(|object| &object.pods)
                .flat_map(|it| of(&it.command, &it.args, &it.env)),
        )
}

/// What is fetched for the engines is there in one revision.
fn adapter_value(model: &ModelSpec, adapter: &Adapter) -> Value {
    let path = prefetch::adapter_path(model, adapter);
    context! {
        name => adapter.name.clone(),
        revision => adapter.revision.clone().filter(|_| path.is_none()),
        id => path.unwrap_or_else(|| adapter.id.clone()),
    }
}

/// Settings that a run may leave out and that an engine may not know.
const OPTIONAL: [&str; 17] = [
    "model.dtype",
    "model.revision",
    "model.quantization",
    "model.maxModelLen",
    "model.chatTemplate",
    "tuning.maxBatchSize",
    "tuning.gpuMemoryUtilization",
    "tuning.tensorParallelSize",
    "tuning.pipelineParallelSize",
    "tuning.prefixCaching",
    "tuning.maxBatchedTokens",
    "tuning.chunkedPrefill",
    "tuning.inFlightBatching",
    "tuning.kvCacheDtype",
    "tuning.speculativeDecoding",
    "tuning.speculativeDecoding.draftModel",
    "tuning.speculativeDecoding.numTokens",
];

/// Most requests in flight that an engine should take where the load is an open loop, whose number
/// nobody knows beforehand.
const OPEN_LOOP_IN_FLIGHT: u32 = 100_000;

fn values(spec: &BenchmarkRunSpec, engine: &EngineSpec, tuning: &Tuning, port: u16) -> Value {
    let model = &spec.model;
    let own = engine.model.clone().unwrap_or_default();
    let claim_path = model.persistent_volume_claim.as_ref().map(|claim| {
        format!("/models/{}", claim.path)
            .trim_end_matches('/')
            .to_owned()
    });
    let claim_path = prefetch::model_path(model).or(claim_path);
    let path = own
        .path
        .or(if own.id.is_some() { None } else { claim_path });
    let id = own.id.unwrap_or_else(|| model.id.clone());
    let in_flight = spec.workload.sweep.concurrency.iter().max().copied();
    context! {
        model => context! {
            id => model.id.clone(),
            source => path.clone().unwrap_or(id),
            path => path,
            revision => model.revision.clone(),
            dtype => dtype(model.dtype),
            quantization => model.quantization.clone(),
            maxModelLen => model.max_model_len,
            chatTemplate => model.chat_template.clone(),
            adapters => model.adapters.iter().map(|adapter| adapter_value(model, adapter)).collect::<Vec<_>>(),
        },
        tuning => context! {
            maxBatchSize => tuning.max_batch_size,
            gpuMemoryUtilization => tuning.gpu_memory_utilization,
            tensorParallelSize => tuning.tensor_parallel_size,
            pipelineParallelSize => tuning.pipeline_parallel_size,
            prefixCaching => tuning.prefix_caching,
            maxBatchedTokens => tuning.max_batched_tokens,
            chunkedPrefill => tuning.chunked_prefill,
            inFlightBatching => tuning.in_flight_batching,
            kvCacheDtype => tuning.kv_cache_dtype.map(|KvCacheDtype::Fp8| "fp8"),
            speculativeDecoding => tuning.speculative_decoding.as_ref().map(speculative),
            maxAdapterRank => tuning.max_adapter_rank,
        },
        hardware => context! {
            acceleratorCount => spec.hardware.accelerator.count,
            nodes => spec.hardware.nodes(),
        },
        workload => context! {
            maxInputTokens => spec.workload.limits.max_input_tokens,
            maxOutputTokens => spec.workload.limits.max_output_tokens,
            cachePolicy => cache_policy(spec.workload.cache_policy),
            maxRequestsInFlight => if spec.workload.sweep.request_rate.is_empty() && !spec.workload.sweep.burst {
                in_flight.unwrap_or(32).max(128)
            } else {
                OPEN_LOOP_IN_FLIGHT
            },
        },
        port => port,
    }
}

fn cache_policy(policy: CachePolicy) -> &'static str {
    match policy {
        CachePolicy::AsIs => "AsIs",
        CachePolicy::Cold => "Cold",
        CachePolicy::Warm => "Warm",
    }
}

fn speculative(settings: &SpeculativeDecoding) -> Value {
    context! {
        method => settings.method.name(),
        draftModel => settings.draft_model.clone(),
        numTokens => settings.num_tokens,
    }
}

fn dtype(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Auto => "auto",
        Dtype::Float16 => "float16",
        Dtype::BFloat16 => "bfloat16",
        Dtype::Float32 => "float32",
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
