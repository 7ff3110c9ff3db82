//! A certificate with its key, as the authority gave it.

use std::sync::Arc;

use rustls::{crypto::ring, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_cert::der::Decode;

use crate::AcmeError;

/// The most certificates of a chain.
const CHAIN_MAX: usize = 10;

/// What TLS shows.
pub(crate) fn certified(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, AcmeError> {
    let unusable = |error: String| AcmeError::Certificate(error);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .take(CHAIN_MAX)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| unusable(error.to_string()))?;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
    certified.map(Arc::new).map_err(|error| unusable(error.to_string()))
}

/// From when until when the first certificate of a chain is good, in milliseconds since 1970.
pub(crate) fn validity(chain: &str) -> Result<(i64, i64), AcmeError> {
    let first = CertificateDer::from_pem_slice(chain.as_bytes())
        .map_err(|error| AcmeError::Certificate(error.to_string()))?;
    let parsed = x509_cert::Certificate::from_der(&first)
        .map_err(|error| AcmeError::Certificate(error.to_string()))?;
    let validity = parsed.tbs_certificate().validity();
    let milliseconds =
        |time: &x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX);
    Ok((milliseconds(&validity.not_before), milliseconds(&validity.not_after)))
}
