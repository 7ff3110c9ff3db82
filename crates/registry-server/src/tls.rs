//! TLS with certificate files that may be renewed while the server runs.

mod pem;

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use registry_types::{ClientAuth, MinimumVersion};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    server::{
        ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What keeps this process from reading a file, and what to do about it.
pub type Explain = fn(&Path, &io::Error) -> String;

crate::options! {
    /// What clients are shown, and what is asked of them.
    #[derive(Clone, Debug)]
    pub struct TlsOptions {
        /// Where the certificates come from that clients are shown.
        pub source: CertificateSource,
        /// PEM files of authorities whose client certificates count; none asks for none.
        pub client_authorities: Vec<PathBuf>,
        /// What is asked of clients, if there are authorities.
        pub client_auth: ClientAuth,
        /// The lowest version that is spoken.
        pub minimum_version: MinimumVersion,
        /// Offers HTTP/1.1 only.
        pub http2_disabled: bool,
        /// What keeps this process from reading a file, and what to do about it, to be put behind the file's name in an error; empty
        /// if nothing is known.
        pub explain: Explain,
    }
}

/// Where the certificates come from that clients are shown.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CertificateSource {
    /// Files that may be renewed while the server runs.
    Files {
        /// PEM: the certificate, followed by its chain.
        certificate: PathBuf,
        /// PEM: its private key.
        key: PathBuf,
    },
    /// What is asked for one at each handshake. An authority that looks over TLS (ALPN `acme-tls/1`, RFC 8737) is answered with what it
    /// says to that, and its connection ends after the handshake.
    Resolver(Arc<dyn ResolvesServerCert>),
}

/// In what an authority looks whether a host is ours. Spec: RFC 8737, section 4.
pub(crate) const ACME: &[u8] = b"acme-tls/1";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can not be read.
    #[error("can not read {}{hint}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What keeps the process from reading it, if that is known: what [`TlsOptions::explain`] says.
        hint: String,
        /// Why.
        source: io::Error,
    },
    /// A file holds no certificate or no key that could be used.
    #[error("{} holds no {expected}: {found}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
        /// What is there instead, and what to do about it.
        found: String,
    },
    /// Certificate, key or authorities do not fit each other.
    #[error("certificate {} and key {} can not be used together", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The version can not be spoken.
    #[error("TLS can not be spoken in this version")]
    Version {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What clients are to show can not be verified.
    #[error("the certificates of clients can not be verified")]
    Clients {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// TLS for a server. New connections get the newest certificate; those that are open keep theirs.
pub struct Tls {
    options: TlsOptions,
    current: ArcSwap<ServerConfig>,
    looked: Mutex<Look>,
}

struct Look {
    at: Instant,
    stamps: Vec<Option<Stamp>>,
}

/// What changes when a file is written to or replaced, also within the resolution of its times.
type Stamp = (SystemTime, u64, u64);

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn load(options: TlsOptions) -> Result<Tls, TlsError> {
        // Before the files: a change in between is then seen by the first look.
        let stamps = stamps(&options);
        let current = ArcSwap::from_pointee(server_config(&options)?);
        Ok(Tls { options, current, looked: Mutex::new(Look { at: Instant::now(), stamps }) })
    }

    /// Logs it if a file can not be read any more, since the process gave up rights: its next version will not count. What
    /// was seen until now is no change.
    pub fn look_again(&self) {
        let mut looked = self.looked.lock();
        looked.stamps = stamps(&self.options);
        for path in self.options.paths() {
            if let Err(source) = fs::File::open(path) {
                let error = TlsError::unreadable(path, source, self.options.explain);
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a later version of {} will not count",
                    path.display()
                );
            }
        }
    }

    /// Reads the files now, changed or not. If they can not be used that is logged, and the certificate before stays.
    pub fn reload(&self) {
        self.looked.lock().stamps = stamps(&self.options);
        match server_config(&self.options) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                if let CertificateSource::Files { certificate, .. } = &self.options.source {
                    tracing::info!("loaded the certificate {}", certificate.display());
                }
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "kept the certificate that was in use"
            ),
        }
    }

    /// Whether every client must show a certificate that one of the authorities signed.
    pub fn knows_clients(&self) -> bool {
        !self.options.client_authorities.is_empty() && self.options.client_auth == ClientAuth::Required
    }

    /// Whether a certificate that a client showed was signed by one of the authorities.
    pub(crate) fn verifies_clients(&self) -> bool {
        match self.options.client_auth {
            ClientAuth::Required | ClientAuth::IfGiven => !self.options.client_authorities.is_empty(),
            ClientAuth::RequiredUnverified | ClientAuth::IfGivenUnverified => false,
        }
    }

    /// For the next connection. Looks whether the files have changed, at most once a second; a changed file that can not
    /// be used is logged, and the certificate before it stays.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        if self.has_changed() {
            self.reload();
        }
        TlsAcceptor::from(self.current.load_full())
    }

    fn has_changed(&self) -> bool {
        let mut looked = self.looked.lock();
        if looked.at.elapsed() < LOOK_EVERY {
            return false;
        }
        looked.at = Instant::now();
        let stamps = stamps(&self.options);
        let has_changed = stamps != looked.stamps;
        looked.stamps = stamps;
        has_changed
    }
}

