//! Keys and outgoing connections as a configuration describes them.

use std::path::PathBuf;

use registry_config::{self as config, Config, Driver};
use registry_outbound::{Outbound, OutboundOptions};
use registry_secrets::{Keys, Secrets};

use crate::OpenError;

/// The name of the file of keys in the data folder.
pub(crate) const KEY_FILE: &str = "secrets.key";

/// So many connections to a host are kept for the next request: as many as attempts to send messages are made at once. Many webhooks may
/// lead to one receiver.
const IDLE_MAX: usize = 64;

/// The keys: those of the configuration; where all of the registry lies in one folder, a file there that makes itself.
///
/// # Errors
/// [`OpenError::KeyFile`], [`OpenError::Key`].
pub fn secrets(config: &Config) -> Result<Secrets, OpenError> {
    if let Some(text) = &config.secrets.key {
        return Ok(Secrets::given(text.expose().parse::<Keys>()?));
    }
    if let Some(path) = &config.secrets.key_file {
        return Ok(Secrets::file(path)?);
    }
    match key_file(config) {
        Some(path) => Ok(Secrets::made_when_needed(&path)?),
        None => Ok(Secrets::absent()),
    }
}

/// What opens connections to receivers.
///
/// # Errors
/// [`OpenError::Outbound`].
pub fn outbound(config: &Config) -> Result<Outbound, OpenError> {
    let proxy = config.outbound.proxy.as_deref().map(str::parse).transpose();
    let proxy = proxy.map_err(|error| OpenError::Proxy(Box::new(error)))?;
    let mut options = OutboundOptions::default();
    (options.proxy, options.allowed) = (proxy, config.outbound.allow.clone());
    options.idle_max = IDLE_MAX;
    Ok(Outbound::new(options)?)
}

/// The file of keys that a configuration leads to, if it does.
pub fn key_file(config: &Config) -> Option<PathBuf> {
    let beside = match (&config.storage.driver, &config.metadata) {
        (Driver::Filesystem { root, .. }, config::Metadata::SqliteFile(_)) if !config.journal.enabled => {
            Some(root.join(KEY_FILE))
        }
        _ => None,
    };
    config.secrets.key_file.clone().or(beside)
}
