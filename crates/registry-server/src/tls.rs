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
        WebPkiClientVerifier,
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
    /// Where the certificate lies, and what is asked of clients.
    #[derive(Clone, Debug)]
    pub struct TlsFiles {
        /// PEM: the certificate, followed by its chain.
        pub certificate: PathBuf,
        /// PEM: its private key.
        pub key: PathBuf,
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

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can not be read.
    #[error("can not read {}{hint}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What keeps the process from reading it, if that is known: what [`TlsFiles::explain`] says.
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
    /// What clients are to show can not be verified.
    #[error("the certificates of clients can not be verified")]
    Clients {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// TLS for a server. New connections get the newest certificate; those that are open keep theirs.
pub struct Tls {
    files: TlsFiles,
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
        formatter.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn load(files: TlsFiles) -> Result<Tls, TlsError> {
        // Before the files: a change in between is then seen by the first look.
        let stamps = stamps(&files);
        let current = ArcSwap::from_pointee(server_config(&files)?);
        Ok(Tls { files, current, looked: Mutex::new(Look { at: Instant::now(), stamps }) })
    }

    /// Logs it if a file can not be read any more, since the process gave up rights: its next version will not count. What
    /// was seen until now is no change.
    pub fn look_again(&self) {
        let mut looked = self.looked.lock();
        looked.stamps = stamps(&self.files);
        for path in self.files.paths() {
            if let Err(source) = fs::File::open(path) {
                let error = TlsError::unreadable(path, source, self.files.explain);
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
        self.looked.lock().stamps = stamps(&self.files);
        match server_config(&self.files) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                tracing::info!("loaded the certificate {}", self.files.certificate.display());
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "kept the certificate that was in use"
            ),
        }
    }

    /// Whether every client must show a certificate that one of the authorities signed.
    pub fn knows_clients(&self) -> bool {
        !self.files.client_authorities.is_empty() && self.files.client_auth == ClientAuth::Required
    }

    /// Whether a certificate that a client showed was signed by one of the authorities.
    pub(crate) fn verifies_clients(&self) -> bool {
        match self.files.client_auth {
            ClientAuth::Required | ClientAuth::IfGiven => !self.files.client_authorities.is_empty(),
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
        let stamps = stamps(&self.files);
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

impl TlsFiles {
    /// A certificate with its chain, and its key. Asks clients for none, speaks TLS from 1.2 on and HTTP/2.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsFiles {
        TlsFiles {
            certificate: certificate.into(),
            key: key.into(),
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
    ) -> TlsFiles {
        let client_authorities = authorities.into_iter().map(Into::into).collect();
        TlsFiles { client_authorities, client_auth: auth, ..self }
    }

    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_authorities)
    }
}

fn stamps(files: &TlsFiles) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    files.paths().map(stamp).collect()
}

fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let unusable = |source: rustls::Error| TlsError::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source: source.into(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match files.minimum_version {
        MinimumVersion::Tls12 => &[&TLS13, &TLS12],
        MinimumVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(unusable)?;
    let builder = match client_verifier(files, provider.clone())? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let (certificates, key) = (
        pem::certificates(&files.certificate, files.explain)?,
        pem::key(&files.key, &provider, files.explain)?,
    );
    let mut config = builder.with_single_cert(certificates, key).map_err(unusable)?;
    config.alpn_protocols = if files.http2_disabled {
        vec![b"http/1.1".to_vec()]
    } else {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    };
    Ok(config)
}

fn client_verifier(
    files: &TlsFiles,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if files.client_authorities.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for path in &files.client_authorities {
        for certificate in pem::certificates(path, files.explain)? {
            roots.add(certificate).map_err(|source| TlsError::Clients { source: source.into() })?;
        }
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match files.client_auth {
        ClientAuth::Required | ClientAuth::RequiredUnverified => builder,
        ClientAuth::IfGiven | ClientAuth::IfGivenUnverified => builder.allow_unauthenticated(),
    };
    let verifier = builder.build().map_err(|source| TlsError::Clients { source: source.into() })?;
    Ok(Some(match files.client_auth {
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
