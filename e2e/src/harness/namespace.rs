//! A namespace per test, and what is in it when the test fails.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{Condition, await_condition as kube_await_condition};
use kube::{Client, Config};
use serde::de::DeserializeOwned;

use crate::kubectl::Kubectl;
use crate::settings::Layout;

/// Between a watch that ended and the next.
const PAUSE: Duration = Duration::from_millis(500);

/// A test's own namespace.
#[derive(Clone)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// A client whose default namespace it is.
    pub client: Client,
    /// kubectl and helm for the cluster; they need `--namespace`.
    pub kubectl: Kubectl,
    /// Folders of the cluster.
    pub layout: Layout,
}

impl Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Namespace {
    /// The objects of one kind in this namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// A client like [`Self::client`] for whom this token stands.
    ///
    /// # Errors
    /// Where the kubeconfig cannot be read.
    pub async fn client_with(&self, token: String) -> Result<Client> {
        let mut config = config(&self.layout).await?;
        config.auth_info = AuthInfo {
            token: Some(token.into()),
            ..AuthInfo::default()
        };
        Ok(Client::try_from(config)?)
    }

    /// Runs kubectl in this namespace and returns what it wrote.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let namespace = ["--namespace", &self.name];
        self.kubectl.output(&[&namespace, args].concat())
    }

    /// Applies YAML in this namespace.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        self.kubectl.with_input(
            &["--namespace", &self.name, "apply", "--filename", "-"],
            yaml,
        )
    }

    /// Objects, events and logs, written to the state folder for whoever looks for the failure.
    fn dump(&self) -> Result<PathBuf> {
        let mut text = String::new();
        let questions: &[&[&str]] = &[
            &["get", "all,configmaps,pvc", "-o", "wide"],
            &["get", "benchmarkruns", "-o", "yaml"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["describe", "pods"],
        ];
        for question in questions {
            text += &self.answer(question);
        }
        for pod in self
            .kubectl(&["get", "pods", "-o", "name"])
            .unwrap_or_default()
            .lines()
        {
            text += &self.answer(&["logs", pod, "--all-containers", "--prefix", "--tail=200"]);
        }
        let path = self
            .layout
            .state_file(&format!("failures/{}.txt", self.name))?;
        std::fs::write(&path, text)?;
        Ok(path)
    }

    fn answer(&self, question: &[&str]) -> String {
        let answer = self
            .kubectl(question)
            .unwrap_or_else(|error| format!("{error:#}"));
        format!("==== kubectl {}\n{answer}\n", question.join(" "))
    }
}

/// Runs a test in a namespace of its own, which is deleted afterwards.
///
/// When the test fails, the namespace's objects, events and logs are written to a file first. With
/// `BAKEOFF_E2E_KEEP_NAMESPACES=1`, a failed test's namespace stays.
pub async fn with_namespace<F>(test: impl FnOnce(Namespace) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let layout = Layout::from_env()?;
    let namespace = create(layout).await?;
    let outcome = AssertUnwindSafe(test(namespace.clone()))
        .catch_unwind()
        .await;
    let failed = !matches!(outcome, Ok(Ok(())));
    let dumped = if failed { Some(namespace.dump()) } else { None };
    if !failed || std::env::var_os("BAKEOFF_E2E_KEEP_NAMESPACES").is_none() {
        namespace
            .kubectl
            .run(&["delete", "namespace", &namespace.name, "--wait=false"])?;
    }
    let where_to_look = || match &dumped {
        Some(Ok(path)) => format!("what was in the namespace: {}", path.display()),
        Some(Err(error)) => format!("the namespace could not be written down: {error:#}"),
        None => String::new(),
    };
    match outcome {
        Ok(result) => result.with_context(where_to_look),
        Err(panic) => {
            tracing::error!("{}", where_to_look());
            std::panic::resume_unwind(panic)
        }
    }
}

/// Waits until an object is as asked, watching it rather than asking again and again.
pub async fn await_condition<K>(
    api: Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    condition: impl Condition<K>,
) -> Result<Option<K>>
where
    K: Clone + Debug + Send + DeserializeOwned + kube::Resource + 'static,
    K::DynamicType: Default,
{
    let met = async {
        loop {
            let condition = |object: Option<&K>| condition.matches_object(object);
            match kube_await_condition(api.clone(), name, condition).await {
                Ok(object) => return object,
                // A watch ends now and then, such as by "too old resource version".
                Err(error) => tracing::info!(%error, "watching {name} anew"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(limit, met)
        .await
        .with_context(|| format!("waited {limit:?} until {what} ({name})"))
}

async fn create(layout: Layout) -> Result<Namespace> {
    let client = client(&layout).await?;
    let wanted = v1::Namespace {
        metadata: ObjectMeta {
            generate_name: Some("bakeoff-e2e-".into()),
            ..ObjectMeta::default()
        },
        ..v1::Namespace::default()
    };
    let api: Api<v1::Namespace> = Api::all(client.clone());
    let made = api
        .create(&PostParams::default(), &wanted)
        .await
        .context("making a namespace")?;
    let name = made.metadata.name.context("a namespace has a name")?;
    let accounts: Api<v1::ServiceAccount> = Api::namespaced(client.clone(), &name);
    let exists = |account: Option<&v1::ServiceAccount>| account.is_some();
    let limit = Duration::from_secs(120);
    await_condition(
        accounts,
        "default",
        "the service account exists",
        limit,
        exists,
    )
    .await?;
    let kubectl = Kubectl::new(&layout);
    Ok(Namespace {
        name,
        client,
        kubectl,
        layout,
    })
}

/// A client for whom the kubeconfig stands. It lives on the runtime that it is made on.
///
/// # Errors
/// Where the kubeconfig cannot be read.
pub async fn client(layout: &Layout) -> Result<Client> {
    Ok(Client::try_from(config(layout).await?)?)
}

async fn config(layout: &Layout) -> Result<Config> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig =
        Kubeconfig::read_from(layout.kubeconfig()).context("reading the kubeconfig")?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}
