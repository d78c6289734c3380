//! `/livez`, `/readyz` and `/metrics`.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use bakeoff_crds::run::status::RunPhase;
use kube::runtime::reflector::Store;

use crate::{
    metrics::{Metrics, RunKey},
    watched::Watched,
};

/// What the operator knows of its own health.
#[derive(Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
    stores: Arc<RwLock<Vec<Store<Watched>>>>,
    /// Metrics of the operator.
    pub metrics: Metrics,
}

impl Health {
    /// Says that the controller runs.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Adds runs to those that are counted by phase.
    pub fn count_runs_of(&self, store: Store<Watched>) {
        self.stores
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(store);
    }

    /// The runs that are there, with their phases.
    fn runs(&self) -> Vec<(RunKey, RunPhase)> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        stores
            .iter()
            .flat_map(Store::state)
            .filter_map(|run| {
                let phase = *run.phase.as_ref().ok()?;
                Some((run.key(), phase))
            })
            .collect()
    }
}

/// Routes of the operator's own server.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    if health.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for the CustomResourceDefinition of BenchmarkRun, or for the right to list it",
        )
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    match health.metrics.render(health.runs().into_iter()) {
        Ok(text) => (
            StatusCode::OK,
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        ),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            "metrics cannot be written".into(),
        ),
    }
}
