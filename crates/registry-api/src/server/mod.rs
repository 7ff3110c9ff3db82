//! Listening, connections, limits, and the graceful stop.

mod activity;
mod conversation;
mod handover;
mod handshake;
mod linger;
mod listener;
mod plain;
mod prefixed;
mod stalling;
mod tls;

use std::{io, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use registry_types::Network;

pub(crate) use self::stalling::Stalling;
use self::{
    conversation::{Conversation, Version},
    prefixed::Prefixed,
};
use crate::{
    addresses::Sharing,
    app::App,
    descriptors::Descriptors,
    refusals::Refusal,
    service::{Peer, Service},
};

pub use self::{
    listener::{Bound, Listener},
    tls::{ClientAuth, MinimumVersion, Tls, TlsError, TlsFiles},
};

/// Limits on what peers can make the server hold. Every one has a default that fits the open internet.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the system's queue. Fewer, if the process may not have so many files open: half of
    /// what is left beside 256.
    pub connections_max: usize,
    /// How many of them one address may hold, or one /64 network of IPv6. Without a number a public address may hold a
    /// quarter of all, and a loopback or private one, which any number of clients may be behind, as many as there are. An
    /// address that is limited here has a quarter of the [budget](crate::Budget), too.
    pub connections_per_address: Option<usize>,
    /// Proxies, of which each may hold as many connections as there are. What their requests hold counts for the client that
    /// the proxy names.
    pub proxies: Vec<Network>,
    /// How long a TLS handshake, or the head of an HTTP/1.1 request on an open connection, may take.
    pub head_timeout: Duration,
    /// How long a connection may have no request in progress.
    pub idle_timeout: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub stall_timeout: Duration,
    /// The largest head of a request, and what is read at once.
    pub head_bytes_max: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 10_000,
            connections_per_address: None,
            proxies: Vec::new(),
            head_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(60),
            head_bytes_max: 64 * 1024,
            streams_max: 32,
        }
    }
}

/// How to serve.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// Encrypts connections.
    pub tls: Option<Arc<Tls>>,
    /// Limits on what peers can make the server hold.
    pub limits: Limits,
    /// Speaks HTTP/1.1 only.
    pub http2_disabled: bool,
    /// How long running transfers may go on after the stop.
    pub drain: Duration,
}

/// Serves `app` on `listener` until `shutdown` completes, then lets running requests finish for as long as
/// [`ServeOptions::drain`] says. Connections that are left then are cut.
///
/// Dropping the future closes the listener at once; connections that are open go on until their tasks end.
pub async fn serve(
    listener: Listener,
    app: Arc<App>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let connections_max = connections_max(&options.limits);
    let slots = Arc::new(Semaphore::new(connections_max));
    let sharing = Arc::new(Sharing::new(&options.limits, connections_max));
    let options = Arc::new(options);
    // One receiver for each connection: the sender knows when the last has gone.
    let (phase, _) = watch::channel(Phase::Serving);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer { address, tls: options.tls.is_some() };
                let service = Service::shared(app.clone(), peer, sharing.clone());
                let Some(counted) = service.count() else { continue };
                let open = app.metrics.connection();
                let (options, phase) = (options.clone(), phase.subscribe());
                let connection = Connection { service, open, options, phase };
                tokio::spawn(async move {
                    connection.run(stream).await;
                    drop((counted, slot));
                });
            }
            Err(error) => pause_after(&error, &app).await,
        }
    }
    drop(listener);
    drain(phase, options.drain).await;
    // What arrived of an upload that was cut is made durable and saved, which takes a moment.
    if timeout(SAVE_LIMIT, app.uploads.all_saved()).await.is_err() {
        tracing::warn!("some uploads could not save what had arrived within {SAVE_LIMIT:?}");
    }
}

