//! The publisher of profile `sax`: its own script, run by a real Python where the machine has one,
//! against a server that is played here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use bakeoff_crds::profile::ProfileSet;

/// How long the publisher may take for its next request on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: there is no python3");
    }
    found
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn publisher(folder: &std::path::Path, url: &str, ready: u16, class: &str) -> Child {
    let profiles = ProfileSet::builtin();
    let profile = profiles.get("sax").unwrap();
    let container = profile.containers.iter().find(|it| it.name == "publisher");
    let command = &container.unwrap().command;
    let file = profile.files.iter().find(|file| file.path == command[1]);
    let script = folder.join("publish.py");
    std::fs::write(&script, &file.unwrap().content).unwrap();
    Command::new(&command[0])
        .arg(&script)
        .env("SAX_URL", url)
        .env("SAX_MODEL", "/sax/test/model")
        .env("SAX_CHECKPOINT", "gs://weights/checkpoint_00000000")
        .env("SAX_MODEL_PATH", class)
        .env("READY_PORT", ready.to_string())
        .env("PUBLISH_PAUSE", "0")
        .env("PUBLISH_TRIES", "3")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The next connection. A publisher that asks no more fails the test.
fn accepted(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(begun.elapsed() < PATIENCE, "nobody asks");
                thread::park_timeout(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Answers requests one after another with these, and returns each request's path and body.
fn answer(listener: &TcpListener, answers: &[(u16, &str)]) -> Vec<(String, String)> {
    let mut asked = Vec::new();
    for (status, body) in answers {
        let stream = accepted(listener);
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let path = line.split(' ').nth(1).unwrap().to_owned();
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).unwrap();
            if field.trim().is_empty() {
                break;
            }
            if let Some(value) = field.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut text = vec![0; length];
        reader.read_exact(&mut text).unwrap();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = reader.into_inner();
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .unwrap();
        asked.push((path, String::from_utf8(text).unwrap()));
    }
    asked
}

#[test]
fn nothing_is_ready_before_the_model_has_answered() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ready = free_port();
    let mut child = publisher(folder.path(), &url, ready, "own.params.GPTJ");
    // The admin server is not there yet; then it is, and the model loads.
    let asked = answer(
        &listener,
        &[
            (500, "{}"),
            (500, "no admin server"),
            (500, "no such model"),
            (200, "{}"),
            (500, "not loaded"),
            (500, "not loaded"),
        ],
    );
    let paths: Vec<_> = asked.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/unpublish",
            "/publish",
            "/unpublish",
            "/publish",
            "/generate",
            "/generate"
        ]
    );
    let published: serde_json::Value = serde_json::from_str(&asked[3].1).unwrap();
    assert_eq!(
        published,
        serde_json::json!({
            "model": "/sax/test/model", "model_path": "own.params.GPTJ",
            "checkpoint": "gs://weights/checkpoint_00000000", "replicas": 1,
        })
    );
    assert!(TcpStream::connect(("127.0.0.1", ready)).is_err());
    answer(&listener, &[(200, r#"{"choices": [{"text": "!"}]}"#)]);
    // Then its port opens; until it does, nobody listens there.
    while TcpStream::connect(("127.0.0.1", ready)).is_err() {
        assert!(child.try_wait().unwrap().is_none());
        thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_model_that_is_refused_ends_the_publisher_with_the_servers_words() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let child = publisher(folder.path(), &url, free_port(), "own.params.Unknown");
    answer(&listener, &[(400, "no class own.params.Unknown"); 6]);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(
            "not published in 3 tries; the last one: HTTP 400: no class own.params.Unknown"
        ),
        "{said}"
    );
    let child = publisher(folder.path(), &url, free_port(), "");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("SAX_MODEL_PATH is not set"), "{said}");
}