impl TlsError {
    fn unreadable(path: &Path, source: io::Error, explain: Explain) -> TlsError {
        TlsError::File { path: path.to_owned(), hint: explain(path, &source), source }
    }
}

impl TlsOptions {
    /// A certificate with its chain, and its key. Asks clients for none, speaks TLS from 1.2 on and HTTP/2.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsOptions {
        let (certificate, key) = (certificate.into(), key.into());
        TlsOptions::of(CertificateSource::Files { certificate, key })
    }

    /// With certificates from there. Asks clients for none, speaks TLS from 1.2 on and HTTP/2.
    pub fn of(source: CertificateSource) -> TlsOptions {
        TlsOptions {
            source,
            client_authorities: Vec::new(),
            client_auth: ClientAuth::default(),
            minimum_version: MinimumVersion::default(),
            http2_disabled: false,
            explain: |_, _| String::new(),
        }
    }

    /// Asks clients for certificates in this way, of which those count that one of the authorities in these files has signed.
    pub fn clients<P: Into<PathBuf>>(
        self,
        authorities: impl IntoIterator<Item = P>,
        auth: ClientAuth,
    ) -> TlsOptions {
        let client_authorities = authorities.into_iter().map(Into::into).collect();
        TlsOptions { client_authorities, client_auth: auth, ..self }
    }

    /// All files.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let own = match &self.source {
            CertificateSource::Files { certificate, key } => [Some(certificate), Some(key)],
            CertificateSource::Resolver(_) => [None, None],
        };
        own.into_iter().flatten().chain(&self.client_authorities)
    }
}

fn stamps(options: &TlsOptions) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    options.paths().map(stamp).collect()
}

fn server_config(options: &TlsOptions) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match options.minimum_version {
        MinimumVersion::Tls12 => &[&TLS13, &TLS12],
        MinimumVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|source| TlsError::Version { source: source.into() })?;
    let builder = match client_verifier(options, provider.clone())? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config = match &options.source {
        CertificateSource::Files { certificate, key } => {
            let chain = pem::certificates(certificate, options.explain)?;
            let private = pem::key(key, &provider, options.explain)?;
            builder.with_single_cert(chain, private).map_err(|source| TlsError::Unusable {
                certificate: certificate.clone(),
                key: key.clone(),
                source: source.into(),
            })?
        }
        CertificateSource::Resolver(resolver) => builder.with_cert_resolver(resolver.clone()),
    };
    config.alpn_protocols = protocols(options).map(<[u8]>::to_vec).collect();
    Ok(config)
}

/// What is spoken after the handshake, the best first.
fn protocols(options: &TlsOptions) -> impl Iterator<Item = &'static [u8]> {
    let http2: Option<&[u8]> = (!options.http2_disabled).then_some(b"h2");
    let acme = matches!(options.source, CertificateSource::Resolver(_)).then_some(ACME);
    let http1: &[u8] = b"http/1.1";
    http2.into_iter().chain([http1]).chain(acme)
}

fn client_verifier(
    options: &TlsOptions,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if options.client_authorities.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for path in &options.client_authorities {
        for certificate in pem::certificates(path, options.explain)? {
            roots.add(certificate).map_err(|source| TlsError::Clients { source: source.into() })?;
        }
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match options.client_auth {
        ClientAuth::Required | ClientAuth::RequiredUnverified => builder,
        ClientAuth::IfGiven | ClientAuth::IfGivenUnverified => builder.allow_unauthenticated(),
    };
    let verifier = builder.build().map_err(|source| TlsError::Clients { source: source.into() })?;
    Ok(Some(match options.client_auth {
        ClientAuth::Required | ClientAuth::IfGiven => verifier,
        ClientAuth::RequiredUnverified | ClientAuth::IfGivenUnverified => Arc::new(AnyAuthority(verifier)),
    }))
}

/// Takes a certificate whoever signed it. That the client has its key is still verified.
#[derive(Debug)]
struct AnyAuthority(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AnyAuthority {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
