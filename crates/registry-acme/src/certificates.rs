//! What TLS is given to ask for certificates, and what answers the authority.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use ring::digest::{SHA256, digest};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::PrivateKeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{AcmeError, steps::Asked};

/// The protocol in which an authority looks at a host over TLS. A server that offers it ends such a connection after the handshake. Spec:
/// RFC 8737, section 4.
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// The certificates of a node's hosts. Empty until [`Acme::load`](crate::Acme::load); clones are the same.
#[derive(Clone, Default)]
pub struct Certificates(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// By host, in lower case.
    certificates: ArcSwap<BTreeMap<String, Shown>>,
    /// What a client is shown that names no host.
    default_host: ArcSwap<String>,
    challenges: ArcSwap<Vec<Challenged>>,
}

/// A certificate that clients are shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) not_after_ms: i64,
}

/// What the authority wants to see, ready to be shown.
struct Challenged {
    asked: Asked,
    /// For TLS-ALPN-01.
    certificate: Arc<CertifiedKey>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.0.certificates.load().keys().cloned().collect();
        formatter.debug_tuple("Certificates").field(&hosts).finish()
    }
}

impl Certificates {
    /// What the authority expects below `/.well-known/acme-challenge/` at this token, as `text/plain` or `application/octet-stream`. Spec: RFC
    /// 8555, section 8.3.
    pub fn challenge(&self, token: &str) -> Option<String> {
        let challenges = self.0.challenges.load();
        challenges.iter().find(|one| one.asked.token == token).map(|one| one.asked.answer.clone())
    }

    /// The hosts that there is a certificate for.
    pub fn hosts(&self) -> Vec<String> {
        self.0.certificates.load().keys().cloned().collect()
    }

    /// The hosts that there is a certificate for, and until when it is good, in milliseconds since 1970.
    pub fn good_until_ms(&self) -> Vec<(String, i64)> {
        self.0.certificates.load().iter().map(|(host, shown)| (host.clone(), shown.not_after_ms)).collect()
    }

    pub(crate) fn put(&self, certificates: BTreeMap<String, Shown>, default_host: &str) {
        self.0.default_host.store(Arc::new(default_host.to_owned()));
        self.0.certificates.store(Arc::new(certificates));
    }

    /// Shows the authority what it asks, from now on.
    ///
    /// # Errors
    /// [`AcmeError::Key`].
    pub(crate) fn show(&self, asked: Vec<Asked>) -> Result<(), AcmeError> {
        let known = self.0.challenges.load();
        if known.iter().map(|one| &one.asked).eq(&asked) {
            return Ok(());
        }
        let challenged = asked.into_iter().map(|asked| {
            let certificate = match known.iter().find(|one| one.asked == asked) {
                Some(one) => one.certificate.clone(),
                None => Arc::new(challenge_certificate(&asked)?),
            };
            Ok(Challenged { asked, certificate })
        });
        self.0.challenges.store(Arc::new(challenged.collect::<Result<_, AcmeError>>()?));
        Ok(())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        if hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_TLS_ALPN)) {
            let challenges = self.0.challenges.load();
            let one = challenges.iter().find(|one| Some(&one.asked.host) == name.as_ref());
            return one.map(|one| one.certificate.clone());
        }
        let certificates = self.0.certificates.load();
        let named = name.as_ref().and_then(|name| certificates.get(name));
        // A client that asks for an address names no host.
        let shown = named.or_else(|| certificates.get(&**self.0.default_host.load()));
        shown.map(|shown| shown.certified.clone())
    }
}

/// A certificate that nothing but the authority is shown. Spec: RFC 8737, section 3.
fn challenge_certificate(asked: &Asked) -> Result<CertifiedKey, AcmeError> {
    let digest = digest(&SHA256, asked.answer.as_bytes());
    let mut params = CertificateParams::new(vec![asked.host.clone()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|error| AcmeError::Certificate(error.to_owned()))?;
    let key = any_supported_type(&key).map_err(|error| AcmeError::Certificate(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
