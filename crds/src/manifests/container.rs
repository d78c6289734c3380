//! What the pods of a run have in common.

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, EmptyDirVolumeSource, EnvVar, EnvVarSource,
        LocalObjectReference, PodSecurityContext, SeccompProfile, SecretKeySelector,
        SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{
    common::{LocalRef, SecretKeyRef, literal},
    profile::PodSecurity,
    run::ModelSpec,
};

/// User and group of our own pods.
pub(super) const NON_ROOT: i64 = 65532;

/// Pod-level security of our own pods, as the restricted pod security standard asks.
pub(super) fn restricted_pod() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(NON_ROOT),
        run_as_group: Some(NON_ROOT),
        fs_group: Some(NON_ROOT),
        seccomp_profile: Some(runtime_default()),
        ..PodSecurityContext::default()
    }
}

/// Container-level security of our own pods.
pub(super) fn restricted_container() -> SecurityContext {
    SecurityContext {
        read_only_root_filesystem: Some(true),
        ..unprivileged()
    }
}

/// Pod-level security of an engine's pod.
pub(super) fn engine_pod(level: PodSecurity) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: (level == PodSecurity::Restricted).then_some(true),
        seccomp_profile: Some(runtime_default()),
        ..PodSecurityContext::default()
    }
}

/// No way to more rights, whatever the user.
pub(super) fn unprivileged() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".into()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".into(),
        localhost_profile: None,
    }
}

/// A variable whose value is text: Kubernetes fills in nothing where it says `$(NAME)`
/// (<https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>).
pub(super) fn text_env(name: &str, value: impl Into<String>) -> EnvVar {
    env(name, literal(&value.into()))
}

/// A variable by value, in which Kubernetes fills in others.
pub(super) fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: Some(value.into()),
        value_from: None,
    }
}

/// A variable from a Secret. A missing Secret or key keeps the container from starting, and the
/// kubelet says which; an optional one is left out.
pub(super) fn secret_env(name: &str, secret: &SecretKeyRef, optional: bool) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.name.clone(),
                key: secret.key.clone(),
                optional: optional.then_some(true),
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// A variable from the pod's own fields.
pub(super) fn field_env(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(k8s_openapi::api::core::v1::ObjectFieldSelector {
                field_path: path.into(),
                ..Default::default()
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// What a container needs that loads from the model's repository: the Hugging Face token under both
/// names that programs look for, and the hub where it is another.
pub(super) fn hub_env(model: &ModelSpec) -> Vec<EnvVar> {
    let hub = model.hub.as_deref();
    let hub = hub.map(|hub| text_env("HF_ENDPOINT", hub.trim_end_matches('/')));
    let token = model.token_secret_ref.iter().flat_map(|token| {
        let names = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter();
        names.map(|name| secret_env(name, token, false))
    });
    token.chain(hub).collect()
}

/// A ConfigMap as a volume.
pub(super) fn config_map_volume(name: &str, config_map: &str) -> Volume {
    Volume {
        name: name.into(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.into(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A user's ConfigMap as a volume. Where it is missing the pod starts all the same, so that the
/// program in it can say so; the kubelet alone would wait for it without an end.
pub(super) fn optional_config_map_volume(name: &str, config_map: &str) -> Volume {
    let mut volume = config_map_volume(name, config_map);
    if let Some(source) = &mut volume.config_map {
        source.optional = Some(true);
    }
    volume
}

/// An empty volume, on disk or in memory.
pub(super) fn empty_volume(name: &str, memory: Option<Quantity>) -> Volume {
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: memory.is_some().then(|| "Memory".into()),
            size_limit: memory,
        }),
        ..Volume::default()
    }
}

/// A read-only mount.
pub(super) fn read_only(name: &str, path: &str, sub_path: Option<String>) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: Some(true),
        sub_path,
        ..VolumeMount::default()
    }
}

/// A writable mount.
pub(super) fn writable(name: &str, path: &str, sub_path: Option<String>) -> VolumeMount {
    VolumeMount {
        read_only: None,
        ..read_only(name, path, sub_path)
    }
}

/// Pull secrets as Kubernetes has them.
pub(super) fn pull_secrets(secrets: &[LocalRef]) -> Option<Vec<LocalObjectReference>> {
    let secrets: Vec<_> = secrets
        .iter()
        .map(|secret| LocalObjectReference {
            name: secret.name.clone(),
        })
        .collect();
    (!secrets.is_empty()).then_some(secrets)
}
