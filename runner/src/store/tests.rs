use bakeoff_crds::common::FileSource;

use super::*;

fn local(folder: &std::path::Path) -> Store {
    let output = backend::output_of(&format!("file://{}", folder.display()));
    Store::open(&output, "ns/run-12345678", &Environment::default()).unwrap()
}

#[tokio::test]
async fn what_is_written_is_read_back_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    for store in [local(folder.path()), Store::in_memory()] {
        store.put_new("engines/a/stage.json", "one").await.unwrap();
        // The same bytes again count as written.
        store.put_new("engines/a/stage.json", "one").await.unwrap();
        for other in ["two", "other length"] {
            let error = store
                .put_new("engines/a/stage.json", other)
                .await
                .unwrap_err();
            assert!(matches!(error, StoreError::Differs { .. }), "{error}");
            assert!(error.to_string().contains("engines/a/stage.json"));
        }
        assert_eq!(store.get("engines/a/stage.json").await.unwrap(), "one");
        assert!(store.exists("engines/a/stage.json").await.unwrap());
        assert!(!store.exists("engines/a").await.unwrap());
        let missing = store.get("engines/b").await.unwrap_err();
        assert!(matches!(missing, StoreError::NotFound { .. }), "{missing}");
    }
}

#[tokio::test]
async fn lists_relative_paths_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for store in [local(folder.path()), Store::in_memory()] {
        for path in ["report.json", "engines/b/x", "engines/a/x"] {
            store.put_new(path, path.to_owned()).await.unwrap();
        }
        let paths = |entries: Vec<Entry>| {
            entries
                .into_iter()
                .map(|entry| entry.path)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            paths(store.list("").await.unwrap()),
            ["engines/a/x", "engines/b/x", "report.json"]
        );
        assert_eq!(
            paths(store.list("engines/a").await.unwrap()),
            ["engines/a/x"]
        );
    }
}

#[tokio::test]
async fn the_write_check_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    store.check_writable("preflight-abc").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
}

