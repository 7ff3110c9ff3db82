//! Listening, connections, limits, and the graceful stop.

use std::{future::poll_fn, io, net::IpAddr, pin::pin, sync::Arc, task::Poll, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use registry_types::Network;

use crate::{
    Listener, Peer, Server,
    addresses::Sharing,
    connection::{Connection, Phase},
    descriptors::Descriptors,
    listener::Stream,
    refusals::Refusal,
    service::Service,
};

crate::options! {
    /// Limits on what peers can make the server hold. Every one has a default that fits the open internet.
    #[derive(Clone, Debug)]
    pub struct Limits {
        /// Connections at once; more wait in the system's queue. Fewer, if the process may not have so many files open: half of
        /// what is left beside 256.
        pub connections_max: usize,
        /// How many of them one address may hold, or one /64 network of IPv6. Without a number a public address may hold a
        /// quarter of all, and a loopback or private one, which any number of clients may be behind, as many as there are. An
        /// address that is limited here has a share of the [budget](crate::Budget), too.
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

crate::options! {
    /// How to serve.
    #[derive(Clone, Debug, Default)]
    pub struct ServeOptions {
        /// Encrypts connections. (Feature `tls`.)
        #[cfg(feature = "tls")]
        pub tls: Option<Arc<crate::Tls>>,
        /// Limits on what peers can make the server hold.
        pub limits: Limits,
        /// Speaks HTTP/1.1 only.
        pub http2_disabled: bool,
        /// How long running transfers may go on after the stop.
        pub drain: Duration,
    }
}

impl ServeOptions {
    /// Whether connections are encrypted.
    pub(crate) fn encrypts(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Whether every client must show a certificate that an authority of the operator's signed.
    pub fn knows_clients(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.as_ref().is_some_and(|tls| tls.knows_clients());
        #[cfg(not(feature = "tls"))]
        false
    }
}

/// Serves a server's site on `listener` until `shutdown` completes, then lets running requests finish for as long as
/// [`ServeOptions::drain`] says. Connections that are left then are cut.
///
/// Dropping the future closes the listener at once; connections that are open go on until their tasks end.
pub async fn serve(
    listener: Listener,
    server: Arc<Server>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) {
    serve_all(vec![listener], server, options, shutdown).await;
}

/// As [`serve`], on several listeners, whose connections share the limits; on none, it waits for `shutdown`.
pub async fn serve_all(
    listeners: Vec<Listener>,
    server: Arc<Server>,
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
    let mut turn = 0;
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            (accept(&listeners, turn).await, slot)
        };
        let (accepted, slot) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        turn = turn.wrapping_add(1);
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer { tls: options.encrypts(), ..Peer::at(address) };
                let service = Service::new(server.clone(), peer, sharing.clone());
                let Some(counted) = service.count() else { continue };
                let open = server.metrics.connection();
                let (options, phase) = (options.clone(), phase.subscribe());
                let connection = Connection { service, open, options, phase };
                tokio::spawn(async move {
                    connection.run(stream).await;
                    drop((counted, slot));
                });
            }
            Err(error) => pause_after(&error, &server).await,
        }
    }
    server.health.leave();
    drop(listeners);
    drain(phase, options.drain).await;
}

/// The next connection of any listener; whose turn it is is looked at first, so that none waits for another that is busy.
async fn accept(listeners: &[Listener], turn: usize) -> io::Result<(Stream, Option<IpAddr>)> {
    let from = turn.checked_rem(listeners.len()).unwrap_or(0);
    let (before, after) = listeners.split_at(from);
    let mut accepting: Vec<_> =
        after.iter().chain(before).map(|listener| Box::pin(listener.accept())).collect();
    poll_fn(|context| {
        let accepted = accepting.iter_mut().find_map(|accept| match accept.as_mut().poll(context) {
            Poll::Ready(accepted) => Some(accepted),
            Poll::Pending => None,
        });
        accepted.map_or(Poll::Pending, Poll::Ready)
    })
    .await
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
async fn pause_after(error: &io::Error, server: &Server) {
    const PAUSE: Duration = Duration::from_millis(50);
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if [ConnectionAborted, ConnectionReset, ConnectionRefused].contains(&error.kind()) {
        return;
    }
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
            server.budget.refusals().note(Refusal::Descriptors);
        }
        _ => tracing::error!("can not accept connections: {error}"),
    }
    sleep(PAUSE).await;
}