/// How many connections there may be, which is said if it is fewer than was asked for.
fn connections_max(limits: &Limits) -> usize {
    let wanted = limits.connections_max.min(Semaphore::MAX_PERMITS);
    let possible = Descriptors::of_process().connections;
    let text = format_args!(
        "serves {possible} connections at once, not {wanted}: the limit of open files (RLIMIT_NOFILE) allows no more"
    );
    if possible < wanted / 2 {
        tracing::warn!("{text}");
    } else if possible < wanted {
        tracing::info!("{text}");
    }
    wanted.min(possible)
}

/// How long uploads that were cut may take to save what had arrived.
const SAVE_LIMIT: Duration = Duration::from_secs(10);

/// What the connections are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Finish what runs, begin nothing.
    Draining,
    /// End at once.
    Cut,
}

async fn drain(phase: watch::Sender<Phase>, limit: Duration) {
    phase.send_replace(Phase::Draining);
    if timeout(limit, phase.closed()).await.is_err() {
        tracing::warn!("cut {} connections that were not done after {limit:?}", phase.receiver_count());
        phase.send_replace(Phase::Cut);
        phase.closed().await;
    }
}

/// A failed accept is the peer's problem, except when file descriptors have run out: then trying again at once would
/// only burn time until some are closed.
async fn pause_after(error: &io::Error, app: &App) {
    const PAUSE: Duration = Duration::from_millis(50);
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if [ConnectionAborted, ConnectionReset, ConnectionRefused].contains(&error.kind()) {
        return;
    }
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
            app.budget.refusals().note(Refusal::Descriptors);
        }
        _ => tracing::error!("can not accept connections: {error}"),
    }
    sleep(PAUSE).await;
}

struct Connection {
    service: Service,
    open: crate::metrics::OpenConnection,
    options: Arc<ServeOptions>,
    phase: watch::Receiver<Phase>,
}

impl Connection {
    async fn run(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let limits = &self.options.limits;
        let (head_timeout, stream) = (limits.head_timeout, Stalling::new(stream, limits.stall_timeout));
        // In boxes of their own: a connection without TLS does not keep room for one with it.
        match self.options.tls.clone() {
            None => Box::pin(self.speak_http(stream, Version::Either)).await,
            Some(tls) => {
                let Some(stream) = self.begin_tls(stream, head_timeout).await else { return };
                match self.shake_hands(head_timeout, Box::pin(tls.acceptor().accept(stream))).await {
                    Some(Ok(stream)) => {
                        let version = match stream.get_ref().1.alpn_protocol() {
                            Some(b"h2") => Version::Http2,
                            Some(_) => Version::Http1,
                            None => Version::Either,
                        };
                        Box::pin(self.speak_http(stream, version)).await;
                    }
                    Some(Err(error)) => handshake::note_failed(&error, self.service.peer()),
                    None => tracing::debug!("TLS handshake took too long"),
                }
            }
        }
    }

    /// The connection of a peer that begins with TLS. One that begins with HTTP is told what is spoken here.
    async fn begin_tls<S>(&self, stream: S, limit: Duration) -> Option<Prefixed<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut phase = self.phase.clone();
        let mut stream = Prefixed::new(stream);
        let is_plain = tokio::select! {
            is_plain = timeout(limit, stream.begins_with_a_letter()) => is_plain.ok()?.ok()?,
            () = conversation::reached(&mut phase, Phase::Draining) => return None,
        };
        if !is_plain {
            return Some(stream);
        }
        tokio::select! {
            () = plain::refuse(stream) => {}
            () = conversation::reached(&mut phase, Phase::Cut) => {}
        }
        None
    }

    /// Waits for the handshake of a peer; not for one that is slow, and not while the registry stops.
    async fn shake_hands<T>(&self, limit: Duration, handshake: impl Future<Output = T>) -> Option<T> {
        let mut phase = self.phase.clone();
        tokio::select! {
            done = timeout(limit, handshake) => done.ok(),
            () = conversation::reached(&mut phase, Phase::Draining) => None,
        }
    }

    async fn speak_http(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        version: Version,
    ) {
        let Connection { service, open, options, phase } = self;
        Conversation { service, options: &options, phase }.run(stream, version).await;
        drop(open);
    }
}
