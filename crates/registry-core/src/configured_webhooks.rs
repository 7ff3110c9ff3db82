//! Webhooks as a configuration describes them.

use std::{collections::BTreeMap, ops::Deref, path::Path};

use registry_config::{self as config, Config, Listen, Webhook, WebhookSecret};
use registry_webhooks::{Audience, Definition, Draft, Endpoint, Webhooks};

use crate::{
    Beside, OpenError, WebhookSettings,
    configured_sealed::{outbound, secrets},
};

/// The longest file of a webhook's secret.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// What a configuration says of webhooks.
///
/// # Errors
/// [`OpenError::WebhookUnusable`], [`OpenError::KeyFile`], [`OpenError::Key`], [`OpenError::Outbound`].
pub(crate) fn settings(config: &Config) -> Result<WebhookSettings, OpenError> {
    let definitions = definitions(config)?;
    let (secrets, outbound) = (secrets(config)?, outbound(config)?);
    let mut settings = WebhookSettings::new(secrets, outbound, url(config), node(config));
    settings.definitions = definitions;
    settings.include_references = config.notifications.include_references;
    settings.callbacks_below = callbacks_below(config);
    Ok(settings)
}

/// What of webhooks and keys can not be used, in a sentence for each: for a look before a start.
pub(crate) fn unusable(config: &Config) -> Vec<String> {
    let wrong = [definitions(config).err(), secrets(config).err(), outbound(config).err()];
    wrong.into_iter().flatten().map(|error| crate::causes(&error)).collect()
}

fn definitions(config: &Config) -> Result<Vec<Definition>, OpenError> {
    let webhooks = config.webhooks.iter().map(webhook);
    webhooks.chain(config.notifications.endpoints.iter().filter_map(endpoint)).collect()
}

fn webhook(webhook: &Webhook) -> Result<Definition, OpenError> {
    let unusable = |reason: Box<dyn std::error::Error + Send + Sync>| OpenError::WebhookUnusable {
        name: webhook.name.clone(),
        reason,
    };
    let texts = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>();
    let secret = webhook.secret.as_ref().map(secret).transpose().map_err(unusable)?;
    let draft = Draft {
        name: webhook.name.clone(),
        url: webhook.url.clone(),
        format: Some(webhook.format.to_string()),
        events: texts(&mut webhook.events.iter().map(ToString::to_string)),
        repositories: texts(&mut webhook.repositories.iter().map(ToString::to_string)),
        tags: texts(&mut webhook.tags.iter().map(ToString::to_string)),
        secret,
        headers: by_name(&webhook.headers),
        timeout: Some(webhook.timeout),
    };
    let definition = draft.check(Audience::Operators).map_err(|error| unusable(error.into()))?;
    Ok(Definition { is_disabled: webhook.disabled, ..definition })
}

fn secret(
    secret: &WebhookSecret,
) -> Result<registry_webhooks::WebhookSecret, Box<dyn std::error::Error + Send + Sync>> {
    let text = match secret {
        WebhookSecret::Text(text) => text.expose().to_owned(),
        WebhookSecret::File(path) => first_line(path)?,
    };
    Ok(text.parse()?)
}

fn first_line(path: &Path) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    let length = std::fs::metadata(path).map_err(named)?.len();
    if length > SECRET_FILE_BYTES_MAX {
        return Err(format!(
            "{} has {length} bytes, and at most {SECRET_FILE_BYTES_MAX} are read",
            path.display()
        )
        .into());
    }
    let text = std::fs::read_to_string(path).map_err(named)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// None for one that is disabled and can not be used, of which the Go registry makes nothing either.
fn endpoint(endpoint: &config::Endpoint) -> Option<Result<Definition, OpenError>> {
    let read = Endpoint {
        name: endpoint.name.clone(),
        url: endpoint.url.expose().to_owned(),
        headers: by_name(&endpoint.headers),
        timeout: Some(endpoint.timeout),
        threshold: Some(endpoint.threshold),
        backoff: Some(endpoint.backoff),
        ignored_media_types: endpoint.ignored_media_types.clone(),
        ignored_actions: endpoint.ignored_actions.clone(),
    };
    match read.check() {
        Ok(definition) => Some(Ok(Definition { is_disabled: endpoint.disabled, ..definition })),
        Err(_) if endpoint.disabled => None,
        Err(error) => {
            Some(Err(OpenError::WebhookUnusable { name: endpoint.name.clone(), reason: error.into() }))
        }
    }
}

fn by_name(headers: &[(String, Vec<String>)]) -> BTreeMap<String, Vec<String>> {
    headers.iter().cloned().collect()
}

/// Where receivers find the registry: its host, or the address that it listens on.
fn url(config: &Config) -> String {
    match (&config.http.host, &config.http.listen) {
        (Some(host), _) => host.trim_end_matches('/').to_owned(),
        (None, Listen::Tcp(address)) => {
            let scheme = if config.http.tls.is_some() { "https" } else { "http" };
            let host = if address.host.is_empty() { host_name() } else { address.host.clone() };
            format!("{scheme}://{host}:{}", address.port)
        }
        (None, Listen::Unix(_)) => format!("http://{}", host_name()),
    }
}

/// What all paths begin with, as the operator says it; none where nothing says it.
fn callbacks_below(config: &Config) -> Option<String> {
    config.http.host.as_ref().map(|host| below(host, &config.http.prefix))
}

/// A host and the prefix of all paths, without a slash at the end.
fn below(host: &str, prefix: &str) -> String {
    let (host, prefix) = (host.trim_end_matches('/'), prefix.trim_matches('/'));
    if prefix.is_empty() { host.to_owned() } else { format!("{host}/{prefix}") }
}

/// `host:port`, as the Go registry names a node.
fn node(config: &Config) -> String {
    match &config.http.listen {
        Listen::Tcp(address) => format!("{}:{}", host_name(), address.port),
        Listen::Unix(_) => host_name(),
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Opens the webhooks of a registry that another process may serve. Nothing is sent by this process. Keys are looked at where something is
/// sealed: a webhook whose secret does not open can be listed, paused and removed.
///
/// # Errors
/// [`OpenError`].
pub async fn open_webhooks_beside(config: &Config) -> Result<BesideWebhooks, OpenError> {
    let beside = crate::configured::open_beside(config).await?;
    let settings = settings(config)?;
    let database = beside.database.as_ref().ok_or(OpenError::OnlyInMemory)?;
    let webhooks = settings.over(database, &beside.recorder, &beside.metadata, false);
    webhooks.know(settings.definitions);
    Ok(BesideWebhooks { webhooks, _beside: beside })
}

/// The webhooks of a registry that another process may serve.
#[derive(Debug)]
pub struct BesideWebhooks {
    webhooks: Webhooks,
    /// What they lie in, which is to stay open.
    _beside: Beside,
}

impl Deref for BesideWebhooks {
    type Target = Webhooks;

    fn deref(&self) -> &Webhooks {
        &self.webhooks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_with_host_and_prefix() {
        for (host, prefix, expected) in [
            ("https://a.example", "", "https://a.example"),
            ("https://a.example/", "/", "https://a.example"),
            ("https://a.example", "/at/here/", "https://a.example/at/here"),
        ] {
            assert_eq!(below(host, prefix), expected);
        }
    }
}
