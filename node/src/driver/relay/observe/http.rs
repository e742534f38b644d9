//! `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::{Observed, metrics, unready};

/// What `prometheus-client` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers until it is aborted.
pub(in super::super) async fn serve(listener: TcpListener, observed: Arc<Observed>) {
    let router = Router::new()
        .route("/metrics", get(tell_metrics))
        .route("/healthz", get(tell_health))
        .route("/readyz", get(tell_readiness))
        .with_state(observed);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "metrics are told no more");
    }
}

fn no_answer() -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "the event loop does not answer\n",
    )
        .into_response()
}

async fn tell_metrics(State(observed): State<Arc<Observed>>) -> Response {
    let Some(report) = observed.report().await else {
        return no_answer();
    };
    let state = observed.with(|state| state.clone());
    match metrics::text(report, &state) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn tell_health(State(observed): State<Arc<Observed>>) -> Response {
    match observed.report().await {
        Some(_) => "alive\n".into_response(),
        None => no_answer(),
    }
}

async fn tell_readiness(State(observed): State<Arc<Observed>>) -> Response {
    let Some(report) = observed.report().await else {
        return no_answer();
    };
    let limits = observed.with(|state| state.limits);
    match unready(&report, &limits) {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
