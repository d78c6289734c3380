use bakeoff_crds::{plan::Endpoint, run::Protocol};

use super::*;
use crate::protocol::{Codec, RequestOptions};

fn exchange() -> Exchange {
    let endpoint = Endpoint {
        protocol: Protocol::OpenAiCompletions,
        port: 0,
        path: "/v1/completions".into(),
        model: "m".into(),
        http: None,
        request_port: None,
    };
    let codec = Codec::new(
        &endpoint,
        RequestOptions {
            streaming: true,
            ..RequestOptions::default()
        },
    );
    let mut record = Record::new(0, 0, None, 5);
    record.sent = Some(10);
    Exchange::new(record, Arc::from(*b"request"), codec.decoder(None), 1, true)
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n";

fn answer(body: &str) -> String {
    format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len())
}

const TOKEN: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":null}]}\n\n";
const LAST: &str =
    "data: {\"choices\":[{\"index\":0,\"text\":\"b\",\"finish_reason\":\"length\"}]}\n\n";
const USAGE_FRAME: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":0}}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"total_tokens\":6,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

#[test]
fn stamps_are_those_of_the_reads() {
    let mut exchange = exchange();
    let mut gaps = Gaps::new();
    let whole = answer(&format!("{TOKEN}{LAST}{USAGE}"));
    let cut = whole.find(LAST).unwrap();
    assert_eq!(
        exchange.receive(&whole.as_bytes()[..cut], 100, &mut gaps),
        Step::Continue
    );
    let step = exchange.receive(&whole.as_bytes()[cut..], 130, &mut gaps);
    assert_eq!(step, ended(Outcome::Succeeded, true));
    let record = exchange.record;
    assert_eq!(
        (record.first_content, record.last_content),
        (Some(100), Some(130))
    );
    assert_eq!(
        (record.input_tokens, record.output_tokens, record.chunks),
        (Some(4), Some(2), 2)
    );
    assert_eq!(record.finish, Some("length"));
    assert_eq!(exchange.texts, Some(vec!["ab".to_owned()]));
    assert_eq!(gaps.chunk.count(), 1);
}

#[test]
fn only_content_is_a_first_token() {
    let mut exchange = exchange();
    let mut gaps = Gaps::new();
    let empty = TOKEN.replace("\"a\"", "\"\"");
    let frames = [
        ": ping\n\n",
        &empty,
        USAGE_FRAME,
        TOKEN,
        &empty,
        LAST,
        USAGE,
    ];
    let body = frames.concat();
    let head = format!("{HEAD}content-length: {}\r\n\r\n", body.len());
    exchange.receive(head.as_bytes(), 50, &mut gaps);
    for (place, frame) in (0..).zip(frames) {
        exchange.receive(frame.as_bytes(), 100 + 10 * place, &mut gaps);
    }
    let record = exchange.record;
    assert_eq!(
        (record.first_content, record.last_content, record.chunks),
        (Some(130), Some(150), 2)
    );
    // From content to content, whatever stands between.
    let gap = gaps.chunk.distribution().unwrap();
    assert_eq!((gap.count, gap.min), (1, 20e-9));
}

#[test]
fn each_bad_answer_is_one_kind_of_failure() {
    let error = "data: {\"error\":{\"message\":\"out of blocks\",\"code\":500}}\n\n";
    for (answer, kind) in [
        (
            "HTTP/1.1 429 No\r\ncontent-length: 4\r\n\r\nslow".into(),
            FailureKind::RateLimited,
        ),
        (
            "HTTP/1.1 404 No\r\ncontent-length: 4\r\n\r\nnone".into(),
            FailureKind::Http4xx,
        ),
        (
            "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".into(),
            FailureKind::Http5xx,
        ),
        (
            "HTTP/1.1 302 There\r\ncontent-length: 0\r\n\r\n".into(),
            FailureKind::Protocol,
        ),
        ("SSH-2.0\r\n\r\n".into(), FailureKind::Protocol),
        (answer(&format!("{TOKEN}{error}")), FailureKind::StreamError),
        (answer(TOKEN), FailureKind::Truncated),
        (answer(USAGE), FailureKind::Empty),
        (answer("data: {\n\n"), FailureKind::Protocol),
    ] {
        let mut exchange = exchange();
        match exchange.receive(answer.as_bytes(), 100, &mut Gaps::new()) {
            Step::Ended {
                outcome: Outcome::Failed(found, _),
                ..
            } => assert_eq!(found, kind, "{answer}"),
            other => panic!("{answer}: {other:?}"),
        }
    }
}

#[test]
fn a_lost_connection_is_told_by_where_it_was_lost() {
    for (before, kind) in [("", FailureKind::Connect), (HEAD, FailureKind::Truncated)] {
        let mut exchange = exchange();
        let mut gaps = Gaps::new();
        exchange.receive(before.as_bytes(), 100, &mut gaps);
        match exchange.disconnected(None, 110, &mut gaps) {
            Step::Ended {
                outcome: Outcome::Failed(found, _),
                ..
            } => assert_eq!(found, kind, "{before}"),
            other => panic!("{before}: {other:?}"),
        }
    }
}

#[test]
fn bytes_after_the_end_cost_the_connection_and_nothing_else() {
    let whole = answer(&format!("{TOKEN}{LAST}{USAGE}"));
    for surplus in ["", "HTTP/1.1 200 OK\r\n\r\n"] {
        let mut exchange = exchange();
        let bytes = format!("{whole}{surplus}");
        let step = exchange.receive(bytes.as_bytes(), 100, &mut Gaps::new());
        assert_eq!(step, ended(Outcome::Succeeded, surplus.is_empty()));
    }
}

#[test]
fn text_is_kept_up_to_a_bound() {
    let mut exchange = exchange();
    let mut gaps = Gaps::new();
    let token = TOKEN.replace("\"a\"", &format!("\"{}\"", "a".repeat(1 << 20)));
    exchange.receive(format!("{HEAD}\r\n").as_bytes(), 100, &mut gaps);
    let kept = |exchange: &Exchange| exchange.texts.as_ref().map(|texts| texts[0].len());
    for megabytes in 1..=16 {
        exchange.receive(token.as_bytes(), 100, &mut gaps);
        assert_eq!(kept(&exchange), Some(megabytes << 20));
    }
    exchange.receive(token.as_bytes(), 100, &mut gaps);
    assert_eq!(kept(&exchange), None);
    // The answer itself goes on.
    assert_eq!(exchange.record.chunks, 17);
}

#[test]
fn a_late_answer_is_a_timeout_unless_its_status_says_more() {
    for (before, kind) in [
        ("", FailureKind::Timeout),
        (HEAD, FailureKind::Timeout),
        (&answer(TOKEN)[..80], FailureKind::Timeout),
        (
            "HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\n",
            FailureKind::Http5xx,
        ),
    ] {
        let mut exchange = exchange();
        exchange.receive(before.as_bytes(), 100, &mut Gaps::new());
        let Outcome::Failed(found, _) = exchange.late(7) else {
            panic!("{before}");
        };
        assert_eq!(found, kind, "{before}");
    }
}

#[test]
fn how_long_to_wait_is_kept_of_answers_that_say_too_many() {
    for (status, kept) in [(429, Some(30)), (503, None), (200, None)] {
        let (mut exchange, mut gaps) = (exchange(), Gaps::new());
        let head = format!("HTTP/1.1 {status} No\r\nRetry-After: 30\r\ncontent-length: 0\r\n\r\n");
        exchange.receive(head.as_bytes(), 1, &mut gaps);
        assert_eq!(exchange.record.retry_after, kept, "{status}");
    }
}
