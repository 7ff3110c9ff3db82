//! How connections are encrypted and served, as a configuration describes it.

use std::{path::PathBuf, sync::Arc};

use registry_auth::why_unreadable;
use registry_config::{self as config, Certificate, Config};
use registry_server::{CertificateSource, Limits, ServeOptions, Tls, TlsOptions};

use crate::{OpenError, selfsigned, selfsigned::SelfSigned};

/// TLS with the certificate that the configuration names or has made; nothing for plain HTTP.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn tls(
    config: &Config,
    early: Option<Tls>,
) -> Result<(Option<Arc<Tls>>, Option<SelfSigned>), OpenError> {
    let Some(tls) = &config.http.tls else { return Ok((None, None)) };
    if let Some(loaded) = early {
        return Ok((Some(Arc::new(loaded)), None));
    }
    let (certificate, key, self_signed) = match &tls.certificate {
        Certificate::Files { certificate, key } => (certificate.clone(), key.clone(), None),
        Certificate::Acme(_) => return Err(OpenError::NoAcme),
        Certificate::SelfSigned { hosts, directory } => {
            let folder = directory.clone().unwrap_or_else(|| PathBuf::from("certificate"));
            let made = selfsigned::find_or_make(&folder, hosts)?;
            (made.certificate.clone(), made.key.clone(), Some(made))
        }
    };
    let source = CertificateSource::Files { certificate, key };
    let loaded = Tls::load(tls_options(config, tls, source))?;
    Ok((Some(Arc::new(loaded)), self_signed))
}

/// How TLS is spoken with these certificates.
pub(crate) fn tls_options(config: &Config, tls: &config::Tls, source: CertificateSource) -> TlsOptions {
    let clients = tls.clients.as_ref();
    TlsOptions::of(source)
        .client_authorities(clients.map(|clients| clients.authorities.clone()).unwrap_or_default())
        .client_auth(clients.map(|clients| clients.mode).unwrap_or_default())
        .minimum_version(tls.minimum)
        .http2_disabled(!config.http.http2)
        .explain(why_unreadable)
}

/// How connections are served.
pub(crate) fn serve_options(config: &Config, tls: Option<Arc<Tls>>) -> ServeOptions {
    let http = &config.http;
    let limits = &http.limits;
    let http2 = if tls.is_some() { http.http2 } else { http.http2 && http.h2c };
    ServeOptions::default()
        .tls(tls)
        .limits(
            Limits::default()
                .connections_max(limits.connections)
                .connections_per_address(limits.per_address)
                .proxies(http.trusted_proxies.clone())
                .head_timeout(limits.header_timeout)
                .idle_timeout(limits.idle_timeout)
                .stall_timeout(limits.body_idle_timeout)
                .head_bytes_max(limits.header_bytes),
        )
        .http2_disabled(!http2)
        .drain(http.drain_timeout)
}
