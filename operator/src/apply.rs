//! The only module that writes to the API server.
//!
//! Rights that it needs, in the namespaces of the runs: `benchmarkruns/status` patch,
//! `benchmarkruns` delete (for `cleanup.ttlAfterFinished`); `pods`, `services`, `configmaps`, `jobs`
//! create, patch, delete; `persistentvolumeclaims` create, patch;
//! `podmonitorings.monitoring.googleapis.com` and
//! `podmonitors.monitoring.coreos.com` create, patch, delete, and the same on the kinds of objects
//! that engines are; `events.events.k8s.io` create. Owner
//! references do not block a deletion, so nothing on `benchmarkruns/finalizers` is asked for where
//! the OwnerReferencesPermissionEnforcement admission plugin is on (OpenShift). Nothing on Secrets,
//! nothing on pod logs.
//!
//! Every write first asks whether this operator still may ([`crate::lease`]). An old leader that was
//! paused between that and the write itself is met by the write's own terms: a status holds only for
//! the resourceVersion that was read, a deletion only for the UID that was seen, and an object that
//! is made needlessly carries the run's labels and goes with its next step.

use std::fmt::Debug;

use bakeoff_crds::run::{BenchmarkRun, BenchmarkRunStatus};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, Pod, Service},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::{ApiResource, DynamicObject},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    child::{Child, ChildKind, ChildRef},
    decide::Words,
    error::Error,
    events::Notice,
    lease::Leadership,
    observe::{Kept, Step},
    slim,
};

/// Owner of every field that the operator writes.
const FIELD_MANAGER: &str = "bakeoff";

/// Writes decisions to the cluster.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    reporter: Reporter,
    leadership: Leadership,
}

impl Writer {
    /// A writer to this cluster. `instance` names this operator in events; `leadership` is asked
    /// right before every write.
    pub fn new(client: Client, instance: Option<String>, leadership: Leadership) -> Self {
        Self {
            client,
            leadership,
            reporter: Reporter {
                controller: "bakeoff".into(),
                instance,
            },
        }
    }

    /// Makes what the decision says, in its order, and sweeps.
    ///
    /// # Errors
    /// With the first object that could not be made or deleted; those after it are left for the next
    /// time.
    pub async fn make(&self, step: &Step) -> Result<(), Error> {
        let namespace = step.run().namespace().unwrap_or_default();
        let decision = step.decision();
        for child in &decision.apply {
            self.apply(&namespace, child).await?;
        }
        for child in &decision.sweep {
            self.delete(&namespace, child).await?;
        }
        Ok(())
    }

    /// Deletes what the decision says, in its order.
    ///
    /// # Errors
    /// With the first object that could not be deleted; those after it are left for the next time.
    pub async fn remove(&self, step: &Step) -> Result<(), Error> {
        let namespace = step.run().namespace().unwrap_or_default();
        for child in &step.decision().delete {
            self.delete(&namespace, child).await?;
        }
        Ok(())
    }

    async fn apply(&self, namespace: &str, child: &Child) -> Result<(), Error> {
        self.leadership.check()?;
        let result = match child {
            Child::ConfigMap(object) => patch(self.api(namespace), object).await,
            Child::Service(object) => patch(self.api(namespace), object).await,
            Child::PersistentVolumeClaim(object) => patch(self.api(namespace), object).await,
            Child::Job(object) => patch(self.api(namespace), object).await,
            Child::Pod(object) => patch(self.api(namespace), object).await,
            Child::Object(api, object) => patch(self.dynamic(namespace, api), object).await,
            Child::Monitoring(api, object) => {
                let api = self.dynamic(namespace, &api.resource());
                // A run without it still measures; the report says what is missing.
                patch(api, object).await.or_else(|error| {
                    tracing::warn!(%error, child = child.describe(), "cannot be made; going on without");
                    Ok(())
                })
            }
        };
        result.map_err(|source| Error::Apply {
            what: child.describe(),
            source: Box::new(source),
        })?;
        tracing::info!(namespace, child = child.describe(), "made");
        Ok(())
    }

