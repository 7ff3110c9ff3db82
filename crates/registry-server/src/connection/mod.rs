//! One connection, from its first byte to its end.
//!
//! ```text
//! socket ─ SendFile ─ Stream ─ Stalling ─ (TLS) ─ Prefixed ─ hyper ─ Service ─ Endpoint
//!          sendfile   TCP,     gives up   rustls  puts back   HTTP
//!                     Unix     slow peers         what was read
//!
//! Endpoint ─ Body ─ Observed ─ RunningBody ─ HyperBody ─ hyper, or, for a large body, `conversation` without it
//!            the    notes the  keeps the     here, or
//!            bytes  end        request open  handed over
//! ```

mod activity;
mod conversation;
mod handover;
mod handshake;
mod linger;
mod plain;
mod prefixed;
mod stalling;

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};

use self::{
    conversation::{Conversation, Version},
    prefixed::Prefixed,
};
pub(crate) use self::{handshake::Warned, stalling::Stalling};
use crate::{ServeOptions, metrics::OpenConnection, service::Service};

/// What the connections are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Go on.
    Serving,
    /// Finish what runs, begin nothing.
    Draining,
    /// End at once.
    Cut,
}

/// A connection that was accepted.
pub(crate) struct Connection {
    pub(crate) service: Service,
    pub(crate) open: OpenConnection,
    pub(crate) options: Arc<ServeOptions>,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Connection {
    /// Serves the connection until it ends.
    pub(crate) async fn run(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
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
                        // One that nobody has verified says nothing.
                        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                        let certificate = shown
                            .filter(|_| tls.verifies_clients())
                            .map(|certificate| Arc::from(certificate.as_ref()));
                        let service = self.service.clone().with_certificate(certificate);
                        let connection = Connection { service, ..self };
                        Box::pin(connection.speak_http(stream, version)).await;
                    }
                    Some(Err(error)) => handshake::note_failed(&error, &self.service),
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
