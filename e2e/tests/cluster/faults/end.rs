//! What a run leaves behind, in a form that can be compared between runs.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use bakeoff_crds::manifests::labels;
use bakeoff_crds::run::BenchmarkRun;
use bakeoff_e2e::harness::Namespace;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::machine::Account;

/// What a run leaves behind, with times and chance names taken out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct End {
    /// The run's status.
    pub(super) status: Value,
    /// Kind and name of each object that is left. A Job's pods are left out, their Job stands for
    /// them.
    pub(super) objects: BTreeSet<String>,
    /// Engine and round of each pod that made load.
    pub(super) driven: Vec<String>,
    /// What the last reporter read.
    pub(super) outcome: Value,
}

impl End {
    /// What holds a place in the cluster: pods, and addresses of pods.
    pub(super) fn held(&self) -> Vec<&str> {
        let objects = self.objects.iter().map(String::as_str);
        objects
            .filter(|object| object.starts_with("Pod ") || object.starts_with("Service "))
            .collect()
    }
}

/// The run as it is now, and what is beside it.
pub(super) async fn look(namespace: &Namespace, account: Account) -> Result<End> {
    let run = namespace.api::<BenchmarkRun>().get("played").await?;
    let uid = run.uid().context("a run has a UID")?;
    let plain = |text: &str| {
        text.replace(&uid, "UID")
            .replace(&format!("-{}", &uid[..5]), "-UID5")
            .replace(&namespace.name, "NAMESPACE")
    };
    let mut objects = BTreeSet::new();
    objects.extend(names::<ConfigMap>(namespace, &uid).await?);
    objects.extend(names::<Service>(namespace, &uid).await?);
    objects.extend(names::<Job>(namespace, &uid).await?);
    objects.extend(names::<Pod>(namespace, &uid).await?);
    let mut status = run.status.context("a run has a status")?;
    // Set as they come, which a failure at the start turns round.
    status
        .conditions
        .sort_by(|one, other| one.type_.cmp(&other.type_));
    let mut status = serde_json::to_value(status)?;
    simplify(&mut status, &plain);
    let mut outcome = account.outcomes.last().cloned().unwrap_or_default();
    simplify(&mut outcome, &plain);
    Ok(End {
        status,
        objects: objects.iter().map(|name| plain(name)).collect(),
        driven: account.driven,
        outcome,
    })
}

async fn names<K>(namespace: &Namespace, uid: &str) -> Result<Vec<String>>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let own = ListParams::default().labels(&format!("{}={uid}", labels::RUN_UID));
    let objects = namespace.api::<K>().list(&own).await?;
    let of_job = |object: &&K| object.labels().contains_key("batch.kubernetes.io/job-name");
    Ok(objects
        .items
        .iter()
        .filter(|object| !of_job(object))
        .map(|object| format!("{} {}", K::kind(&()), object.name_any()))
        .collect())
}

/// Puts words in the place of times and UIDs, at any depth.
fn simplify(value: &mut Value, plain: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => *text = "TIME".into(),
        Value::String(text) if is_uuid(text) => *text = "UID".into(),
        Value::String(text) => *text = plain(text),
        Value::Array(items) => items.iter_mut().for_each(|item| simplify(item, plain)),
        Value::Object(fields) => fields.values_mut().for_each(|field| simplify(field, plain)),
        _ => {}
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().filter(|&byte| byte == b'-').count() == 4
}

/// Where two ends differ, a line each.
pub(super) fn difference(expected: &End, found: &End) -> String {
    let mut lines = Vec::new();
    if expected.driven != found.driven {
        lines.push(format!(
            "load was made by {:?}, not {:?}",
            found.driven, expected.driven
        ));
    }
    let lone = |those: &BTreeSet<String>, not: &BTreeSet<String>| {
        those
            .difference(not)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    };
    if expected.objects != found.objects {
        lines.push(format!(
            "left too much: {}; too little: {}",
            lone(&found.objects, &expected.objects),
            lone(&expected.objects, &found.objects)
        ));
    }
    compare("status", &expected.status, &found.status, &mut lines);
    compare("outcome", &expected.outcome, &found.outcome, &mut lines);
    lines.join("\n")
}

fn compare(path: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
            for key in keys {
                let at = |fields: &serde_json::Map<String, Value>| {
                    fields.get(key).cloned().unwrap_or_default()
                };
                compare(&format!("{path}.{key}"), &at(expected), &at(found), lines);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{path}[{index}]"), expected, found, lines);
            }
        }
        _ if expected == found => {}
        _ => lines.push(format!("{path} is {found}, not {expected}")),
    }
}
