//! Certificates that are ordered from an authority, as a configuration describes them.

use registry_config::{self as config, Certificate, Config};
use registry_server::Tls;

use crate::{
    AcmeSettings, Builder, OpenError,
    configured::listen_tcp,
    configured_sealed::{outbound, secrets},
    configured_tls::tls_options,
    early::Early,
};

/// The builder with them, and TLS that shows them; nothing if the configuration wants none.
///
/// # Errors
/// [`OpenError`].
pub(crate) async fn configure(
    builder: Builder,
    config: &Config,
    early: &mut Early,
) -> Result<(Builder, Option<Tls>), OpenError> {
    let Some(tls) = &config.http.tls else { return Ok((builder, None)) };
    let Certificate::Acme(acme) = &tls.certificate else { return Ok((builder, None)) };
    let mut settings =
        AcmeSettings::new(secrets(config)?, outbound(config)?, acme.directory.clone(), acme.hosts.clone())
            .email(acme.email.clone());
    if let Some(address) = &acme.http {
        settings = settings.http(Some(listen(address, early).await?));
    }
    let shown = Tls::load(tls_options(config, tls, settings.tls().source))?;
    Ok((builder.acme(settings), Some(shown)))
}

async fn listen(
    address: &config::TcpAddress,
    early: &mut Early,
) -> Result<registry_server::Listener, OpenError> {
    let listener = match early.acme.take() {
        Some(bound) => bound.listen(),
        None => listen_tcp(address).await,
    };
    let variable = "REGISTRY_HTTP_TLS_LETSENCRYPT_HTTPADDR";
    listener.map_err(|source| OpenError::Listen { address: address.to_string(), variable, source })
}
