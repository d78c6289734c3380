use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode},
    routing::get,
};

use super::*;
use crate::{report::fixture, store::Environment};

const RUN: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: hub, namespace: bench, uid: 0f9a1b2c-0000-4000-8000-000000000000}
spec:
  model: {id: ID, revision: REVISION, adapters: [{name: lora, id: org/lora}, {name: local, id: /lora}]}
  engines:
    - {name: vllm, profile: vllm}
    - {name: again, profile: vllm}
    - {name: hosted, external: {url: "https://api.example.com", protocol: OpenAiCompletions}}
  workload:
    prompts: {inline: [hello]}
  output: {uri: "s3://results/bakeoff"}
"#;

/// A hub with one open repository, an adapter and one that is gated.
async fn hub() -> String {
    let answer = |Path((org, name, revision)): Path<(String, String, String)>,
                  headers: HeaderMap| async move {
        let token = headers
            .get("authorization")
            .map(|it| it.to_str().unwrap().to_owned());
        match (
            format!("{org}/{name}").as_str(),
            revision.as_str(),
            token.as_deref(),
        ) {
            ("org/open", "main" | "a/b", _) | ("org/lora", "main", _) => (
                StatusCode::OK,
                format!(r#"{{"id": "{name}", "sha": "c0ffee-{name}"}}"#),
            ),
            ("org/gated", _, Some("Bearer secret")) => {
                (StatusCode::OK, r#"{"sha": "beef"}"#.into())
            }
            ("org/gated", _, Some(_)) => (StatusCode::FORBIDDEN, String::new()),
            ("org/gated", _, None) => (StatusCode::UNAUTHORIZED, String::new()),
            ("org/broken", ..) => (StatusCode::OK, "<html>".into()),
            ("org/tired", ..) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            _ => (StatusCode::NOT_FOUND, String::new()),
        }
    };
    let routes = Router::new().route("/api/models/{org}/{name}/revision/{revision}", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

async fn asked(
    hub: &str,
    id: &str,
    revision: &str,
    token: Option<&str>,
) -> Result<Vec<ResolvedRepository>, Failure> {
    let mut plan = fixture::plan_of(&RUN.replace("ID", id).replace("REVISION", revision));
    plan.spec.model.hub = Some(format!("{hub}/"));
    let environment = match token {
        Some(token) => Environment::from([(HF_TOKEN, token)]),
        None => Environment::default(),
    };
    let inputs = Inputs {
        base: "/".into(),
        output: plan.spec.output.clone(),
        environment,
    };
    resolve(&plan, &inputs).await
}

#[tokio::test]
async fn revisions_are_resolved_to_commits_each_once() {
    let hub = hub().await;
    for revision in ["main", "a/b"] {
        let found = asked(&hub, "org/open", revision, None).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.id.as_str(), it.revision.as_str(), it.commit.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("org/lora", "main", Some("c0ffee-lora")),
                ("org/open", revision, Some("c0ffee-open")),
            ]
        );
    }
    let found = asked(&hub, "org/gated", "main", Some("secret"))
        .await
        .unwrap();
    assert_eq!(found[0].commit.as_deref(), Some("beef"));
}

#[tokio::test]
async fn what_the_hub_refuses_ends_the_run_before_an_accelerator_is_taken() {
    let hub = hub().await;
    for (id, token, reason, says) in [
        (
            "org/none",
            None,
            reason::MODEL_NOT_FOUND,
            "no repository org/none with a revision main",
        ),
        (
            "org/gated",
            None,
            reason::MODEL_ACCESS_DENIED,
            "set model.tokenSecretRef",
        ),
        (
            "org/gated",
            Some("other"),
            reason::MODEL_ACCESS_DENIED,
            "accept the model's licence",
        ),
    ] {
        let failure = asked(&hub, id, "main", token).await.unwrap_err();
        assert_eq!(failure.reason, reason, "{}", failure.message);
        assert!(failure.message.contains(says), "{}", failure.message);
        assert!(!failure.message.contains("other"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_hub_that_gives_no_answer_is_no_failure() {
    let hub = hub().await;
    for (hub, id) in [
        (hub.as_str(), "org/broken"),
        (hub.as_str(), "org/tired"),
        ("http://127.0.0.1:9", "org/open"),
    ] {
        let found = asked(hub, id, "main", None).await.unwrap();
        let of_model = found.iter().find(|it| it.id == id).unwrap();
        assert_eq!(of_model.commit, None, "{hub} {id}");
    }
}

#[test]
fn only_what_deployed_engines_load_from_the_hub_is_asked_for() {
    let mut plan = fixture::plan_of(&RUN.replace("ID", "org/open").replace("REVISION", "main"));
    plan.spec.model.persistent_volume_claim = Some(bakeoff_crds::run::ModelClaim {
        claim_name: "weights".into(),
        path: String::new(),
    });
    let lora = ("org/lora".to_owned(), "main".to_owned());
    assert_eq!(repositories(&plan), [lora]);
    plan.engines.retain(|engine| engine.name == "hosted");
    plan.spec.engines.retain(|engine| engine.name == "hosted");
    assert_eq!(repositories(&plan), []);
}
