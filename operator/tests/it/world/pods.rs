//! What pods show, and what our own say at their end.

use bakeoff_crds::{
    run::status::{Headline, VerdictStatus},
    summary::{PrefetchSummary, PreflightSummary, ReporterSummary, Summary, Termination},
};
use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus, Pod, PodCondition,
    },
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};

pub fn preflight_words() -> Termination {
    Termination {
        preflight: Some(PreflightSummary {
            prompts: 1,
            prompts_sha256: "ab".repeat(32),
            ..PreflightSummary::default()
        }),
        ..Termination::default()
    }
}

pub fn prefetch_words(fetched_bytes: u64) -> Termination {
    Termination {
        prefetch: Some(PrefetchSummary {
            commit: Some("c0ffee".into()),
            files: 12,
            bytes: 14_000_000_000,
            fetched_bytes,
            seconds: 70.4,
            content_sha256: "cd".repeat(32),
        }),
        ..Termination::default()
    }
}

pub fn runner_words(verdict: VerdictStatus) -> Termination {
    Termination {
        runner: Some(Summary {
            stages_done: 3,
            stages_planned: 3,
            intended: 30,
            sent: 30,
            succeeded: 30,
            verdict,
            headline: Some(Headline {
                stage: "concurrency-4".into(),
                output_tokens_per_second: 100.0,
                ..Headline::default()
            }),
            ..Summary::default()
        }),
        ..Termination::default()
    }
}

pub fn reporter_words(verdict: VerdictStatus) -> Termination {
    Termination {
        reporter: Some(ReporterSummary {
            report_uri: "s3://results/here/report.json".into(),
            verdict,
            reasons: Vec::new(),
            sentence: "alpha is faster.".into(),
        }),
        ..Termination::default()
    }
}

pub fn schedule(found: &mut Pod, node: &str, now: Timestamp) {
    found.spec.as_mut().unwrap().node_name = Some(node.into());
    set_condition(found, "PodScheduled", "", "", now);
}

pub fn unschedulable(found: &mut Pod, message: &str) {
    let status = found.status.get_or_insert_default();
    status.conditions = Some(vec![PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: Some("Unschedulable".into()),
        message: Some(message.into()),
        ..PodCondition::default()
    }]);
}

pub fn ready(found: &mut Pod, now: Timestamp) {
    set_condition(found, "Ready", "", "", now);
}

pub fn set_condition(found: &mut Pod, kind: &str, reason: &str, message: &str, now: Timestamp) {
    let status = found.status.get_or_insert_default();
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != kind);
    conditions.push(PodCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    });
}

pub fn running(found: &mut Pod, now: Timestamp) {
    let state = ContainerState {
        running: Some(ContainerStateRunning {
            started_at: Some(Time(now)),
        }),
        ..ContainerState::default()
    };
    set_state(found, state, "Running");
    let status = found.status.as_mut().unwrap();
    status.pod_ip = Some("10.0.0.7".into());
}

pub fn waiting(found: &mut Pod, reason: &str, message: &str) {
    let state = ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.into()),
            message: Some(message.into()),
        }),
        ..ContainerState::default()
    };
    set_state(found, state, "Pending");
}

pub fn terminated(found: &mut Pod, exit_code: i32, reason: &str, message: &str, now: Timestamp) {
    let state = ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code,
            reason: Some(reason.into()),
            message: Some(message.into()),
            finished_at: Some(Time(now)),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    };
    set_state(
        found,
        state,
        if exit_code == 0 {
            "Succeeded"
        } else {
            "Failed"
        },
    );
}

fn set_state(found: &mut Pod, state: ContainerState, phase: &str) {
    let container = &found.spec.as_ref().unwrap().containers[0];
    let container_status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: "registry.test/engine@sha256:abc".into(),
        state: Some(state),
        ..ContainerStatus::default()
    };
    let status = found.status.get_or_insert_default();
    status.phase = Some(phase.into());
    status.container_statuses = Some(vec![container_status]);
}
