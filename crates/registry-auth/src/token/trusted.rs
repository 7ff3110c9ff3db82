//! The keys that an operator trusts: certificates of a bundle, and a set of keys.

use std::collections::HashMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use der::{Decode, Encode};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use spki::SubjectPublicKeyInfoRef;
// The package's name; its library has a shorter one.
use webpki as rustls_webpki;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};
use x509_cert::Certificate;
use x509_cert::ext::pkix::BasicConstraints;

use super::crypto::Key;
use super::error::{Refusal, TokenError};
use super::jwk::{Jwk, JwkSet};
use super::jws::Head;
use super::keys::{KINDS, PublicKey};
use super::p521;

/// The largest bundle, and the largest set of keys.
pub const TRUST_BYTES_MAX: usize = 1 << 20;

/// The longest chain of certificates in a token.
const CHAIN_MAX: usize = 10;

/// What tokens are checked by.
#[derive(Debug, Default)]
pub(super) struct Trusted {
    keys: HashMap<String, Key>,
    roots: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl Trusted {
    /// Reads both files, of which one may be missing from the configuration.
    pub(super) fn read(bundle: Option<&Path>, jwks: Option<&Path>) -> Result<Trusted, TokenError> {
        let mut trusted = Trusted::default();
        if let Some(path) = bundle {
            trusted.add_bundle(path)?;
        }
        if let Some(path) = jwks {
            trusted.add_jwks(path)?;
        }
        if trusted.keys.is_empty() && trusted.roots.is_empty() {
            return Err(TokenError::NoKey);
        }
        Ok(trusted)
    }

    fn add_bundle(&mut self, path: &Path) -> Result<(), TokenError> {
        let bytes = read(path)?;
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            let unreadable = |reason: String| TokenError::Certificate { path: path.to_owned(), reason };
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            let parsed = parse(&certificate).map_err(|error| unreadable(error.to_string()))?;
            self.add_root(certificate, &parsed).map_err(unreadable)?;
        }
        Ok(())
    }

    /// A certificate of the bundle is a root of chains, and its own key signs tokens, too.
    fn add_root(&mut self, certificate: CertificateDer<'static>, parsed: &Certificate) -> Result<(), String> {
        match key_of(parsed) {
            Some(key) => self.add(key),
            None => tracing::warn!(
                "the key of the certificate {} is none that signs tokens here: {KINDS} do; it is trusted as an authority",
                parsed.tbs_certificate().subject()
            ),
        }
        let anchor =
            rustls_webpki::anchor_from_trusted_cert(&certificate).map_err(|error| error.to_string())?;
        // A certificate that may sign no other is trusted for itself alone.
        if is_authority(parsed) {
            self.anchors.push(anchor.to_owned());
        }
        self.roots.push(certificate);
        Ok(())
    }

    fn add_jwks(&mut self, path: &Path) -> Result<(), TokenError> {
        let bytes = read(path)?;
        let set: JwkSet = serde_json::from_slice(&bytes)
            .map_err(|source| TokenError::Jwks { path: path.to_owned(), source })?;
        for jwk in set.keys.iter().map(Jwk::of_value) {
            match PublicKey::of_jwk(&jwk) {
                Some(key) => self.add(key),
                None => tracing::warn!(
                    "a key of {} is left out: {KINDS} sign tokens here (its id: {:?})",
                    path.display(),
                    jwk.kid.as_deref().unwrap_or_default()
                ),
            }
        }
        Ok(())
    }

    fn add(&mut self, PublicKey { key, ids }: PublicKey) {
        self.keys.extend(ids.into_iter().map(|id| (id, key.clone())));
    }

