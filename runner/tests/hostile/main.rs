//! Servers that misbehave on a real connection: each is one kind of failure, and none holds a request
//! past its time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod client;
mod server;

use bakeoff_runner::{
    clock::{MILLISECOND, Nanos, SECOND},
    record::{FailureKind, Outcome},
};

use self::{
    client::{check, driven, failure_of},
    server::{Act, chunk, send},
};

/// Time for one request.
const TIMEOUT: Nanos = 400 * MILLISECOND;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const TOKEN: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"a\"}]}\n\n";
const LAST: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"b\",\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";

#[test]
fn no_server_holds_a_request_past_its_time() {
    let http = send(format!("{OK}\r\n"));
    let token = chunk(TOKEN).into_bytes();
    for (name, acts) in [
        ("silence", vec![Act::Wait]),
        (
            "a dripping head",
            vec![Act::DripForEver(b"HTTP/1.1 200 OK\r\nx: ".to_vec())],
        ),
        ("a head and silence", vec![http.clone(), Act::Wait]),
        (
            "half a token and silence",
            vec![http.clone(), send(&TOKEN[..20]), Act::Wait],
        ),
        (
            "dripping tokens",
            vec![http.clone(), Act::DripForEver(TOKEN.into())],
        ),
        (
            "dripping chunks",
            vec![send(CHUNKED), Act::DripForEver(token.clone())],
        ),
        (
            "a flood of tokens",
            vec![http.clone(), Act::SendForEver(TOKEN.into())],
        ),
        (
            "a flood of chunks",
            vec![send(CHUNKED), Act::SendForEver(token)],
        ),
        (
            "a flood of comments",
            vec![http.clone(), Act::SendForEver(b": ping\n\n".to_vec())],
        ),
        (
            "a flood of trailers",
            vec![
                send(CHUNKED),
                send("0\r\n"),
                Act::SendForEver(b"x: y\r\n".to_vec()),
            ],
        ),
        (
            "a flood of interim answers",
            vec![Act::SendForEver(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())],
        ),
        (
            "no end after the end",
            vec![
                send(CHUNKED),
                send(chunk(&format!("{TOKEN}{LAST}"))),
                Act::Wait,
            ],
        ),
    ] {
        check(name, acts, TIMEOUT, FailureKind::Timeout);
    }
}

#[test]
fn what_is_too_large_is_refused_at_its_bound() {
    for (name, acts) in [
        (
            "an endless head",
            vec![send(OK), Act::SendForEver(b"x: ".repeat(100))],
        ),
        (
            "endless header fields",
            vec![send(OK), Act::SendForEver(b"x: y\r\n".to_vec())],
        ),
        (
            "an endless chunk size",
            vec![send(CHUNKED), Act::SendForEver(b"0".to_vec())],
        ),
        (
            "an endless line",
            vec![
                send(format!("{OK}\r\ndata: ")),
                Act::SendForEver(vec![b'x'; 1000]),
            ],
        ),
        (
            "an endless event",
            vec![
                send(format!("{OK}\r\n")),
                Act::SendForEver(format!("data: {}\n", "x".repeat(1000)).into()),
            ],
        ),
        (
            "an endless object",
            vec![
                send(format!("{OK}\r\n{{\"choices\":[")),
                Act::SendForEver(b"{},".repeat(1000)),
            ],
        ),
    ] {
        let driven = driven(name, acts, 40 * SECOND);
        for record in &driven.records {
            assert_eq!(
                failure_of(record),
                Some(FailureKind::Protocol),
                "{name}: {record:?}"
            );
            // The bound of a frame, and what one round reads.
            assert!(record.bytes < 18 << 20, "{name}: {} bytes", record.bytes);
        }
    }
}

