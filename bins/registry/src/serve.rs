//! `registry serve`.

use std::path::Path;

use anyhow::{Context, bail};
use registry_core::{
    Journal, Registry,
    api::{Debug, serve_debug},
    config::{Config, DebugServer, Driver, Loaded, LogLevel},
    configured::{self, Configured},
    metadata::JournalError,
    selfsigned::SelfSigned,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{logging, privileges};

/// Serves until the process is told to stop.
pub(crate) fn run(file: Option<&Path>, loaded: Loaded) -> anyhow::Result<()> {
    let Loaded { config, warnings } = loaded;
    logging::start(&config.log);
    for warning in &warnings {
        match warning.level() {
            LogLevel::Warn => tracing::warn!("{warning}"),
            _ => tracing::info!("{warning}"),
        }
    }
    // Before the runtime: it starts threads.
    let run_as = std::env::var(privileges::VARIABLE).ok();
    let data_folder = configured::data_folder(&config);
    privileges::drop_to(run_as.as_deref(), data_folder.as_deref(), &configured::written_paths(&config))?;
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can not start the runtime")?
        .block_on(serve(file, &config))
}

async fn serve(file: Option<&Path>, config: &Config) -> anyhow::Result<()> {
    let Configured { builder, self_signed, first_user } = configured::configure(config).await?;
    if let Some((user, password)) = first_user {
        tracing::warn!("made the password file, with the user {user} and the password {password}");
    }
    let registry = builder.open().await?;
    // Signals count from here on, also while the first connections come.
    let stop = stop_signal()?;
    let listener = configured::listen(config).await?;
    announce(file, config, self_signed.as_ref());
    if let Some(debug) = &config.http.debug {
        serve_debug_beside(debug, &registry).await?;
    }
    tracing::info!("listening on {}", listener.address()?);
    let journal = registry.journal().cloned();
    if let Some(status) = journal.as_ref().and_then(Journal::status) {
        let (stored, snapshot) = (status.stored, status.snapshot.unwrap_or(0));
        tracing::info!(
            "the database is journalled: {stored} commits in the store, a snapshot as of commit {snapshot}"
        );
    }
    registry.serve(listener, stop).await;
    // It ends with every stop; but for another reason it is why this stops.
    if let Some(fault) = journal.and_then(|journal| journal.status()).and_then(|status| status.fault)
        && !matches!(*fault, JournalError::Stopping)
    {
        bail!("stopped, because the journal of the database is lost: {fault}");
    }
    tracing::info!("stopped");
    Ok(())
}

/// What somebody who has just started it wants to know.
fn announce(file: Option<&Path>, config: &Config, self_signed: Option<&SelfSigned>) {
    match file {
        Some(file) => tracing::info!("configured by {}", file.display()),
        None => tracing::info!("no configuration file: defaults, and the environment's variables"),
    }
    match &config.storage.driver {
        Driver::Filesystem { root, .. } => {
            let shown = std::path::absolute(root).unwrap_or_else(|_| root.clone());
            tracing::info!("data lies in {}", shown.display());
        }
        Driver::S3(s3) => tracing::info!("data lies in the bucket {}", s3.bucket),
        Driver::Gcs(gcs) => tracing::info!("data lies in the bucket {}", gcs.bucket),
        Driver::Azure(azure) => tracing::info!("data lies in the container {}", azure.container),
        Driver::InMemory => tracing::warn!("data lies in memory: it is lost when this process ends"),
    }
    if let Some(made) = self_signed {
        let authority = std::path::absolute(&made.authority).unwrap_or_else(|_| made.authority.clone());
        let authority = authority.display();
        let verb = if made.is_new { "made" } else { "found" };
        tracing::info!(
            "{verb} a self-signed certificate. For docker: copy {authority} to /etc/docker/certs.d/<host:port>/ca.crt. \
             For containerd: copy it to /etc/containerd/certs.d/<host:port>/ca.crt and write beside it a hosts.toml with \
             [host.\"https://<host:port>\"] and ca = \"/etc/containerd/certs.d/<host:port>/ca.crt\". \
             For podman, buildah and skopeo: copy it to /etc/containers/certs.d/<host:port>/ca.crt"
        );
    }
}

async fn serve_debug_beside(debug: &DebugServer, registry: &Registry) -> anyhow::Result<()> {
    let address = &debug.address;
    let listener = configured::listen_tcp(address).await;
    let listener = listener.with_context(|| format!("can not listen on {address}"))?;
    // Not in the words of the line that tools look for.
    tracing::info!("health and metrics at http://{}", listener.address()?);
    let debug = Debug { app: registry.app().clone(), metrics_path: debug.metrics_path.clone() };
    tokio::spawn(serve_debug(listener, debug));
    Ok(())
}

/// Completes at SIGTERM or SIGINT. A second one ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("can not listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can not listen to SIGINT")?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: running requests may finish");
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::warn!("stopped at once");
            std::process::exit(1);
        });
    })
}

/// As many open files as the system lets us have: each connection and each upload is one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!("can not raise the limit of open files: {error}");
    }
}
