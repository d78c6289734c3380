use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

use super::*;

fn object(status: Value) -> DynamicObject {
    let kind = GroupVersionKind::gvk("example.com", "v1", "Engine");
    let mut object = DynamicObject::new("e", &ApiResource::from_gvk(&kind));
    object.data = json!({ "status": status });
    object
}

fn at_condition() -> ObjectReadiness {
    ObjectReadiness {
        condition: Some("Ready".into()),
        ..ObjectReadiness::default()
    }
}

fn at_value(pointer: &str, value: &str) -> ObjectReadiness {
    ObjectReadiness {
        condition: None,
        pointer: Some(pointer.into()),
        value: Some(value.into()),
    }
}

#[test]
fn a_condition_is_ready_when_it_is_true() {
    let told = |status: Value| readiness(&at_condition(), &object(status));
    for (status, is_ready, says) in [
        (json!({}), false, "it has no condition Ready yet"),
        (
            json!({"conditions": "odd"}),
            false,
            "it has no condition Ready yet",
        ),
        (
            json!({"conditions": [{"type": "Other", "status": "True"}]}),
            false,
            "it has no condition Ready yet",
        ),
        (
            json!({"conditions": [{"type": "Ready", "status": "False", "reason": "NoHead", "message": "head is not up"}]}),
            false,
            "condition Ready is False: NoHead head is not up",
        ),
        (
            json!({"conditions": [{"type": "Ready", "status": "Unknown"}]}),
            false,
            "condition Ready is Unknown:",
        ),
        (
            json!({"conditions": [{"type": "Ready", "status": "True"}]}),
            true,
            "condition Ready is True:",
        ),
    ] {
        let told = told(status.clone());
        assert_eq!(
            (told.is_ready, told.says.as_str()),
            (is_ready, says),
            "{status}"
        );
        assert_eq!(told.since, None);
    }
    let since = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T08:00:05Z"}]});
    assert_eq!(told(since).since, "2026-11-22T08:00:05Z".parse().ok());
}

#[test]
fn a_value_is_ready_when_it_is_the_one_wanted() {
    for (status, value, is_ready, says) in [
        (json!({}), "1", false, "/status/v is not there yet"),
        (json!({"v": 0}), "1", false, "/status/v is 0, not 1"),
        (json!({"v": 1}), "1", true, "/status/v is 1, not 1"),
        (
            json!({"v": "Running"}),
            "Running",
            true,
            "/status/v is Running, not Running",
        ),
        (
            json!({"v": true}),
            "true",
            true,
            "/status/v is true, not true",
        ),
    ] {
        let told = readiness(&at_value("/status/v", value), &object(status));
        assert_eq!((told.is_ready, told.says.as_str()), (is_ready, says));
    }
}

#[test]
fn what_an_object_says_is_masked_and_short() {
    let token = format!("hf_{}", "a".repeat(34));
    let status = json!({"v": format!("{token} {}", "x".repeat(5000))});
    let told = readiness(&at_value("/status/v", "1"), &object(status));
    assert!(!told.says.contains(&token) && told.says.chars().count() <= MOST_SAID);
}