#[test]
fn an_early_end_is_told_by_where_it_came() {
    let half = send(&TOKEN[..20]);
    for (name, acts, kind) in [
        ("before an answer", vec![Act::Close], FailureKind::Connect),
        (
            "in the head",
            vec![send(&OK[..20]), Act::Close],
            FailureKind::Truncated,
        ),
        (
            "after the head",
            vec![send(format!("{OK}content-length: 9\r\n\r\n")), Act::Close],
            FailureKind::Truncated,
        ),
        (
            "in a token",
            vec![send(format!("{OK}\r\n")), half, Act::Close],
            FailureKind::Truncated,
        ),
        (
            "after a token",
            vec![send(format!("{OK}\r\n{TOKEN}")), Act::Close],
            FailureKind::Truncated,
        ),
        (
            "within a chunk",
            vec![send(CHUNKED), send(&chunk(TOKEN)[..20]), Act::Close],
            FailureKind::Truncated,
        ),
        (
            "before the last chunk",
            vec![
                send(CHUNKED),
                send(chunk(&format!("{TOKEN}{LAST}"))),
                Act::Close,
            ],
            FailureKind::Truncated,
        ),
        (
            "with nothing in it",
            vec![send(format!("{OK}\r\n")), Act::Close],
            FailureKind::Empty,
        ),
        (
            "with a page in it",
            vec![
                send(format!("{OK}\r\n<html>\nBad gateway\n</html>\n")),
                Act::Close,
            ],
            FailureKind::Protocol,
        ),
        (
            "of another protocol",
            vec![send("SSH-2.0-OpenSSH\r\n"), Act::Close],
            FailureKind::Protocol,
        ),
    ] {
        check(name, acts, 40 * SECOND, kind);
    }
}

#[test]
fn a_status_is_told_whatever_becomes_of_its_body() {
    let head = send("HTTP/1.1 503 No\r\ncontent-length: 1000000000\r\n\r\n");
    for (name, acts) in [
        ("no body", vec![head.clone(), Act::Wait]),
        (
            "a dripping body",
            vec![head.clone(), Act::DripForEver(b"busy ".to_vec())],
        ),
        (
            "a flood",
            vec![head.clone(), Act::SendForEver(b"busy ".to_vec())],
        ),
        ("an early end", vec![head, send("busy"), Act::Close]),
    ] {
        check(name, acts, TIMEOUT, FailureKind::Http5xx);
    }
}

#[test]
fn odd_but_whole_answers_are_answers() {
    let body = format!("{TOKEN}{LAST}");
    let crlf = body.replace('\n', "\r\n");
    let lines = "data: {\"choices\":\ndata: [{\"index\":0,\"text\":\"a\",\ndata: \"finish_reason\":\"stop\"}]}\n\n";
    let whole = "{\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\"}]}";
    let no_done = LAST.replace("data: [DONE]\n\n", "");
    for (name, answer) in [
        ("lines that end with CR LF", format!("{OK}\r\n{crlf}")),
        (
            "comments between",
            format!("{OK}\r\n: a\n\n{TOKEN}: b\n{LAST}: c\n\n"),
        ),
        ("data of several lines", format!("{OK}\r\n{lines}")),
        ("no [DONE]", format!("{OK}\r\n{TOKEN}{no_done}")),
        ("no stream", format!("{OK}\r\n{whole}")),
        (
            "interim answers",
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{OK}\r\n{body}"
            ),
        ),
        (
            "chunks with extensions, upper case and trailers",
            format!(
                "{CHUNKED}{:X};a=\"b;c\"\r\n{body}\r\n000;z\r\nx: y\r\n\r\n",
                body.len()
            ),
        ),
        (
            "chunks of one byte, with bare line ends",
            format!(
                "{CHUNKED}{}0\n\n",
                body.chars()
                    .map(|c| format!("1\n{c}\n"))
                    .collect::<String>()
            ),
        ),
        (
            "bytes after the end",
            format!("{OK}content-length: {}\r\n\r\n{body}and more", body.len()),
        ),
    ] {
        let driven = driven(name, vec![send(answer), Act::Close], 40 * SECOND);
        for record in &driven.records {
            assert_eq!(record.outcome, Outcome::Succeeded, "{name}");
            assert!(record.chunks > 0, "{name}");
        }
    }
}
