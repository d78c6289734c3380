use super::*;
use crate::{
    plan::{Place, PlanSettings, resolve},
    profile::ProfileSet,
    run::{HttpFormat, HttpFraming, Protocol, Sampling},
    validate::document::{Document, read},
};

fn format(body: &str) -> HttpFormat {
    let yaml = serde_json::json!({"path": "/p", "body": body, "answer": {"text": ["/t"]}});
    serde_json::from_value(yaml).unwrap()
}

fn body(format: &HttpFormat, sampling: &Sampling) -> Result<String, String> {
    let template = RequestTemplate::new(format).map_err(|error| error.to_string())?;
    let message = TemplateMessage {
        role: "user",
        content: "say \"hi\"\n",
    };
    let values = BodyValues {
        prompt: "say \"hi\"\n",
        messages: &[message],
        max_tokens: 7,
        sampling,
        model: "org/m",
        stream: true,
    };
    template.body(&values).map_err(|error| error.to_string())
}

#[test]
fn every_format_that_comes_with_bakeoff_is_read_and_makes_requests() {
    let mut read = 0;
    // Those by gRPC have the format of their twins.
    for protocol in Protocol::ALL.into_iter().filter(|it| !it.is_grpc()) {
        let Some(format) = builtin(protocol) else {
            continue;
        };
        read += 1;
        let sampling = Sampling {
            stop: vec!["END".into()],
            ..Sampling::default()
        };
        let body = body(&format, &sampling).unwrap_or_else(|error| panic!("{protocol:?}: {error}"));
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert!(body.to_string().contains("say \\\"hi\\\"\\n"), "{body}");
        assert_eq!(
            format.answer.text.is_empty(),
            format.answer.framing == HttpFraming::Text,
            "{protocol:?}"
        );
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/protocols");
    assert_eq!(read, std::fs::read_dir(folder).unwrap().count());
}

/// Its own path and port, and otherwise what the twin over HTTP says of requests and answers.
#[test]
fn a_call_by_grpc_is_planned_as_its_twin_over_http_is() {
    let case = include_str!("../../../tests/cases/good/odd-protocols.yaml");
    let service = "/org.pytorch.serve.grpc.inference.InferenceAPIsService";
    for (streaming, method) in [(true, "StreamPredictions"), (false, "Predictions")] {
        let plan = |yaml: &str| {
            let yaml = yaml.replace(
                "  workload:\n",
                &format!("  workload:\n    streaming: {streaming}\n"),
            );
            let Ok(Document::BenchmarkRun(run)) = read(&yaml) else {
                panic!("not a run")
            };
            let settings = PlanSettings {
                runner_image: "image".into(),
                place: Place::Cluster,
            };
            resolve(&run, &ProfileSet::builtin(), &settings).unwrap()
        };
        let grpc = plan(case);
        let http = plan(&case.replace("Grpc", ""));
        assert!(!http.warnings.is_empty());
        let told: Vec<_> = grpc
            .warnings
            .iter()
            .map(|it| it.replace("Grpc", ""))
            .collect();
        assert_eq!(told, http.warnings);
        for (ours, twin) in grpc.engines.iter().zip(&http.engines) {
            assert_eq!(ours.capabilities, twin.capabilities, "{}", ours.name);
        }
        let path = |name: &str| {
            let mut engines = grpc.engines.iter();
            let engine = engines.find(|engine| engine.name == name).unwrap();
            engine.endpoint.path.clone()
        };
        assert_eq!(path("handler"), format!("{service}/{method}"));
        let infer = "/inference.GRPCInferenceService/ModelInfer";
        assert_eq!(path("repository"), infer);
    }
}

#[test]
fn values_are_written_as_json() {
    let template = r#"{"p": {{ prompt }}, "k": {{ topK }}, "s": {{ stop }}, "m": {{ messages }}, "e": {{ ignoreEos }}, "t": {{ temperature }}}"#;
    let sampling = Sampling {
        stop: vec!["</s>".into()],
        ..Sampling::default()
    };
    let body: serde_json::Value =
        serde_json::from_str(&body(&format(template), &sampling).unwrap()).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "p": "say \"hi\"\n", "k": null, "s": ["</s>"],
            "m": [{"role": "user", "content": "say \"hi\"\n"}], "e": false, "t": 0.0,
        })
    );
}

#[test]
fn a_body_of_another_type_takes_values_as_they_are() {
    let plain = HttpFormat {
        content_type: "text/plain".into(),
        ..format("{{ prompt }}|{{ model }}")
    };
    let body = body(&plain, &Sampling::default()).unwrap();
    assert_eq!(body, "say \"hi\"\n|org/m");
}

#[test]
fn templates_that_give_no_request_say_where_and_why() {
    for (template, words) in [
        ("{{ promt }}", "promt"),
        ("{{ prompt", "body"),
        ("{\"p\": \"{{ prompt }}\"}", "bring their own quotes"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}",
            "fuel",
        ),
        ("{\"p\": {{ messages[4].content }}}", "undefined"),
    ] {
        let error = body(&format(template), &Sampling::default()).unwrap_err();
        assert!(error.contains(words), "{template}: {error}");
    }
}

#[test]
fn paths_and_headers_are_templates_too() {
    let own = HttpFormat {
        path: "/m/{{ model }}{% if stream %}/stream{% endif %}".into(),
        headers: [("x-model".to_owned(), "{{ model }}".to_owned())].into(),
        ..format("{}")
    };
    let template = RequestTemplate::new(&own).unwrap();
    assert_eq!(template.path("a", true).unwrap(), "/m/a/stream");
    assert_eq!(template.path("a", false).unwrap(), "/m/a");
    let fields = template.headers("a", true).unwrap();
    assert_eq!(fields, [("x-model".to_owned(), "a".to_owned())]);
    let error = template.path("a b", true).unwrap_err().to_string();
    assert!(error.contains("is no path"), "{error}");
}

/// Of profile `triton-tensorrt-llm-engine`: the ensemble's inputs, in its own words.
#[test]
fn an_ensemble_of_triton_is_asked_in_its_own_words() {
    let profiles = crate::profile::ProfileSet::builtin();
    let profile = profiles.get("triton-tensorrt-llm-engine").unwrap();
    let format = profile.protocols[0].http.clone().unwrap();
    let asked = |sampling: &Sampling| -> serde_json::Value {
        serde_json::from_str(&body(&format, sampling).unwrap()).unwrap()
    };
    // Greedy is a top_k of 1, which takes no seed.
    assert_eq!(
        asked(&Sampling {
            seed: Some(3),
            ..Sampling::default()
        }),
        serde_json::json!({
            "text_input": "say \"hi\"\n", "max_tokens": 7, "bad_words": "", "stop_words": "",
            "top_k": 1, "stream": true,
        })
    );
    assert_eq!(
        asked(&Sampling {
            temperature: 0.5,
            top_p: Some(0.9),
            top_k: Some(20),
            seed: Some(3),
            stop: vec!["END".into()],
            ignore_eos: true,
        }),
        serde_json::json!({
            "text_input": "say \"hi\"\n", "max_tokens": 7, "bad_words": "", "stop_words": ["END"],
            "temperature": 0.5, "top_p": 0.9, "top_k": 20, "seed": 3, "random_seed": 3,
            "min_tokens": 7, "min_length": 7, "stream": true,
        })
    );
    let template = RequestTemplate::new(&format).unwrap();
    for (stream, path) in [(true, "generate_stream"), (false, "generate")] {
        let path = format!("/v2/models/ensemble/{path}");
        assert_eq!(template.path("ensemble", stream).unwrap(), path);
    }
}