    async fn delete(&self, namespace: &str, child: &ChildRef) -> Result<(), Error> {
        self.leadership.check()?;
        let result = match &child.kind {
            ChildKind::ConfigMap => remove(self.api::<ConfigMap>(namespace), child).await,
            ChildKind::Service => remove(self.api::<Service>(namespace), child).await,
            ChildKind::Pod => remove(self.api::<Pod>(namespace), child).await,
            ChildKind::Job => remove(self.api::<Job>(namespace), child).await,
            ChildKind::Object(api) => remove(self.dynamic(namespace, api), child).await,
            ChildKind::Run => remove(self.api::<BenchmarkRun>(namespace), child).await,
            ChildKind::Monitoring(api) => {
                let api = self.dynamic(namespace, &api.resource());
                // Its owner reference frees it with the run at the latest.
                remove(api, child).await.or_else(|error| {
                    tracing::warn!(%error, name = child.name, "cannot be deleted; left to the run's end");
                    Ok(())
                })
            }
        };
        result.map_err(|source| Error::Delete {
            what: format!("{} {}", child.kind.name(), child.name),
            source: Box::new(source),
        })?;
        tracing::info!(
            namespace,
            kind = child.kind.name(),
            name = child.name,
            "deleted"
        );
        Ok(())
    }

    /// Writes the status, where it is another.
    ///
    /// # Errors
    /// Where the API server refuses it; also where the run was changed since it was read, by a
    /// person or by another operator.
    pub async fn write_status(
        &self,
        step: &mut Step,
        status: &BenchmarkRunStatus,
    ) -> Result<(), Error> {
        if step.run().status.as_ref() != Some(status) {
            let run = self.patch_status(step.run(), status).await?;
            step.wrote(run);
        }
        Ok(())
    }

    /// Writes how far a run is, where that is another; nothing else of its status changes.
    ///
    /// # Errors
    /// Where the API server refuses it; also where the run was changed since it was read.
    pub async fn tell(&self, kept: &mut Kept, words: &Words) -> Result<(), Error> {
        let status = kept.status_with(words);
        if let Some(status) = status.filter(|status| kept.run().status.as_ref() != Some(status)) {
            let run = self.patch_status(kept.run(), &status).await?;
            kept.wrote(run);
        }
        Ok(())
    }

    async fn patch_status(
        &self,
        run: &BenchmarkRun,
        status: &BenchmarkRunStatus,
    ) -> Result<BenchmarkRun, Error> {
        let name = run.name_any();
        let namespace = run.namespace().unwrap_or_default();
        let patch = json!({
            "apiVersion": BenchmarkRun::api_version(&()),
            "kind": BenchmarkRun::kind(&()),
            // A run made anew under this name must not get the old one's status; and a status that
            // was decided on from an older one, by whomever, must not replace a newer.
            "metadata": {
                "name": name,
                "uid": run.uid(),
                "resourceVersion": run.resource_version(),
            },
            "status": status,
        });
        self.leadership.check()?;
        let mut written = self
            .api::<BenchmarkRun>(&namespace)
            .patch_status(
                &name,
                &PatchParams::apply(FIELD_MANAGER).force(),
                &Patch::Apply(&patch),
            )
            .await
            .map_err(|source| Error::Status {
                source: Box::new(source),
            })?;
        slim::metadata(&mut written.metadata);
        Ok(written)
    }

    /// Publishes events on the run. A failure is only logged: what happened is in the status.
    pub async fn publish(&self, run: &BenchmarkRun, notices: &[Notice]) {
        let reference = run.object_ref(&());
        for notice in notices {
            if self.leadership.check().is_err() {
                return;
            }
            let event = Event {
                type_: if notice.is_warning {
                    EventType::Warning
                } else {
                    EventType::Normal
                },
                reason: notice.reason.clone(),
                note: Some(notice.note.clone()),
                action: notice.action.clone(),
                secondary: None,
            };
            // A recorder of its own for each: the shared one folds events of one reason into the
            // first, and with it the message of every later engine.
            let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            if let Err(error) = recorder.publish(&event, &reference).await {
                tracing::warn!(%error, reason = notice.reason, "event not published");
            }
        }
    }

    fn dynamic(&self, namespace: &str, api: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, api)
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}

async fn patch<K>(api: Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = object.name_any();
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(object)).await?;
    Ok(())
}

/// Deletes an object and, in the background, what it owns. One that is gone already, or has been
/// replaced by another of its name, counts as deleted.
async fn remove<K>(api: Api<K>, child: &ChildRef) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut params = DeleteParams::background();
    params.preconditions = child.uid.clone().map(|uid| Preconditions {
        uid: Some(uid),
        resource_version: None,
    });
    match api.delete(&child.name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        // Another UID than the one that was seen. Without one to hold it to, a conflict is just that.
        Err(kube::Error::Api(status)) if status.code == 409 && child.uid.is_some() => Ok(()),
        Err(error) => Err(error),
    }
}
