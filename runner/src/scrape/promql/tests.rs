use axum::{Json, Router, extract::Query, routing::get};
use bakeoff_crds::plan::Series;
use serde_json::json;

use super::*;

const WINDOW: TimeWindow = TimeWindow {
    end: 1_700_000_000.25,
    seconds: 20.5,
};

fn target() -> Target {
    Target {
        namespace: Some("ns".into()),
        pods: vec!["run-vllm-1".into()],
    }
}

#[test]
fn queries_cover_the_window_and_the_pod() {
    let selector = Selector::parse("vllm:x{engine=\"a\\\"b\"}").unwrap();
    let labels = |suffix: &str| {
        format!(
            r#"{{__name__="vllm:x{suffix}",engine="a\"b",namespace="ns",pod="run-vllm-1"}}[20500ms]"#
        )
    };
    let plain = labels("");
    for (metric, kind, first, second) in [
        (
            CommonMetric::Running,
            SeriesKind::Gauge,
            format!("sum(avg_over_time({plain}))"),
            Some(format!("sum(max_over_time({plain}))")),
        ),
        (
            CommonMetric::KvCacheUsage,
            SeriesKind::Gauge,
            format!("avg(avg_over_time({plain}))"),
            Some(format!("avg(max_over_time({plain}))")),
        ),
        (
            CommonMetric::PromptTokens,
            SeriesKind::Counter,
            format!("sum(increase({plain}))"),
            None,
        ),
        (
            CommonMetric::TimeToFirstToken,
            SeriesKind::Histogram,
            format!("sum(increase({}))", labels("_sum")),
            Some(format!("sum(increase({}))", labels("_count"))),
        ),
    ] {
        let queries = queries(metric, kind, &selector, &target(), WINDOW);
        assert_eq!(queries, (first, second), "{metric:?}");
    }
}

#[test]
fn several_pods_are_asked_of_together() {
    let several = Target {
        pods: vec!["lws-0".into(), "lws-0-1".into()],
        ..target()
    };
    let selector = Selector::parse("x").unwrap();
    assert_eq!(
        vector(&selector, "", &several),
        r#"{__name__="x",namespace="ns",pod=~"lws-0|lws-0-1"}"#
    );
    assert_eq!(
        fill_in(r#"y{pod=~"$pod"}"#, &several, WINDOW),
        r#"y{pod=~"lws-0|lws-0-1"}"#
    );
}

#[test]
fn extra_queries_are_filled_in() {
    let query = r#"avg_over_time(x{namespace="$namespace",pod=~"$pod"}[$window])"#;
    assert_eq!(
        fill_in(query, &target(), WINDOW),
        r#"avg_over_time(x{namespace="ns",pod=~"run-vllm-1"}[20500ms])"#
    );
}

/// A stand-in for Prometheus: knows `old` series only, and one query with two results.
async fn stand_in() -> std::net::SocketAddr {
    let answer = |Query(query): Query<BTreeMap<String, String>>| async move {
        assert_eq!(query["time"], "1700000000.250");
        let promql = &query["query"];
        let value = |value: &str| json!({"metric": {}, "value": [1_700_000_000.25, value]});
        let result = if promql.contains("\"old") && promql.contains("_count") {
            vec![value("4")]
        } else if promql.contains("\"old") {
            vec![value("10")]
        } else if promql.starts_with("two") {
            vec![value("1"), value("2")]
        } else {
            vec![]
        };
        Json(json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
    };
    let app = Router::new().route("/api/v1/query", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn metrics() -> PlannedMetrics {
    let series = |names: &[&str], kind| Series {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        kind,
    };
    PlannedMetrics {
        series: BTreeMap::from([
            (
                CommonMetric::Running,
                series(&["new", "old"], SeriesKind::Gauge),
            ),
            (
                CommonMetric::TimeToFirstToken,
                series(&["old"], SeriesKind::Histogram),
            ),
            (CommonMetric::Waiting, series(&["none"], SeriesKind::Gauge)),
        ]),
        ..PlannedMetrics::default()
    }
}

#[tokio::test]
async fn takes_the_first_series_that_is_there() {
    let address = stand_in().await;
    let extra = [ExtraQuery {
        name: "gpu".into(),
        query: "two".into(),
    }];
    let prometheus = Prometheus::new(
        &format!("http://{address}"),
        Duration::from_millis(5),
        &extra,
    )
    .unwrap();
    let values = prometheus.window(Some(&metrics()), &target(), WINDOW).await;
    let running = values["running"].prometheus.clone().unwrap();
    assert_eq!((running.mean, running.max), (Some(10.0), Some(10.0)));
    let first_token = values["timeToFirstToken"].prometheus.clone().unwrap();
    assert_eq!(
        (first_token.mean, first_token.increase),
        (Some(2.5), Some(4.0))
    );
    let absent = |name: &str| values[name].absent.clone().unwrap();
    assert!(absent("waiting").starts_with("NotInPrometheus"));
    assert!(absent("gpu").starts_with("ManySeries: the query gives 2"));
}

#[tokio::test]
async fn a_short_window_or_no_prometheus_is_a_reason() {
    let prometheus = |interval| Prometheus::new("http://127.0.0.1:9", interval, &[]).unwrap();
    let short = prometheus(Duration::from_secs(6));
    let values = short.window(Some(&metrics()), &target(), WINDOW).await;
    assert_eq!(values["running"].absent.as_deref(), Some(WINDOW_TOO_SHORT));
    assert_eq!(values.len(), 3);
    let away = prometheus(Duration::from_millis(1));
    let values = away.window(Some(&metrics()), &target(), WINDOW).await;
    let reason = values["running"].absent.clone().unwrap();
    assert!(reason.starts_with("PrometheusUnreachable"), "{reason}");
}
