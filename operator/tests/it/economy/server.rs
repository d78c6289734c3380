//! An API server in memory around a [`World`]: lists, watches, resourceVersions, server-side apply, and
//! a record of what it was asked. Time is the test's own.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    body::{Body as Answer, to_bytes},
    http::{Method, Request, Response},
};
use bakeoff_crds::run::BenchmarkRunStatus;
use bakeoff_operator::{
    child::{Child, ChildKind, ChildRef},
    clock::Clock,
    decide::Words,
    observed::StoredPlan,
    requests::named,
};
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{World, start};

/// Plurals of what is watched.
const WATCHED: [&str; 3] = ["benchmarkruns", "pods", "jobs"];

/// A version of an object, and what is told of it.
struct Event {
    version: u64,
    resource: &'static str,
    line: String,
}

pub struct State {
    pub world: World,
    /// What was asked, in the words of RBAC; without watches, and the lists that they begin with.
    pub requests: Vec<(&'static str, String)>,
    /// Whether watches are told nothing, and never will be of what happens meanwhile.
    pub is_deaf: bool,
    /// The address of every pod at work; none where pods cannot be reached.
    pub address: Option<String>,
    /// Pods of others, on every node.
    pub tenants: Vec<Value>,
    /// The next list of pods is answered as before the last change of one.
    pub is_stale: bool,
    /// Each object as it was last told of, with its version.
    known: BTreeMap<(&'static str, String), (u64, Value)>,
    older: Vec<Value>,
    events: Vec<Event>,
    watches: Vec<(&'static str, UnboundedSender<String>)>,
    version: u64,
    /// What was read last, and when.
    looked_at: BTreeMap<String, Instant>,
}

/// The server; clones are the same.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    began: Instant,
}

impl Server {
    pub fn new(world: World) -> Self {
        let mut state = State {
            world,
            requests: Vec::new(),
            is_deaf: false,
            address: None,
            tenants: Vec::new(),
            is_stale: false,
            known: BTreeMap::new(),
            older: Vec::new(),
            events: Vec::new(),
            watches: Vec::new(),
            version: 0,
            looked_at: BTreeMap::new(),
        };
        state.publish();
        Self {
            state: Arc::new(Mutex::new(state)),
            began: Instant::now(),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Shows the test's time.
    pub fn clock(&self) -> Clock {
        let began = self.began;
        Clock::new(move || now(began))
    }

    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "bench")
    }

    /// Changes the world, of which watches tell.
    pub fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut state = self.state();
        state.world.now = now(self.began);
        let given = change(&mut state.world);
        state.publish();
        given
    }

    /// The run, as it is told of.
    pub fn run(&self) -> Value {
        self.state().list("benchmarkruns").remove(0)
    }

    /// What was asked since the last time.
    pub fn asked(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (verb, resource) in std::mem::take(&mut self.state().requests) {
            *counts.entry(format!("{verb} {resource}")).or_default() += 1;
        }
        counts
    }

    async fn answer(&self, request: Request<Body>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(Answer::new(body), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (verb, resource) = named(&parts.method, &parts.uri);
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let name = parts.uri.path().trim_end_matches("/status");
        let name = name.rsplit('/').next().unwrap().to_owned();
        let mut state = self.state();
        state.world.now = now(self.began);
        if resource == "pods" && !parts.uri.path().contains("/namespaces/") {
            state.requests.push((verb, "pods of all".to_owned()));
            return answer(200, &json!({ "metadata": {}, "items": state.tenants }));
        }
        let of_watch = WATCHED.contains(&resource.as_str()) && !query.contains("run-uid");
        if verb == "watch" {
            return state.watch(&resource, &query);
        }
        if !(verb == "list" && of_watch) {
            state.requests.push((verb, resource.clone()));
        }
        let answer = match verb {
            "get" | "list" => return state.read(verb, &resource, &name),
            _ => state.write(&parts.method, &resource, &name, body),
        };
        state.publish();
        answer
    }
}

fn now(began: Instant) -> Timestamp {
    let gone = SignedDuration::try_from(Duration::from_secs(began.elapsed().as_secs()));
    start() + gone.unwrap()
}

impl State {
    /// The objects that are watched, without versions.
    fn objects(&self) -> BTreeMap<(&'static str, String), Value> {
        let mut objects = BTreeMap::new();
        let mut add = |resource: &'static str, value: Value| {
            let name = value["metadata"]["name"].as_str().unwrap().to_owned();
            objects.insert((resource, name), value);
        };
        add("benchmarkruns", json!(self.world.run));
        for found in &self.world.observed.pods {
            let mut found: Pod = found.clone();
            found.metadata.namespace = Some("bench".into());
            if let Some(status) = &mut found.status {
                status.pod_ip = status.pod_ip.take().and(self.address.clone());
            }
            add("pods", json!(found));
        }
        for found in &self.world.observed.jobs {
            let mut found = found.clone();
            let template = &found.spec.as_ref().unwrap().template;
            let labels = template.metadata.clone().unwrap().labels;
            found.metadata.labels = found.metadata.labels.or(labels);
            found.metadata.namespace = Some("bench".into());
            add("jobs", json!(found));
        }
        objects
    }

    /// Gives every object that is another than before its version, and tells watches of it.
    fn publish(&mut self) {
        let mut objects = self.objects();
        let gone: Vec<_> = self
            .known
            .keys()
            .filter(|key| !objects.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            let (_, mut last) = self.known.remove(&key).unwrap();
            self.version += 1;
            last["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.tell(key.0, "DELETED", &last);
        }
        while let Some((key, mut value)) = objects.pop_first() {
            let known = self.known.get(&key);
            value["metadata"]["resourceVersion"] = Value::Null;
            let before = known.map(|(_, before)| {
                let mut before = before.clone();
                before["metadata"]["resourceVersion"] = Value::Null;
                before
            });
            if before.as_ref() == Some(&value) {
                continue;
            }
            if key.0 == "pods" {
                self.older = self.list("pods");
            }
            self.version += 1;
            value["metadata"]["resourceVersion"] = json!(self.version.to_string());
            let kind = if before.is_some() {
                "MODIFIED"
            } else {
                "ADDED"
            };
            self.tell(key.0, kind, &value);
            self.known.insert(key, (self.version, value));
        }
    }

    fn tell(&mut self, resource: &'static str, kind: &str, object: &Value) {
        if self.is_deaf {
            return;
        }
        let told = match resource {
            "benchmarkruns" => object.clone(),
            // Metadata is all that is asked for.
            _ => json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": object["metadata"] }),
        };
        let line = format!("{}\n", json!({ "type": kind, "object": told }));
        self.watches
            .retain(|(of, watch)| *of != resource || watch.unbounded_send(line.clone()).is_ok());
        self.events.push(Event {
            version: self.version,
            resource,
            line,
        });
    }

    fn watch(&mut self, resource: &str, query: &str) -> Response<Answer> {
        let resource = WATCHED.into_iter().find(|of| *of == resource).unwrap();
        let since = query
            .split('&')
            .find_map(|part| part.strip_prefix("resourceVersion="))
            .and_then(|since| since.parse::<u64>().ok())
            .unwrap();
        let (sender, receiver) = unbounded();
        let missed = self.events.iter();
        for event in missed.filter(|event| event.resource == resource && event.version > since) {
            sender.unbounded_send(event.line.clone()).unwrap();
        }
        self.watches.push((resource, sender));
        let lines = receiver.map(Ok::<_, Infallible>);
        Response::new(Answer::from_stream(lines))
    }

    fn list(&self, resource: &str) -> Vec<Value> {
        let of = self.known.iter().filter(|((of, _), _)| *of == resource);
        of.map(|(_, (_, value))| value.clone()).collect()
    }

    fn read(&mut self, verb: &str, resource: &str, name: &str) -> Response<Answer> {
        self.looked_at
            .insert(format!("{verb} {resource}"), Instant::now());
        if verb == "list" {
            let items = match resource {
                "pods" if std::mem::take(&mut self.is_stale) => self.older.clone(),
                _ => self.list(resource),
            };
            return answer(
                200,
                &json!({ "metadata": { "resourceVersion": self.version.to_string() },
                "items": items }),
            );
        }
        match resource {
            "benchmarkruns" => {
                let known = self.known.get(&("benchmarkruns", name.to_owned()));
                known.map_or_else(|| failure(404, "NotFound"), |(_, run)| answer(200, run))
            }
            "configmaps" => match &self.world.observed.plan {
                StoredPlan::Stored(_) => answer(200, &crate::driver::plan_config_map(&self.world)),
                _ => failure(404, "NotFound"),
            },
            "nodes" => answer(
                200,
                &json!({ "metadata": { "name": name },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }] } }),
            ),
            "discovery" => answer(200, &json!({ "groups": [] })),
            other => panic!("{verb} {other}"),
        }
    }

    fn write(
        &mut self,
        method: &Method,
        resource: &str,
        name: &str,
        body: Value,
    ) -> Response<Answer> {
        if resource == "events" {
            return answer(201, &json!({}));
        }
        if resource == "benchmarkruns/status" {
            return self.write_status(name, &body);
        }
        self.expect_look(&format!("{method} {resource} {name}"));
        if method == Method::DELETE {
            let kind = match resource {
                "pods" => ChildKind::Pod,
                "jobs" => ChildKind::Job,
                "services" => ChildKind::Service,
                "configmaps" => ChildKind::ConfigMap,
                other => panic!("DELETE {other}"),
            };
            let uid = body["preconditions"]["uid"].as_str();
            let known = self
                .known
                .iter()
                .find(|((of, known), _)| *of == resource && known == name);
            if WATCHED.contains(&resource) {
                let Some((_, (_, found))) = known else {
                    return failure(404, "NotFound");
                };
                if found["metadata"]["uid"].as_str() != uid {
                    return failure(409, "Conflict");
                }
                if !found["metadata"]["deletionTimestamp"].is_null() {
                    return answer(200, &json!({}));
                }
            }
            self.world.remove(&ChildRef {
                kind,
                name: name.to_owned(),
                uid: uid.map(str::to_owned),
            });
            return answer(200, &json!({}));
        }
        // Applied again by who has not seen it: nothing changes.
        let mut known = self.known.iter().filter(|((of, _), _)| *of == resource);
        if let Some((_, (_, found))) = known.find(|((_, known), _)| known == name) {
            return answer(200, found);
        }
        let child = match resource {
            "configmaps" => Child::ConfigMap(serde_json::from_value(body.clone()).unwrap()),
            "services" => Child::Service(serde_json::from_value(body.clone()).unwrap()),
            "jobs" => Child::Job(serde_json::from_value(body.clone()).unwrap()),
            "pods" => Child::Pod(serde_json::from_value(body.clone()).unwrap()),
            other => panic!("PATCH {other}"),
        };
        self.world.make(&child);
        answer(200, &body)
    }

    fn write_status(&mut self, name: &str, body: &Value) -> Response<Answer> {
        let (version, _) = &self.known[&("benchmarkruns", name.to_owned())];
        if body["metadata"]["resourceVersion"] != json!(version.to_string()) {
            return failure(409, "Conflict");
        }
        let status: BenchmarkRunStatus = serde_json::from_value(body["status"].clone()).unwrap();
        let before = self.world.run.status.clone().unwrap_or_default();
        if !Words::differ_alone(&before, &status) {
            self.expect_look("PATCH benchmarkruns/status");
        }
        self.world.run.status = Some(status);
        self.publish();
        let (_, run) = &self.known[&("benchmarkruns", name.to_owned())];
        answer(200, run)
    }

    /// Nothing is made, removed or concluded but upon a look at everything that was just made: a step
    /// takes none of the test's time.
    fn expect_look(&self, write: &str) {
        for read in ["get benchmarkruns", "list pods", "list jobs"] {
            assert!(
                self.looked_at
                    .get(read)
                    .is_some_and(|at| at.elapsed() < Duration::from_secs(2)),
                "{write} without {read}"
            );
        }
    }
}

fn answer(code: u16, body: &Value) -> Response<Answer> {
    let body = Answer::from(serde_json::to_vec(body).unwrap());
    Response::builder().status(code).body(body).unwrap()
}

fn failure(code: u16, reason: &str) -> Response<Answer> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": reason, "metadata": {},
    });
    answer(code, &status)
}
