//! TLS on the client's side: a configuration, and a session that decrypts what a bulk load receives.
//!
//! rustls's buffered connection copies each record twice and asks the socket for 4 KiB at a time. The session here receives
//! into one large buffer and hands out each record as it is decrypted.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use rustls::{
    ClientConfig, RootCertStore,
    client::UnbufferedClientConnection,
    crypto::{CryptoProvider, ring},
    unbuffered::{ConnectionState, EncodeError, UnbufferedStatus},
};
use rustls_pki_types::{CertificateDer, ServerName};

/// How much is received at once.
const RECEIVE_BYTES: usize = 256 << 10;

/// More than any record and what it is wrapped in.
const RECORD_ROOM: usize = 24 << 10;

/// TLS 1.3 with AES-128-GCM, which Go's clients prefer on machines with AES instructions: so every server uses the same.
///
/// # Errors
/// If the certificate can not be a trust anchor.
pub(crate) fn config(certificate: &CertificateDer<'static>, protocol: &[u8]) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let provider = CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..ring::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// Whom the certificate is made out to.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())
}

/// A session whose socket belongs to the caller.
pub(crate) struct Session {
    connection: UnbufferedClientConnection,
    incoming: Vec<u8>,
    /// What of `incoming` was received and not consumed.
    pending: std::ops::Range<usize>,
    outgoing: Vec<u8>,
}

/// What one step of the state machine came to.
enum Step {
    Again,
    /// Nothing more to do with what was received.
    Blocked,
    Ready,
}

impl Session {
    /// Shakes hands on a socket that blocks.
    pub(crate) fn connect(config: Arc<ClientConfig>, socket: &mut (impl Read + Write)) -> Result<Session> {
        let connection = UnbufferedClientConnection::new(config, server_name())?;
        let incoming = vec![0; RECEIVE_BYTES + RECORD_ROOM];
        let mut session = Session { connection, incoming, pending: 0..0, outgoing: Vec::new() };
        loop {
            match session.step(socket, &mut |_| bail!("data before a request"))? {
                Step::Again => {}
                Step::Blocked => {
                    if session.receive(socket)? == 0 {
                        bail!("the connection was closed in the handshake");
                    }
                }
                Step::Ready => return Ok(session),
            }
        }
    }

    /// Receives once and hands out what can be decrypted. 0 means that the peer closed.
    ///
    /// # Errors
    /// `WouldBlock` from the socket comes as it is.
    pub(crate) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        sink: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<usize> {
        let received = self.receive(socket)?;
        if received > 0 {
            while let Step::Again = self.step(socket, sink)? {}
        }
        Ok(received)
    }

    /// Encrypts and sends. The socket may not block: what does not fit at once is an error.
    pub(crate) fn write(&mut self, socket: &mut impl Write, plaintext: &[u8]) -> Result<()> {
        self.outgoing.resize(plaintext.len() + RECORD_ROOM, 0);
        let pending = self.pending.clone();
        let UnbufferedStatus { discard, state } =
            self.connection.process_tls_records(&mut self.incoming[pending]);
        self.pending.start += discard;
        let ConnectionState::WriteTraffic(mut traffic) = state? else { bail!("can not write now") };
        let length = traffic.encrypt(plaintext, &mut self.outgoing).context("encrypt a request")?;
        socket.write_all(&self.outgoing[..length])?;
        self.outgoing.clear();
        Ok(())
    }

    fn receive(&mut self, socket: &mut impl Read) -> Result<usize> {
        self.incoming.copy_within(self.pending.clone(), 0);
        self.pending = 0..self.pending.len();
        let received = socket.read(&mut self.incoming[self.pending.end..])?;
        self.pending.end += received;
        Ok(received)
    }

    fn step(&mut self, socket: &mut impl Write, sink: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<Step> {
        let pending = self.pending.clone();
        let UnbufferedStatus { mut discard, state } =
            self.connection.process_tls_records(&mut self.incoming[pending]);
        let step = match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    sink(record.payload)?;
                }
                Step::Again
            }
            ConnectionState::EncodeTlsData(mut data) => {
                let start = self.outgoing.len();
                if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
                    self.outgoing.resize(start + needed.required_size, 0);
                    data.encode(&mut self.outgoing[start..]).context("encode a handshake")?;
                }
                Step::Again
            }
            ConnectionState::TransmitTlsData(data) => {
                socket.write_all(&self.outgoing)?;
                self.outgoing.clear();
                data.done();
                Step::Again
            }
            ConnectionState::WriteTraffic(_) => Step::Ready,
            ConnectionState::BlockedHandshake => Step::Blocked,
            ConnectionState::PeerClosed | ConnectionState::Closed => {
                bail!("the server closed the connection")
            }
            _ => bail!("an unexpected state of TLS"),
        };
        self.pending.start += discard;
        Ok(step)
    }
}
