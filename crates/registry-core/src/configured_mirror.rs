//! Mirrored registries as a configuration describes them.

use registry_config::{self as config, Config};
use registry_proxy::{Credentials, Helper, ProxyOptions, UpstreamOptions};

use crate::{Builder, OpenError, configured_sealed::outbound};

/// The builder with what the configuration mirrors.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn configure(builder: Builder, config: &Config) -> Result<Builder, OpenError> {
    let Some(mirrors) = &config.mirrors else { return Ok(builder) };
    let upstreams: Result<Vec<UpstreamOptions>, OpenError> = mirrors.upstreams.iter().map(upstream).collect();
    let mut options = ProxyOptions::new(outbound(config)?, upstreams?);
    options.default_upstream = mirrors.default_upstream.clone();
    options.freshness = mirrors.freshness;
    options.keep_deleted = mirrors.keep_deleted;
    options.ttl = mirrors.ttl;
    options.offline = mirrors.offline;
    options.spool_bytes_max = mirrors.spool_bytes;
    Ok(builder.mirror(options))
}

fn upstream(upstream: &config::Upstream) -> Result<UpstreamOptions, OpenError> {
    let url = upstream
        .url
        .parse()
        .map_err(|error| OpenError::Upstream { name: upstream.name.clone(), source: Box::new(error) })?;
    let mut options = UpstreamOptions::new(upstream.name.clone(), url);
    options.credentials = match &upstream.login {
        config::Login::None => Credentials::None,
        config::Login::Password { username, password } => {
            Credentials::Password { username: username.clone(), password: password.clone() }
        }
        config::Login::Token(token) => Credentials::Token(token.clone()),
        config::Login::Exec { command, lifetime } => {
            Credentials::Helper(Helper::new(command.clone(), *lifetime))
        }
    };
    options.allow = upstream.allow.clone();
    options.deny = upstream.deny.clone();
    options.concurrency = upstream.concurrency;
    Ok(options)
}