#[tokio::test]
async fn the_manifest_names_every_file_and_its_hash() {
    let store = Store::in_memory();
    store.put_new("report.json", "abc").await.unwrap();
    store.put_new(".bakeoff-write-check-1", "x").await.unwrap();
    let written = manifest::write(&store).await.unwrap();
    let read: manifest::Manifest =
        serde_json::from_slice(&store.get(manifest::PATH).await.unwrap()).unwrap();
    assert_eq!(read, written);
    assert_eq!(
        read.files,
        [manifest::ManifestFile {
            path: "report.json".into(),
            size: 3,
            sha256: sha256_hex(b"abc"),
        }]
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let uri = format!("file://{}/below", file.path().display());
    let error = Store::at(&uri, &Environment::default()).unwrap_err();
    assert!(error.to_string().contains("below"), "{error}");
}

#[tokio::test]
async fn inputs_are_read_and_their_hash_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.json");
    std::fs::write(&file, "abc").unwrap();
    let inputs = Inputs {
        base: folder.path().to_owned(),
        output: backend::output_of("file:///nowhere"),
        environment: Environment::from([
            (environment::DATASET_FILE, file.to_str().unwrap()),
            (environment::TOKENIZER_FILE, "/nowhere/at/all"),
        ]),
    };
    let by_path = |path: &str, sha256| FileSource {
        path: Some(path.into()),
        sha256,
        ..Default::default()
    };
    let right = by_path("data.json", Some(sha256_hex(b"abc")));
    let fetched = inputs.fetch(&right, environment::DATASET_FILE).await;
    assert_eq!(fetched.unwrap().bytes, "abc");
    let config_map = |sha256| FileSource {
        config_map_ref: Some(bakeoff_crds::common::ConfigMapKeyRef {
            name: "prompts".into(),
            key: "data.json".into(),
        }),
        sha256,
        ..Default::default()
    };
    for (source, variable, words) in [
        (
            config_map(Some("0".repeat(64))),
            environment::DATASET_FILE,
            ["ConfigMap prompts", "has SHA-256 ba78"],
        ),
        (
            config_map(None),
            environment::TOKENIZER_FILE,
            ["ConfigMap prompts with key data.json", "make it"],
        ),
        (
            config_map(None),
            "UNSET",
            ["ConfigMap prompts", "only in a pod"],
        ),
        (
            by_path("absent.json", None),
            environment::DATASET_FILE,
            ["absent.json", "No such file"],
        ),
    ] {
        let error = inputs.fetch(&source, variable).await.unwrap_err();
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[tokio::test]
async fn a_gcs_server_of_ones_own_gets_unsigned_requests() {
    use axum::{Router, http::HeaderMap, http::Method, http::StatusCode, response::IntoResponse};
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let app = Router::new().fallback(move |method: Method, headers: HeaderMap| async move {
        let authorization = headers.get("authorization").cloned();
        log.lock().unwrap().push((method.clone(), authorization));
        match method {
            Method::PUT => ([("etag", "\"1\"")], "").into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    // Named by the spec, and by the environment.
    let output = Output {
        endpoint: Some(endpoint.clone()),
        ..backend::output_of("gs://bucket/prefix")
    };
    let store = Store::open(&output, "", &Environment::default()).unwrap();
    store.put_new("report.json", "{}").await.unwrap();
    let environment = Environment::from([(environment::GCS_ENDPOINT, endpoint.as_str())]);
    let store = Store::at("gs://bucket/prefix", &environment).unwrap();
    store.put_new("report.json", "{}").await.unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(
        seen.iter()
            .map(|(method, _)| method.as_str())
            .collect::<Vec<_>>(),
        ["HEAD", "PUT", "HEAD", "PUT"]
    );
    let token = |value: &Option<axum::http::HeaderValue>| {
        value
            .as_ref()
            .is_some_and(|value| value.as_bytes().len() > "Bearer ".len())
    };
    assert!(seen.iter().all(|(_, authorization)| !token(authorization)));
    server.abort();
}

/// Google's storage as its XML interface has it: a write with `x-goog-if-generation-match: 0` is refused
/// with 412 where there is an object (cloud.google.com/storage/docs/request-preconditions). A question
/// whether there is one is always answered with no, as to a writer who asked before another wrote.
#[tokio::test]
async fn an_object_that_came_in_between_is_kept_by_the_condition_on_its_generation() {
    use axum::{
        Router, body::Bytes, http::HeaderMap, http::Method, http::StatusCode, http::Uri,
        response::IntoResponse,
    };
    let objects = Arc::new(std::sync::Mutex::new(std::collections::BTreeMap::new()));
    let unconditional = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (there, bare) = (Arc::clone(&objects), Arc::clone(&unconditional));
    let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
        let key = uri.path().to_owned();
        let mut objects = there.lock().unwrap();
        let etag = [
            ("etag", "\"1\""),
            ("x-goog-generation", "1"),
            ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ];
        match method {
            Method::PUT => {
                let condition = headers.get("x-goog-if-generation-match");
                if condition.is_none_or(|generation| generation != "0") {
                    bare.lock().unwrap().push(key.clone());
                } else if objects.contains_key(&key) {
                    return StatusCode::PRECONDITION_FAILED.into_response();
                }
                objects.insert(key, body);
                (etag, "").into_response()
            }
            Method::GET => match objects.get(&key) {
                Some(bytes) => (etag, bytes.clone()).into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            },
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let output = Output {
        endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
        ..backend::output_of("gs://bucket/prefix")
    };
    let app = Router::new().fallback(answer);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let store = Store::open(&output, "ns/run-12345678", &Environment::default()).unwrap();
    store.put_new("stage.json", "one").await.unwrap();
    // The same bytes again count as written, as after an answer that was lost.
    store.put_new("stage.json", "one").await.unwrap();
    for other in ["two", "other length"] {
        let error = store.put_new("stage.json", other).await.unwrap_err();
        assert!(matches!(error, StoreError::Differs { .. }), "{error}");
    }
    // Of two that write at the same time, one wins.
    let (one, two) = tokio::join!(store.put_new("x", "mine"), store.put_new("x", "your"));
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    assert_eq!(store.get("stage.json").await.unwrap(), "one");
    assert_eq!(*unconditional.lock().unwrap(), [""; 0]);
    server.abort();
}

/// A server that ignores conditions would overwrite: where it is not known whether something is there,
/// nothing is written.
#[tokio::test]
async fn nothing_is_written_while_nobody_can_tell_what_is_there() {
    use axum::{Router, http::Method, http::StatusCode, response::IntoResponse};
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let app = Router::new().fallback(move |method: Method| async move {
        log.lock().unwrap().push(method.clone());
        match method {
            Method::HEAD => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            _ => ([("etag", "\"1\"")], "").into_response(),
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let output = Output {
        endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
        ..backend::output_of("gs://bucket/prefix")
    };
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let store = Store::open(&output, "", &Environment::default())
        .unwrap()
        .with_upload_timeout(Duration::from_secs(1));
    let error = store.put_new("stage.json", "one").await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    let seen = seen.lock().unwrap().clone();
    assert!(!seen.is_empty() && !seen.contains(&Method::PUT), "{seen:?}");
    server.abort();
}

#[tokio::test]
async fn what_is_not_there_is_not_waited_for() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let inputs = Inputs {
        base: "/nowhere".into(),
        output: backend::output_of("file:///nowhere"),
        environment: Environment::default(),
    };
    let of = |uri: String| FileSource {
        uri: Some(uri),
        ..FileSource::default()
    };
    let may_pass = async |source: FileSource| {
        let failed = inputs.fetch(&source, environment::DATASET_FILE).await;
        match failed.unwrap_err() {
            fetch::FetchError::Unavailable { may_pass, .. } => may_pass,
            other => panic!("{other}"),
        }
    };
    for (status, expected) in [(404, false), (403, false), (429, true), (503, true)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/set.json", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 1024]).await.unwrap();
            let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
            connection.write_all(answer.as_bytes()).await.unwrap();
        });
        assert_eq!(may_pass(of(uri)).await, expected, "{status}");
        server.await.unwrap();
    }
    // Nobody listens there.
    assert!(may_pass(of("http://127.0.0.1:1/".into())).await);
    let file = FileSource {
        path: Some("no-such-file".into()),
        ..FileSource::default()
    };
    assert!(!may_pass(file).await);
}
