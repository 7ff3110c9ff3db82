//! TLS to the server, by rustls.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

use super::{
    guard::{Guard, Refusal},
    options::{Beyond, TlsOptions, Verification},
};
use crate::OpenError;

/// Where distributions keep the roots that the system trusts.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How a client asks whether a server speaks TLS: a length, and the number of the request.
///
/// Spec: PostgreSQL, "SSL Session Encryption".
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Makes TLS connections as the URL asks for.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    beyond_loopback: Option<Beyond>,
}

impl Tls {
    /// Reads certificates. Blocks.
    pub(crate) fn new(options: &TlsOptions) -> Result<Tls, OpenError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(options, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.into()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &options.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| failed(error.into()))?
            }
        };
        Ok(Tls { config: Arc::new(config), beyond_loopback: options.beyond_loopback })
    }
}

fn verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, OpenError> {
    if options.verification == Verification::None {
        return Ok(Arc::new(Lenient { chain: None, provider: provider.clone() }));
    }
    let mut roots = RootCertStore::empty();
    let path = options.roots.clone().or_else(system_roots).ok_or_else(|| {
        failed("no certificates of authorities were found: name a file with sslrootcert".into())
    })?;
    roots.add_parsable_certificates(certificates(&path)?);
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| failed(error.into()))?;
    Ok(match options.verification {
        Verification::Full => chain,
        _ => Arc::new(Lenient { chain: Some(chain), provider: provider.clone() }),
    })
}

fn system_roots() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named.or_else(|| SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.exists()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable(path))
}

fn unreadable(path: &Path) -> impl FnOnce(rustls_pki_types::pem::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |error| OpenError::Certificate { path, source: error.into() }
}

fn failed(source: Box<dyn std::error::Error + Send + Sync>) -> OpenError {
    OpenError::Database { operation: "set up TLS", source }
}

/// Checks less than the whole: without `chain` nothing but that the server has its key, with it everything but the name.
/// Both are what libpq's modes of these names do, and what operators of private networks rely on.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last, so whoever fails by it has passed everything else.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Connect;
    type Error = rustls_pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Connect, Self::Error> {
        // A Unix socket has no name; the server there offers no TLS either.
        let domain = if domain.is_empty() { "localhost" } else { domain };
        let name = ServerName::try_from(domain.to_owned())?;
        Ok(Connect { config: self.config.clone(), name, beyond_loopback: self.beyond_loopback })
    }
}

pub(crate) struct Connect {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    beyond_loopback: Option<Beyond>,
}

impl<S> TlsConnect<S> for Connect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, mut stream: S) -> Self::Future {
        Box::pin(async move {
            let beyond = self.beyond_loopback;
            let guard = beyond.filter(|beyond| beyond.is_anybody).map(|_| Guard::default());
            if let Some(beyond) = beyond
                && beyond.asks_for_tls
                && !offers_tls(&mut stream).await?
            {
                let plain = Stream { way: Way::Plain(stream), guard };
                return if beyond.may_be_plain { Ok(plain) } else { Err(Refusal::NoTls.into()) };
            }
            let connector = tokio_rustls::TlsConnector::from(self.config);
            let stream = connector.connect(self.name, stream).await?;
            Ok(Stream { way: Way::Encrypted(Box::new(stream)), guard })
        })
    }
}

async fn offers_tls<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<bool> {
    stream.write_all(&SSL_REQUEST).await?;
    stream.flush().await?;
    match stream.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        other => {
            let reason = format!(
                "the server answers with {:?} where it says whether it offers TLS",
                char::from(other)
            );
            Err(io::Error::new(io::ErrorKind::InvalidData, reason))
        }
    }
}

/// A connection, and what is to be kept from the server at its other end.
pub(crate) struct Stream<S> {
    way: Way<S>,
    guard: Option<Guard>,
}

enum Way<S> {
    Encrypted(Box<tokio_rustls::client::TlsStream<S>>),
    /// Only where the URL allows it.
    Plain(S),
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    /// None: passwords are proved without it, too, and its hash depends on how the certificate was signed.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(match &mut self.way {
            Way::Encrypted(stream) => Pin::new(stream).poll_read(context, into),
            Way::Plain(stream) => Pin::new(stream).poll_read(context, into),
        })?;
        if let Some(guard) = &mut self.guard {
            guard.inspect(&into.filled()[before..])?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Encrypted(stream) => Pin::new(stream).poll_write(context, from),
            Way::Plain(stream) => Pin::new(stream).poll_write(context, from),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Encrypted(stream) => Pin::new(stream).poll_flush(context),
            Way::Plain(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
            Way::Plain(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
