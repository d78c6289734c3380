//! Each right of the chart is needed, and they suffice: a run goes through with exactly those, and
//! without any one of them the operator is refused something.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::run::BenchmarkRun;
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};
use bakeoff_operator::lease::LeaseName;
use bakeoff_operator::observe::nodes::NodeRights;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;

use super::machine::ENDLESS;
use super::played::without_the_installed_operator;
use super::right::{Right, Rights};
use super::wire::{Disturbance, Wire};
use super::{AT_ONCE, operator};

const RUN: &str = include_str!("rights.yaml");
/// What the claim that the operator makes is bound to. Nobody mounts it.
const VOLUME: &str = "apiVersion: v1
kind: PersistentVolume
metadata: {name: VOLUME}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: VOLUME
  hostPath: {path: /no/such/folder}
";
const RUN_NAME: &str = "measured";
const MONITORING: &str = include_str!("../../../manifests/podmonitoring-crd.yaml");
const MONITOR: &str = include_str!("../../../manifests/podmonitor-crd.yaml");
/// Longest wait until a run has come so far that it needs a right, or is over and gone.
const LIMIT: Duration = Duration::from_secs(120);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_is_needed_and_they_suffice() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    without_the_installed_operator(async |_| {
        with_namespace(async |namespace| {
            let apis = [MONITORING, MONITOR];
            for api in apis {
                namespace.apply(api)?;
            }
            let result = each(&namespace).await;
            for api in apis {
                let delete = ["delete", "--ignore-not-found", "--filename=-"];
                namespace.kubectl.with_input(&delete, api)?;
            }
            result
        })
        .await
    })
    .await
}

async fn each(namespace: &Namespace) -> Result<()> {
    let rights = Rights::of_chart(namespace)?.each();
    ensure!(rights.len() > 20, "only {} rights were read", rights.len());
    for is_cut in [false, true] {
        let refused = with(None, is_cut).await?;
        ensure!(refused.is_empty(), "refused with all rights: {refused:?}");
    }
    let needless = stream::iter(&rights)
        .map(async |right| -> Result<Option<&Right>> {
            // Jobs go by themselves, but for those of a run that is cut.
            let is_cut = right.resource == "jobs" && right.verb == "delete";
            let refused = with(Some(right), is_cut).await?;
            let is_needed = refused.contains(right);
            if is_needed {
                println!("without {right}: refused");
            }
            Ok((!is_needed).then_some(right))
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let needless = needless.into_iter().collect::<Result<Vec<_>>>()?;
    let needless: Vec<String> = needless
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    ensure!(needless.is_empty(), "never used: {}", needless.join(", "));
    Ok(())
}

/// What the operator is refused in a run where it has all rights but one. A run that is refused
/// just that is not waited for any longer.
async fn with(taken: Option<&Right>, is_cut: bool) -> Result<BTreeSet<Right>> {
    let mut refused = None;
    with_namespace(async |namespace| {
        let result = run(&namespace, taken, is_cut).await;
        Rights::take_back(&namespace)?;
        refused = Some(result?);
        Ok(())
    })
    .await?;
    refused.context("a case without an outcome")
}

async fn run(
    namespace: &Namespace,
    taken: Option<&Right>,
    is_cut: bool,
) -> Result<BTreeSet<Right>> {
    let rights = Rights::of_chart(namespace)?;
    let rights = match taken {
        Some(right) => rights.without(right),
        None => rights,
    };
    rights.give(namespace)?;
    let client = namespace.client_with(token(namespace).await?).await?;
    let wire = Wire::new(client, Disturbance::None);
    let named = |yaml: &str| yaml.replace("VOLUME", &namespace.name);
    namespace.apply(&named(VOLUME))?;
    let run = match is_cut {
        true => RUN
            .replace("name: alpha", &format!("name: {ENDLESS}"))
            .replace("total: 10m", "total: 45s"),
        false => RUN.to_owned(),
    };
    namespace.apply(&named(&run))?;
    let lease = LeaseName {
        namespace: namespace.name.clone(),
        name: namespace.name.clone(),
        identity: "measured".into(),
    };
    let rights = NodeRights {
        nodes: true,
        neighbours: true,
    };
    let operator = operator::with_lease(wire.client(&namespace.name), lease, rights);
    let seen = until_refused(namespace, &wire, taken).await;
    operator.abort();
    let seen = seen.with_context(|| match taken {
        Some(right) => format!("without {right}"),
        None => "with all rights".into(),
    });
    // Where the end does not come, what was refused tells why.
    seen.with_context(|| format!("refused: {:?}", wire.refused()))
}

async fn until_refused(
    namespace: &Namespace,
    wire: &Wire,
    taken: Option<&Right>,
) -> Result<BTreeSet<Right>> {
    let runs = namespace.api::<BenchmarkRun>();
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let refused: BTreeSet<Right> = wire
            .refused()
            .iter()
            .filter_map(|message| Right::missing(message))
            .collect();
        let is_over = || async { Ok::<_, kube::Error>(runs.get_opt(RUN_NAME).await?.is_none()) };
        if taken.is_some_and(|right| refused.contains(right)) || is_over().await? {
            return Ok(refused);
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "neither refused nor over after {LIMIT:?}"
        );
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// A token of the account that has the rights.
async fn token(namespace: &Namespace) -> Result<String> {
    let request = TokenRequest {
        spec: TokenRequestSpec::default(),
        ..TokenRequest::default()
    };
    let accounts = namespace.api::<ServiceAccount>();
    let made = accounts
        .create_token_request(&namespace.name, &PostParams::default(), &request)
        .await
        .context("asking for a token")?;
    Ok(made.status.context("a token")?.token)
}
