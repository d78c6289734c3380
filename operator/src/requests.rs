//! Counts what the operator asks of the API server.

use axum::http::{Method, Request, Uri};
use kube::{Client, client::Body};

use crate::metrics::Metrics;

/// The same client, each of whose requests counts.
pub fn counted(client: Client, metrics: &Metrics) -> Client {
    let metrics = metrics.clone();
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (verb, resource) = named(request.method(), request.uri());
        metrics.requested(verb, resource);
        let client = client.clone();
        async move { client.send(request).await }
    });
    Client::new(service, namespace)
}

/// A request in the words of RBAC: verb and resource, with its subresource. The kinds of resources are
/// those that the operator and the profiles in use know, so there are few.
pub fn named(method: &Method, uri: &Uri) -> (&'static str, String) {
    let mut path = uri.path().trim_matches('/').split('/');
    let group_and_version = match path.next() {
        Some("api") => 1,
        _ => 2,
    };
    let mut path = path.skip(group_and_version).collect::<Vec<_>>();
    if let ["namespaces", _, _, ..] = path.as_slice() {
        path.drain(..2);
    }
    let Some(resource) = path.first() else {
        return ("get", "discovery".to_owned());
    };
    let is_watch = uri.query().is_some_and(|query| {
        query
            .split('&')
            .any(|part| matches!(part, "watch=true" | "watch=1"))
    });
    let verb = match *method {
        Method::GET if is_watch => "watch",
        Method::GET if path.len() == 1 => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    let resource = match path.get(2) {
        Some(subresource) => format!("{resource}/{subresource}"),
        None => (*resource).to_owned(),
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_as_rights_are() {
        for (method, uri, verb, resource) in [
            (
                Method::GET,
                "/api/v1/namespaces/bench/pods?&labelSelector=a",
                "list",
                "pods",
            ),
            (
                Method::GET,
                "/api/v1/pods?&watch=true&timeoutSeconds=290",
                "watch",
                "pods",
            ),
            (Method::GET, "/api/v1/nodes/gpu-1", "get", "nodes"),
            (Method::GET, "/api/v1/nodes", "list", "nodes"),
            (Method::GET, "/apis", "get", "discovery"),
            (Method::GET, "/apis/ray.io/v1", "get", "discovery"),
            (
                Method::GET,
                "/apis/bakeoff.dev/v1alpha1/engineprofiles",
                "list",
                "engineprofiles",
            ),
            (
                Method::GET,
                "/apis/bakeoff.dev/v1alpha1/namespaces/bench/benchmarkruns/duel",
                "get",
                "benchmarkruns",
            ),
            (
                Method::PATCH,
                "/apis/bakeoff.dev/v1alpha1/namespaces/bench/benchmarkruns/duel/status?&force=true",
                "patch",
                "benchmarkruns/status",
            ),
            (
                Method::POST,
                "/apis/events.k8s.io/v1/namespaces/bench/events",
                "create",
                "events",
            ),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/bench/leases/bakeoff",
                "update",
                "leases",
            ),
            (
                Method::DELETE,
                "/apis/batch/v1/namespaces/bench/jobs/a",
                "delete",
                "jobs",
            ),
        ] {
            let expected = (verb, resource.to_owned());
            assert_eq!(named(&method, &uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
