//! A profile's containers, files and object, rendered.

use std::collections::BTreeMap;

use super::{RenderError, Renderer};
use crate::{
    common::shortened,
    plan::{Deployment, PlannedContainer, PlannedObject},
    profile::{EngineProfileSpec, FurtherContainer},
    run::EngineSpec,
};

impl Renderer {
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
}
