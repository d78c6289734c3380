//! The cluster itself: what every other test stands on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_e2e::harness::{
    await_condition, gcs_bucket, has_cluster, prometheus_value, read_json, s3_bucket,
    with_namespace,
};
use bakeoff_e2e::settings::Layout;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::runtime::conditions::is_pod_running;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode};
use serde_json::{Value, json};

/// Longest wait for a pod; long, for a machine that does much else.
const LIMIT: Duration = Duration::from_secs(180);

/// A pod of the base image that ends with `script`; `extra` is merged into its only container.
fn pod(name: &str, script: &str, extra: &Value) -> Result<String> {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "bakeoff"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main",
                "image": bakeoff_e2e::images::PAUSE,
                "command": ["sh", "-c", script],
            }],
        },
    });
    let container = pod
        .pointer_mut("/spec/containers/0")
        .and_then(Value::as_object_mut);
    let extra = extra.as_object().cloned().unwrap_or_default();
    container.context("the pod has a container")?.extend(extra);
    Ok(pod.to_string())
}

fn succeeded(pod: Option<&Pod>) -> bool {
    let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
    phase == Some("Succeeded")
}

#[tokio::test]
async fn a_pod_gets_a_gpu_of_the_ready_node() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        let nodes = Api::<Node>::all(namespace.client.clone())
            .list(&Default::default())
            .await?;
        let gpus = nodes.items.iter().filter_map(|node| {
            node.status
                .as_ref()?
                .allocatable
                .as_ref()?
                .get("nvidia.com/gpu")
                .map(|n| n.0.as_str())
        });
        ensure!(
            gpus.collect::<Vec<_>>() == ["2"],
            "the node has not two GPUs"
        );

        let resources = json!({"resources": {"limits": {"nvidia.com/gpu": "1"}}});
        namespace.apply(&pod("gpu", "sleep 600", &resources)?)?;
        await_condition(
            namespace.api::<Pod>(),
            "gpu",
            "it runs",
            LIMIT,
            is_pod_running(),
        )
        .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_resolves_the_names_of_services() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        let script = "nslookup kubernetes.default.svc.cluster.local && ! nslookup example.com";
        namespace.apply(&pod("dns", script, &json!({}))?)?;
        await_condition(
            namespace.api::<Pod>(),
            "dns",
            "it succeeds",
            LIMIT,
            succeeded,
        )
        .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_service_reaches_its_pod() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        let serve =
            "mkdir -p /tmp/www && echo hello >/tmp/www/index.html && httpd -f -p 8080 -h /tmp/www";
        let ports = json!({"ports": [{"name": "web", "containerPort": 8080}]});
        namespace.apply(&pod("server", serve, &ports)?)?;
        namespace.kubectl(&["label", "pod", "server", "app=server"])?;
        namespace.kubectl(&["create", "service", "clusterip", "server", "--tcp=80:8080"])?;
        // Without -T: this static busybox's wget crashes on it.
        let ask = "until wget -qO- http://server | grep hello; do sleep 0.2; done";
        namespace.apply(&pod("client", ask, &json!({}))?)?;
        await_condition(
            namespace.api::<Pod>(),
            "client",
            "it succeeds",
            LIMIT,
            succeeded,
        )
        .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn prometheus_finds_pods_by_label() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        let answer = r"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nanswer 42\n";
        let serve = format!("while true; do printf '{answer}' | nc -l -p 8080; done");
        let ports = json!({"ports": [{"name": "metrics", "containerPort": 8080}]});
        namespace.apply(&pod("scraped", &serve, &ports)?)?;
        let query = format!("answer{{namespace=\"{}\",pod=\"scraped\"}}", namespace.name);
        let value = prometheus_value(&query, LIMIT).await?;
        ensure!(
            (value - 42.0).abs() < f64::EPSILON,
            "scraped {value} instead of 42"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn s3_keeps_objects_and_never_overwrites_one() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    let bucket = s3_bucket(&Layout::from_env()?)?;
    write_and_read(&bucket).await?;
    let key = Path::from("smoke/once.json");
    let _ = bucket.delete(&key).await;
    bucket
        .put_opts(&key, "1".into(), PutMode::Create.into())
        .await?;
    let again = bucket
        .put_opts(&key, "2".into(), PutMode::Create.into())
        .await;
    ensure!(
        matches!(again, Err(object_store::Error::AlreadyExists { .. })),
        "the second write answered {again:?}"
    );
    Ok(())
}

#[tokio::test]
async fn gcs_keeps_objects_and_never_overwrites_one() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    let bucket = gcs_bucket()?;
    write_and_read(&bucket).await?;
    write_once(&bucket).await
}

async fn write_once(bucket: &dyn ObjectStore) -> Result<()> {
    let key = Path::from("smoke/once.json");
    let _ = bucket.delete(&key).await;
    bucket
        .put_opts(&key, "1".into(), PutMode::Create.into())
        .await?;
    let again = bucket
        .put_opts(&key, "2".into(), PutMode::Create.into())
        .await;
    ensure!(
        matches!(again, Err(object_store::Error::AlreadyExists { .. })),
        "the second write answered {again:?}"
    );
    Ok(())
}

async fn write_and_read(bucket: &dyn ObjectStore) -> Result<()> {
    let key = Path::from("smoke/folder with space/report.json");
    let written = json!({"answer": 42});
    bucket.put(&key, written.to_string().into()).await?;
    let read: Value = read_json(bucket, key.as_ref()).await?;
    ensure!(read == written, "read {read}");
    // In parts, as large request logs are written.
    let large = Path::from("smoke/large");
    let mut parts = bucket.put_multipart(&large).await?;
    for filling in [b'a', b'b'] {
        parts.put_part(vec![filling; 5 << 20].into()).await?;
    }
    parts.complete().await?;
    let read = bucket.get(&large).await?.bytes().await?;
    ensure!(
        read.len() == 10 << 20 && read.ends_with(b"b"),
        "read {} bytes",
        read.len()
    );
    let listed = bucket
        .list_with_delimiter(Some(&Path::from("smoke/folder with space")))
        .await?;
    let keys: Vec<_> = listed
        .objects
        .iter()
        .map(|object| &object.location)
        .collect();
    ensure!(keys == [&key], "listed {keys:?}");
    Ok(())
}
