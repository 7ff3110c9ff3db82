//! `registry serve`.

use std::path::Path;

use anyhow::Context;
use registry_core::{
    Journal, Registry,
    api::{self, Listener, serve_debug},
    config::{Auth, Config, DebugServer, Driver, Loaded, LogLevel, Warning},
    configured::{self, Configured, Reloadable},
    early::Early,
    rights::{RUN_AS, User},
    selfsigned::SelfSigned,
};
use rustix::process::{getegid, geteuid};
use tokio::signal::unix::{SignalKind, signal};

use crate::{logging, notify};

/// Serves until the process is told to stop.
pub(crate) fn run(file: Option<&Path>, loaded: Loaded) -> anyhow::Result<()> {
    let Loaded { config, warnings } = loaded;
    logging::start(&config.log);
    tracing::info!("registry {}", api::version());
    match file {
        Some(file) => tracing::info!("configured by {}", file.display()),
        None => tracing::info!("no configuration file: defaults, and the environment's variables"),
    }
    log_warnings(&warnings);
    // Before the runtime: it starts threads.
    let early = give_up_rights(&config)?;
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can not start the runtime")?
        .block_on(serve(&config, early, file.is_some()))
}

/// Says what loses something, or is open to others; and, less loudly, what merely does nothing.
pub(crate) fn log_warnings(warnings: &[Warning]) {
    for warning in warnings {
        match warning.level() {
            LogLevel::Warn => tracing::warn!("{warning}"),
            _ => tracing::info!("{warning}"),
        }
    }
}

/// Opens what only root may open and becomes the user that the process is to be, if it is root's.
fn give_up_rights(config: &Config) -> anyhow::Result<Early> {
    let Some(user) = User::wanted(std::env::var(RUN_AS).ok().as_deref())? else {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        tracing::info!("runs as user {uid} and group {gid}");
        return Ok(Early::default());
    };
    user.take_over(config)?;
    let early = Early::open(config, user)?;
    user.become_it()?;
    let User { uid, gid } = user;
    tracing::info!("runs as user {uid} and group {gid} ({RUN_AS}): it gave up root's rights");
    early.look_again();
    Ok(early)
}

async fn serve(config: &Config, mut early: Early, has_file: bool) -> anyhow::Result<()> {
    let configured = configured::configure_with(config, &mut early, has_file).await?;
    let Configured { builder, self_signed, first_user, reloadable } = configured;
    if let Some((user, file)) = first_user {
        let file = std::path::absolute(&file).unwrap_or(file);
        tracing::warn!(
            "made the password file, with the user {user}, whose password is in {}: read it there, then delete it",
            file.display()
        );
    }
    let registry = builder.open().await?;
    // Signals count from here on, also while the first connections come.
    let stop = stop_signal()?;
    reload_at_signal(reloadable)?;
    let listener = configured::listen_with(config, &mut early).await?;
    announce(config, self_signed.as_ref());
    if let Some(debug) = &config.http.debug {
        serve_debug_beside(debug, config, &mut early, &registry, has_file).await?;
    }
    let scheme = if config.http.tls.is_some() { ", tls" } else { "" };
    tracing::info!("listening on {}{scheme}", listener.address()?);
    if let Some(next) = next_step(config, &listener) {
        tracing::info!("{next}");
    }
    if let Some(status) = registry.journal().and_then(Journal::status) {
        let (stored, snapshot) = (status.stored, status.snapshot.unwrap_or(0));
        tracing::info!(
            "the database is journalled: {stored} commits in the store, a snapshot as of commit {snapshot}"
        );
    }
    notify::tell(notify::READY);
    registry.serve(listener, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// What the operator types next, and how it is stopped.
fn next_step(config: &Config, listener: &Listener) -> Option<String> {
    let host = match &config.http.host {
        Some(url) => url.split_once("://").map_or(url.as_str(), |(_, host)| host).to_owned(),
        None => {
            let address = listener.tcp_address()?;
            let ip = address.ip().to_canonical();
            match ip.is_unspecified() || ip.is_loopback() {
                true => format!("localhost:{}", address.port()),
                false => address.to_string(),
            }
        }
    };
    let login = match &config.auth {
        Auth::Htpasswd { .. } | Auth::Token(_) => format!("log in with `docker login {host}`; "),
        Auth::Absent | Auth::None => String::new(),
    };
    if let Some(upstream) = config.mirrors.iter().flat_map(|mirrors| &mirrors.upstreams).next()
        && config.storage.read_only
    {
        let name = &upstream.name;
        return Some(format!(
            "{login}pull with `docker pull {host}/{name}/<name>`; Ctrl-C or SIGTERM stops it"
        ));
    }
    let verb = if config.storage.read_only { "pull" } else { "push" };
    Some(format!("{login}{verb} with `docker {verb} {host}/<name>`; Ctrl-C or SIGTERM stops it"))
}

/// What somebody who has just started it wants to know.
fn announce(config: &Config, self_signed: Option<&SelfSigned>) {
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

async fn serve_debug_beside(
    debug: &DebugServer,
    config: &Config,
    early: &mut Early,
    registry: &Registry,
    has_file: bool,
) -> anyhow::Result<()> {
    let listener = configured::listen_debug_with(debug, early).await?;
    // Not in the words of the line that tools look for.
    tracing::info!("health and metrics at http://{}", listener.address()?);
    tokio::spawn(serve_debug(listener, configured::debug(config, debug, registry, has_file)));
    Ok(())
}

/// Completes at SIGTERM or SIGINT. A second one ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("can not listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can not listen to SIGINT")?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: running requests may finish");
        notify::tell(notify::STOPPING);
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::warn!("stopped without waiting for running requests (second signal)");
            std::process::exit(1);
        });
    })
}

/// At SIGHUP, reads again what can be. It never ends the process: log rotation sends it to whatever runs.
fn reload_at_signal(reloadable: Reloadable) -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup()).context("can not listen to SIGHUP")?;
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            tracing::info!(
                "SIGHUP: reads certificate and password file again; other settings count from the next start on"
            );
            let reloadable = reloadable.clone();
            // It logs what came of it.
            let _ = tokio::task::spawn_blocking(move || reloadable.reload()).await;
        }
    });
    Ok(())
}

/// As many open files as the system lets us have: each connection and each upload is one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!("can not raise the limit of open files: {error}");
    }
}
