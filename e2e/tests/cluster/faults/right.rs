//! The rights that the chart gives the operator, one by one.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use anyhow::{Context, Result};
use bakeoff_e2e::harness::Namespace;
use serde_json::{Value, json};

/// The rights as the chart renders them for one namespace: objects of `rbac.authorization.k8s.io`,
/// and the service account that they are given to.
#[derive(Clone, Debug)]
pub(super) struct Rights(Vec<Value>);

/// One thing that may be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) verb: String,
    pub(super) resource: String,
    pub(super) group: String,
    /// In the whole cluster, and not in the namespace alone.
    pub(super) is_cluster_wide: bool,
}

impl Rights {
    /// Those of the operator that looks after this namespace alone; every one that a chart value
    /// switches on is there. Objects and account are named after the namespace.
    pub(super) fn of_chart(namespace: &Namespace) -> Result<Self> {
        let chart = namespace.layout.repository.join("charts/bakeoff");
        let name = &namespace.name;
        let rendered = namespace.kubectl.helm(&[
            "template",
            name,
            chart.to_str().context("a path in UTF-8")?,
            &format!("--namespace={name}"),
            // Without a cluster, Helm takes an old one for granted.
            "--kube-version=1.34.0",
            "--show-only=templates/rbac.yaml",
            "--show-only=templates/service-accounts.yaml",
            &format!("--set=fullnameOverride={name}"),
            "--set=image.repository=none,runnerImage.repository=none",
            "--set=rbac.nodes=true,rbac.neighbours=true,rbac.scope=Namespaces",
            &format!("--set=rbac.namespaces={{{name}}}"),
        ])?;
        let documents = serde_saphyr::from_multiple::<Value>(&rendered)?;
        Ok(Self(documents.into_iter().map(singly).collect()))
    }

    pub(super) fn each(&self) -> BTreeSet<Right> {
        let rights = self.0.iter().flat_map(|document| {
            let rules = document["rules"].as_array().into_iter().flatten();
            rules.map(|rule| Right::of(document, rule))
        });
        rights.collect()
    }

    /// All but this one. What is taken in the namespace is taken in the cluster, which holds it,
    /// too.
    pub(super) fn without(mut self, right: &Right) -> Self {
        for document in &mut self.0 {
            let copy = document.clone();
            let Some(rules) = document["rules"].as_array_mut() else {
                continue;
            };
            rules.retain(|rule| {
                let found = Right::of(&copy, rule);
                let same = Right {
                    is_cluster_wide: right.is_cluster_wide,
                    ..found.clone()
                } == *right;
                !same || (right.is_cluster_wide && !found.is_cluster_wide)
            });
        }
        self
    }

    pub(super) fn give(&self, namespace: &Namespace) -> Result<()> {
        let all = json!({ "apiVersion": "v1", "kind": "List", "items": self.0 });
        namespace.apply(&all.to_string())?;
        Ok(())
    }

    /// Takes away what the namespace's deletion does not.
    pub(super) fn take_back(namespace: &Namespace) -> Result<()> {
        let kinds = "clusterrole,clusterrolebinding";
        let name = &namespace.name;
        namespace
            .kubectl
            .run(&["delete", kinds, name, "--ignore-not-found"])?;
        let volume = ["delete", "pv", name, "--ignore-not-found", "--wait=false"];
        namespace.kubectl.run(&volume)
    }
}

/// The same object, with one group, resource and verb in each rule.
fn singly(mut document: Value) -> Value {
    let words = |rule: &Value, key: &str| -> Vec<Value> {
        rule[key].as_array().cloned().unwrap_or_default()
    };
    let Some(rules) = document.get_mut("rules").and_then(Value::as_array_mut) else {
        return document;
    };
    *rules = rules
        .iter()
        .flat_map(|rule| {
            let mut single = Vec::new();
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    for verb in words(rule, "verbs") {
                        let mut rule = rule.clone();
                        rule["apiGroups"] = json!([group]);
                        rule["resources"] = json!([resource]);
                        rule["verbs"] = json!([verb]);
                        single.push(rule);
                    }
                }
            }
            single
        })
        .collect();
    document
}

impl Right {
    fn of(document: &Value, rule: &Value) -> Self {
        let word = |key: &str| rule[key][0].as_str().unwrap_or_default().to_owned();
        Self {
            verb: word("verbs"),
            resource: word("resources"),
            group: word("apiGroups"),
            is_cluster_wide: document["kind"] == "ClusterRole",
        }
    }

    /// The right that is missing, from what the API server says: `… cannot list resource "pods" in
    /// API group "" in the namespace "x"`, or `… at the cluster scope`.
    pub(super) fn missing(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once(" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, rest) = rest.split_once('"')?;
        Some(Self {
            verb: verb.into(),
            resource: resource.into(),
            group: group.into(),
            is_cluster_wide: rest.contains("at the cluster scope"),
        })
    }
}

impl Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verb,
            resource,
            group,
            ..
        } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{verb} {resource}{dot}{group}")?;
        if self.is_cluster_wide {
            f.write_str(" in the whole cluster")?;
        }
        Ok(())
    }
}

#[test]
fn what_the_api_server_says_of_a_missing_right() {
    let says = |words: &str| Right::missing(words).map(|right| right.to_string());
    let pods = r#"pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group "" "#;
    let inside = format!("{pods}in the namespace \"a\"");
    assert_eq!(says(&inside).as_deref(), Some("list pods"));
    let everywhere = format!("{pods}at the cluster scope");
    let expected = Some("list pods in the whole cluster");
    assert_eq!(says(&everywhere).as_deref(), expected);
    let status = r#"benchmarkruns.bakeoff.dev "x" is forbidden: User "u" cannot patch resource "benchmarkruns/status" in API group "bakeoff.dev" in the namespace "a""#;
    let expected = Some("patch benchmarkruns/status.bakeoff.dev");
    assert_eq!(says(status).as_deref(), expected);
    assert_eq!(says("exceeded quota: pods"), None);
}
