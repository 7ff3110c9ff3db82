//! Connecting: TCP, perhaps TLS, and the version of HTTP that is spoken.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::client::ClientError;

/// The body of a request.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Which version of HTTP a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, with prior knowledge without.
    Http2,
    /// What the server prefers by ALPN; HTTP/1.1 without TLS.
    Negotiated,
}

/// Where a client connects to, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    /// The authorities that are trusted, for TLS.
    pub(crate) roots: Option<Arc<RootCertStore>>,
    /// What is shown to a server that asks for a certificate.
    pub(crate) identity: Option<Arc<Identity>>,
}

/// A client's certificate and its key, both in DER form.
pub(crate) struct Identity {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// An open connection that takes requests.
pub(crate) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Target {
    /// From `http://host:port`; with `https`, nothing is trusted yet.
    pub(crate) fn of(url: &str) -> Target {
        let uri: Uri = url.parse().unwrap_or_else(|error| panic!("{url} is not a URL: {error}"));
        let is_tls = uri.scheme_str() == Some("https");
        Target {
            host: uri.host().unwrap_or_else(|| panic!("{url} names no host")).to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            protocol: Protocol::default(),
            roots: is_tls.then(|| Arc::new(RootCertStore::empty())),
            identity: None,
        }
    }

    /// `host:port`, as a `Host` header has it.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(crate) async fn connect(&self) -> Result<Sender, ClientError> {
        let host = self.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.port)).await.map_err(ClientError::Connect)?;
        stream.set_nodelay(true).map_err(ClientError::Connect)?;
        let Some(roots) = &self.roots else {
            let is_http2 = self.protocol == Protocol::Http2;
            return handshake(stream, is_http2).await;
        };
        let name = ServerName::try_from(host.to_owned()).unwrap_or_else(|error| panic!("{host}: {error}"));
        let config = tls_config(roots.clone(), self.identity.as_deref(), self.protocol);
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.map_err(ClientError::Tls)?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        handshake(stream, is_http2).await
    }
}

/// The certificates of a PEM text.
///
/// # Panics
/// If there are none, or one can not be used.
pub(crate) fn roots(pem: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.expect("the PEM file is well-formed");
        roots.add(certificate).expect("the certificate can be a trust anchor");
    }
    assert!(!roots.is_empty(), "no certificate in the PEM file");
    roots
}

/// A certificate and its key out of PEM texts.
///
/// # Panics
/// If they are not there.
pub(crate) fn identity(certificate_pem: &[u8], key_pem: &[u8]) -> Identity {
    let certificates = CertificateDer::pem_slice_iter(certificate_pem).collect::<Result<_, _>>();
    Identity {
        certificates: certificates.expect("the PEM file is well-formed"),
        key: PrivateKeyDer::from_pem_slice(key_pem).expect("the PEM file holds a key"),
    }
}

fn tls_config(roots: Arc<RootCertStore>, identity: Option<&Identity>, protocol: Protocol) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificates, key }) => {
            let config = builder.with_client_auth_cert(certificates.clone(), key.clone_key());
            config.expect("certificate and key belong together")
        }
    };
    config.alpn_protocols = match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
        Protocol::Negotiated => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    config
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    is_http2: bool,
) -> Result<Sender, ClientError> {
    let stream = TokioIo::new(stream);
    if is_http2 {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(ClientError::Http)?;
        tokio::spawn(connection);
        Ok(Sender::Http2(sender))
    } else {
        let (sender, connection) = http1::handshake(stream).await.map_err(ClientError::Http)?;
        tokio::spawn(connection);
        Ok(Sender::Http1(sender))
    }
}

impl Sender {
    /// Whether the next request may go here.
    pub(crate) async fn is_ready(&mut self) -> bool {
        match self {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// The same connection once more, if it takes several requests at once.
    pub(crate) fn shared(&self) -> Option<Sender> {
        match self {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Sender::Http2(sender.clone())),
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Sender::Http2(_))
    }

    pub(crate) async fn send(
        &mut self,
        request: http::Request<Body>,
    ) -> hyper::Result<http::Response<Incoming>> {
        match self {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        }
    }
}
