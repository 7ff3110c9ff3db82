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
#[cfg(feature = "tls")]
mod encrypted;
mod handover;
#[cfg(feature = "tls")]
mod handshake;
mod linger;
#[cfg(feature = "tls")]
mod plain;
mod prefixed;
mod stalling;

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use self::conversation::{Conversation, Version};
#[cfg(feature = "tls")]
pub(crate) use self::handshake::Warned;
pub(crate) use self::stalling::Stalling;
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
        let stream = Stalling::new(stream, self.options.limits.stall_timeout);
        // In boxes of their own: a connection without TLS does not keep room for one with it.
        #[cfg(feature = "tls")]
        if let Some(tls) = self.options.tls.clone() {
            return Box::pin(self.speak_tls(stream, &tls)).await;
        }
        Box::pin(self.speak_http(stream, Version::Either)).await;
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