    /// The key that a token's head names, if it is trusted: by a chain of certificates, by a key that is sent along, or by
    /// its id, in this order.
    pub(super) fn key(&self, head: &Head) -> Result<Key, Refusal> {
        if let Some(chain) = head.x5c.as_ref().filter(|chain| !chain.is_empty()) {
            return self.of_chain(chain);
        }
        if let Some(jwk) = &head.jwk {
            return self.of_jwk(jwk);
        }
        let id = head.kid.as_ref().filter(|id| !id.is_empty()).ok_or(Refusal::NoKey)?;
        self.by_id(id)
    }

    /// A key that a token brings counts only if it is known here, or by its certificates: its own numbers are not looked at.
    fn of_jwk(&self, jwk: &Jwk) -> Result<Key, Refusal> {
        match jwk.x5c.as_ref().filter(|chain| !chain.is_empty()) {
            Some(chain) => self.of_chain(chain),
            None => self.by_id(jwk.kid.as_deref().unwrap_or_default()),
        }
    }

    fn by_id(&self, id: &str) -> Result<Key, Refusal> {
        self.keys.get(id).cloned().ok_or(Refusal::UnknownKey)
    }

    /// The key of the first certificate, which the others lead to a root of the bundle.
    fn of_chain(&self, chain: &[String]) -> Result<Key, Refusal> {
        if chain.len() > CHAIN_MAX {
            return Err(Refusal::Chain("it has too many certificates".to_owned()));
        }
        let chain = chain.iter().map(|text| decode(text)).collect::<Result<Vec<_>, _>>()?;
        let (leaf, intermediates) = chain.split_first().ok_or(Refusal::NoKey)?;
        let parsed = parse(leaf).map_err(|error| Refusal::Chain(error.to_string()))?;
        if self.roots.contains(leaf) {
            is_valid_now(&parsed)?;
        } else {
            self.verify(leaf, intermediates).map_err(|error| Refusal::Chain(error.to_string()))?;
        }
        let key =
            key_of(&parsed).ok_or_else(|| Refusal::Chain("its key is of an unknown kind".to_owned()))?;
        Ok(key.key)
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), rustls_webpki::Error> {
        let leaf = EndEntityCert::try_from(leaf)?;
        let algorithms = [rustls_webpki::ALL_VERIFICATION_ALGS, p521::CERTIFICATES].concat();
        let now = UnixTime::now();
        let path =
            leaf.verify_for_usage(&algorithms, &self.anchors, intermediates, now, AnyUsage, None, None);
        path.map(drop)
    }
}

/// Token servers use certificates that were made for servers, for clients, or for nothing in particular.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), rustls_webpki::Error> {
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TokenError> {
    let failed = |source| TokenError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > TRUST_BYTES_MAX as u64 {
        return Err(TokenError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map_err(failed)
}

fn parse(certificate: &CertificateDer<'_>) -> der::Result<Certificate> {
    Certificate::from_der(certificate)
}

/// Whether it may sign others. One that says nothing, as those of version 1 do, may not.
fn is_authority(certificate: &Certificate) -> bool {
    let constraints = certificate.tbs_certificate().get_extension::<BasicConstraints>();
    constraints.is_ok_and(|found| found.is_some_and(|(_, constraints)| constraints.ca))
}

fn key_of(certificate: &Certificate) -> Option<PublicKey> {
    let encoded = certificate.tbs_certificate().subject_public_key_info().to_der().ok()?;
    PublicKey::of_certificate(&SubjectPublicKeyInfoRef::from_der(&encoded).ok()?)
}

/// Spec: RFC 7515, section 4.1.6: base64, and not that of URLs.
fn decode(text: &str) -> Result<CertificateDer<'static>, Refusal> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    bytes.map(CertificateDer::from).map_err(|error| Refusal::Chain(error.to_string()))
}

fn is_valid_now(certificate: &Certificate) -> Result<(), Refusal> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let validity = certificate.tbs_certificate().validity();
    let (begin, end) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
    if (begin..=end).contains(&now) {
        Ok(())
    } else {
        Err(Refusal::Chain("the certificate is not valid now".to_owned()))
    }
}
