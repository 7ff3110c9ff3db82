//! Work that goes on when the client of its request goes away.

use tracing::Instrument;

use crate::{app::App, error::ApiError};

/// Runs to its end also when the client's connection breaks, which drops the request's future: what arrived of an upload is saved, and
/// its session is free for the client's next attempt. A stop waits for it.
pub(crate) async fn detached<T: Send + 'static>(
    app: &App,
    operation: &'static str,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let running = app.uploads.begin().await;
    let work = async move {
        let result = work.await;
        drop(running);
        result
    };
    // What it logs belongs to the request.
    let joined = tokio::spawn(work.in_current_span());
    joined.await.map_err(|error| ApiError::Internal { operation, source: error.into() })?
}

/// Makes a change and tells of it. Where anything is told of changes, a client that goes away before it is answered keeps nothing from
/// being told; elsewhere there is no task more.
pub(crate) async fn told<T: Send + 'static>(
    app: &App,
    change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    if app.events.has_sinks() || app.is_observed() {
        return detached(app, "the change", change).await;
    }
    change.await
}
