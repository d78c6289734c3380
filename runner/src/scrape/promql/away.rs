//! A Prometheus that is away, slow, cut or no Prometheus: every value is absent with a reason, and the
//! accelerator does not wait for long.

use std::sync::atomic::{AtomicUsize, Ordering};

use bakeoff_crds::plan::Series;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

const WINDOW: TimeWindow = TimeWindow {
    end: 1_700_000_000.25,
    seconds: 20.5,
};
const VALUE: &str =
    r#"{"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}"#;

/// What it does with each question.
#[derive(Clone, Copy)]
enum Act {
    /// Takes it, and says nothing.
    Hang,
    /// Begins to answer, and goes on with a byte now and then.
    Drip,
    /// Breaks off amid its answer.
    Cut,
    /// Answers with this status and text.
    Say(&'static str, &'static str),
    /// Never stops.
    Flood,
}

/// A server that acts so, and how many questions it got.
async fn server(act: Act) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let questions = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&questions);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, act, Arc::clone(&seen)));
        }
    });
    (url, questions)
}

async fn connection(mut stream: TcpStream, act: Act, seen: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    seen.fetch_add(1, Ordering::Relaxed);
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n{\"status\": ";
    let done = match act {
        Act::Hang => std::future::pending().await,
        Act::Drip => {
            let _ = stream.write_all(begun).await;
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if stream.write_all(b" ").await.is_err() {
                    return;
                }
            }
        }
        Act::Cut => stream.write_all(begun).await,
        Act::Say(status, text) => {
            let length = text.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
            );
            stream.write_all(answer.as_bytes()).await
        }
        Act::Flood => loop {
            if stream.write_all(begun).await.is_err() {
                return;
            }
        },
    };
    // Who has hung up is not told.
    let _ = done;
}

/// Three metrics, each of one name.
fn metrics() -> PlannedMetrics {
    let metrics = [
        CommonMetric::Running,
        CommonMetric::Waiting,
        CommonMetric::PromptTokens,
    ];
    let series = |name: &str| Series {
        names: vec![name.to_owned()],
        kind: SeriesKind::Counter,
    };
    PlannedMetrics {
        series: metrics.map(|metric| (metric, series("x"))).into(),
        ..PlannedMetrics::default()
    }
}

/// How often it is asked of a window where it acts so, and why each of the three values is absent.
async fn asked(act: Act, patience: Duration) -> (usize, Vec<String>) {
    let (url, questions) = server(act).await;
    let prometheus = Prometheus::new(&url, Duration::from_millis(5), &[])
        .unwrap()
        .with_patience(patience);
    let mut reasons = Vec::new();
    // Each window anew.
    for number in 1..=2 {
        let window = TimeWindow {
            end: WINDOW.end + f64::from(number),
            ..WINDOW
        };
        let metrics = metrics();
        let target = Target::default();
        let found = prometheus.window(Some(&metrics), &target, window);
        let found = tokio::time::timeout(Duration::from_secs(60), found).await;
        let found = found.expect("it ends in time");
        assert_eq!(found.len(), 3);
        reasons = found
            .into_values()
            .map(|value| value.absent.unwrap_or_default())
            .collect();
    }
    let questions = questions.load(Ordering::Relaxed);
    assert_eq!(questions % 2, 0, "{questions} of two windows");
    (questions / 2, reasons)
}

#[tokio::test]
async fn one_that_says_nothing_is_asked_for_so_long_and_no_longer() {
    for act in [Act::Hang, Act::Drip] {
        let (questions, reasons) = asked(act, Duration::from_millis(300)).await;
        assert_eq!(questions, 1, "{reasons:?}");
        for reason in &reasons {
            let words =
                "PrometheusUnreachable: not answered: all questions of one window have 0.3 s";
            assert!(reason.starts_with(words), "{reason}");
        }
    }
}

#[tokio::test]
async fn one_that_breaks_off_is_asked_twice() {
    for (act, words) in [
        (Act::Cut, "error decoding response body"),
        (Act::Flood, "the answer is longer than 4194304 bytes"),
    ] {
        let (questions, reasons) = asked(act, Duration::from_secs(60)).await;
        assert_eq!(questions, 2, "{reasons:?}");
        for reason in &reasons {
            assert!(reason.starts_with("PrometheusUnreachable: "), "{reason}");
            assert!(reason.contains(words), "{reason}");
        }
        let not_asked = |reason: &&String| reason.contains("not asked, for it did not answer");
        assert_eq!(reasons.iter().filter(not_asked).count(), 1, "{reasons:?}");
    }
}

#[tokio::test]
async fn one_that_says_something_else_is_asked_everything() {
    for (status, text, words) in [
        ("500 Internal Server Error", "<html>", "(HTTP 500"),
        (
            "503 Service Unavailable",
            r#"{"status": "error", "error": "too busy"}"#,
            "QueryRefused: too busy",
        ),
        ("200 OK", "", "the answer is none of Prometheus: EOF"),
        (
            "200 OK",
            &VALUE[..VALUE.len() - 2],
            "correct spec.metrics.url",
        ),
        ("401 Unauthorized", "", "QueryForbidden: HTTP 401"),
    ] {
        let (questions, reasons) = asked(Act::Say(status, text), Duration::from_secs(60)).await;
        assert_eq!(questions, 3, "{reasons:?}");
        for reason in &reasons {
            assert!(reason.contains(words), "{words}: {reason}");
        }
    }
    let (questions, reasons) = asked(Act::Say("200 OK", VALUE), Duration::from_secs(60)).await;
    assert_eq!((questions, reasons), (3, vec![String::new(); 3]));
}
