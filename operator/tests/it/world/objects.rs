//! The API server's and the garbage collector's part: objects come and go.

use bakeoff_crds::manifests::labels;
use bakeoff_operator::{
    child::{Child, ChildKind, ChildRef},
    observed::{FoundObject, StoredPlan},
    pod,
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Pod, PodStatus},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use kube::core::DynamicObject;

use super::World;

impl World {
    pub(crate) fn make(&mut self, child: &Child) {
        self.made += 1;
        let uid = format!("uid-{}", self.made);
        let stamp = |metadata: &ObjectMeta| {
            assert_eq!(metadata.namespace, self.run.metadata.namespace);
            let owner = &metadata.owner_references.as_ref().unwrap()[0];
            assert_eq!(Some(&owner.uid), self.run.metadata.uid.as_ref());
            assert_eq!(
                metadata.labels.as_ref().unwrap()[labels::RUN_UID],
                *self.run.metadata.uid.as_ref().unwrap()
            );
            ObjectMeta {
                uid: Some(uid.clone()),
                creation_timestamp: Some(Time(self.now)),
                ..metadata.clone()
            }
        };
        match child {
            Child::Pod(pod) => {
                let metadata = stamp(&pod.metadata);
                assert!(
                    self.observed.pod(child.name()).is_none(),
                    "{} twice",
                    child.name()
                );
                self.observed.pods.push(Pod {
                    metadata,
                    status: Some(PodStatus::default()),
                    ..pod.clone()
                });
            }
            Child::Job(job) => {
                let metadata = stamp(&job.metadata);
                assert!(
                    self.observed.job(child.name()).is_none(),
                    "{} twice",
                    child.name()
                );
                self.observed.jobs.push(Job {
                    metadata,
                    ..job.clone()
                });
                self.make_job_pod(job);
            }
            Child::Object(api, object) => {
                let metadata = stamp(&object.metadata);
                assert!(
                    self.observed.object(child.name()).is_none(),
                    "{} twice",
                    child.name()
                );
                self.observed.objects.push(FoundObject {
                    api: api.clone(),
                    object: DynamicObject {
                        metadata,
                        ..object.clone()
                    },
                });
            }
            Child::ConfigMap(config_map) => {
                stamp(&config_map.metadata);
                if let Some(json) = config_map
                    .data
                    .as_ref()
                    .and_then(|data| data.get("plan.json"))
                {
                    self.observed.plan = StoredPlan::Stored(std::sync::Arc::new(
                        serde_json::from_str(json).unwrap(),
                    ));
                }
            }
            Child::PersistentVolumeClaim(claim) => {
                // Server-side apply of the same object changes nothing; of another, what cannot be
                // changed is refused.
                let name = child.name().to_owned();
                let known = self.claims.insert(name, claim.clone());
                assert!(known.is_none_or(|known| known == *claim), "{claim:?}");
            }
            Child::Service(service) => {
                stamp(&service.metadata);
            }
            Child::Monitoring(_, object) => {
                stamp(&object.metadata);
            }
        }
        self.log.push(format!("made {}", child.describe()));
    }

    pub(super) fn make_job_pod(&mut self, job: &Job) {
        self.made += 1;
        let template = &job.spec.as_ref().unwrap().template;
        let name = job.metadata.name.as_ref().unwrap();
        let mut labels = template.metadata.clone().unwrap().labels.unwrap();
        labels.insert("batch.kubernetes.io/job-name".into(), name.clone());
        self.observed.pods.push(Pod {
            metadata: ObjectMeta {
                name: Some(format!("{name}-0-{}", self.ended_pods(name))),
                uid: Some(format!("uid-of-{name}-{}", self.made)),
                creation_timestamp: Some(Time(self.now)),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: Some(PodStatus::default()),
        });
    }

    pub(crate) fn remove(&mut self, child: &ChildRef) {
        let now = Some(Time(self.now));
        match &child.kind {
            ChildKind::Object(_) => {
                let mut objects = self.observed.objects.iter_mut();
                let found = objects
                    .find(|found| found.name() == child.name)
                    .unwrap_or_else(|| panic!("no object {}", child.name));
                assert_eq!(found.object.metadata.uid, child.uid);
                assert!(!found.is_deleting(), "{} twice", child.name);
                found.object.metadata.deletion_timestamp = now;
            }
            ChildKind::Pod => {
                let found = self.pod_mut(&child.name);
                assert_eq!(
                    found.metadata.uid, child.uid,
                    "deletes another pod than it saw"
                );
                assert!(
                    found.metadata.deletion_timestamp.is_none(),
                    "{} twice",
                    child.name
                );
                found.metadata.deletion_timestamp = now;
            }
            ChildKind::Job => {
                let jobs = &mut self.observed.jobs;
                let job = jobs
                    .iter_mut()
                    .find(|job| job.metadata.name.as_ref() == Some(&child.name))
                    .unwrap();
                assert_eq!(
                    job.metadata.uid, child.uid,
                    "deletes another Job than it saw"
                );
                job.metadata.deletion_timestamp = now;
            }
            ChildKind::ConfigMap
            | ChildKind::Service
            | ChildKind::Monitoring(_)
            | ChildKind::Run => {}
        }
        self.log
            .push(format!("deleted {} {}", child.kind.name(), child.name));
    }

    /// Objects that are being deleted go, and the garbage collector has their pods go after them.
    fn reap_objects(&mut self) {
        let now = Time(self.now);
        let observed = &mut self.observed;
        let (going, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut observed.objects)
            .into_iter()
            .partition(FoundObject::is_deleting);
        observed.objects = stay;
        for object in going {
            self.log.push(format!("gone {}", object.name()));
            for found in &mut observed.pods {
                if pod::label(found, labels::OBJECT) == Some(object.name()) {
                    found.metadata.deletion_timestamp.get_or_insert(now.clone());
                }
            }
        }
    }

    /// Pods and Jobs that are being deleted go.
    pub fn reap(&mut self) {
        let deleting: Vec<String> = self
            .observed
            .jobs
            .iter()
            .filter(|job| job.metadata.deletion_timestamp.is_some())
            .filter_map(|job| job.metadata.name.clone())
            .collect();
        self.observed
            .jobs
            .retain(|job| job.metadata.deletion_timestamp.is_none());
        let (log, stuck) = (&mut self.log, &self.stuck);
        self.observed.pods.retain(|found| {
            if stuck.contains(pod::name(found)) {
                return true;
            }
            let job = pod::label(found, "batch.kubernetes.io/job-name").unwrap_or_default();
            let stays = !pod::is_deleting(found) && !deleting.iter().any(|gone| gone == job);
            if !stays {
                log.push(format!("gone {}", pod::name(found)));
            }
            stays
        });
        // After the pods, so that pods outlive their object by a step, as they do.
        self.reap_objects();
    }
}
