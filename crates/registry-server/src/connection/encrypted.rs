//! A connection over TLS, until HTTP is spoken on it.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{Connection, Phase, Version, conversation, handshake, plain, prefixed::Prefixed};
use crate::{Tls, tls};

impl Connection {
    /// Serves the connection of a peer that is to speak TLS until it ends.
    pub(super) async fn speak_tls<S>(self, stream: S, with: &Tls)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let limit = self.options.limits.head_timeout;
        let Some(stream) = self.begin_tls(stream, limit).await else { return };
        match self.shake_hands(limit, Box::pin(with.acceptor().accept(stream))).await {
            Some(Ok(stream)) => {
                let session = stream.get_ref().1;
                let version = match session.alpn_protocol() {
                    Some(b"h2") => Version::Http2,
                    // The authority has seen what it wanted to see.
                    Some(protocol) if protocol == tls::ACME => return,
                    Some(_) => Version::Http1,
                    None => Version::Either,
                };
                // One that was not verified says nothing.
                let shown = session.peer_certificates().filter(|_| with.verifies_clients());
                let certificate = shown.and_then(<[_]>::first).map(|shown| Arc::from(shown.as_ref()));
                let service = self.service.clone().with_certificate(certificate);
                let connection = Connection { service, ..self };
                Box::pin(connection.speak_http(stream, version)).await;
            }
            Some(Err(error)) => handshake::note_failed(&error, &self.service),
            None => tracing::debug!("TLS handshake took too long"),
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
}
