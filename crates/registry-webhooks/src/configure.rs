//! Webhooks of the configuration.

use std::{collections::BTreeMap, sync::Arc};

use registry_database::Database;
use registry_types::WebhookFormat;

use crate::{
    Definition, Filter, WebhookError, WebhookId, Webhooks,
    notices::Notices,
    steps::{Add, NewWebhook, OfId, Remove},
    webhooks::new_id,
};

impl Webhooks {
    /// Takes over what the configuration of this node defines: at the start. The database keeps the name of each, and what it was told;
    /// never where it is or what it is signed with. A name that was added by hand stays what it is, with an error in the log.
    ///
    /// One that the configuration does not have any more is removed where this is the only node. With PostgreSQL other nodes may have
    /// it: then the log says that it is to be removed by hand.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn configure(&self, definitions: Vec<Definition>) -> Result<(), WebhookError> {
        let definitions: BTreeMap<String, Arc<Definition>> = definitions
            .into_iter()
            .map(|definition| (definition.name.to_string(), Arc::new(definition)))
            .collect();
        if !definitions.is_empty() {
            self.use_tables().await?;
        }
        let stored = self.all().await?;
        for old in stored.iter().filter(|old| old.is_configured && !definitions.contains_key(&old.name)) {
            self.drop_configured(&old.name, old.id).await?;
        }
        let mut known = BTreeMap::new();
        for (name, definition) in definitions {
            match stored.iter().find(|stored| stored.name == name) {
                Some(by_hand) if !by_hand.is_configured => {
                    tracing::error!(
                        webhook = name,
                        "the webhook of the configuration is not used: one of its name was added"
                    );
                    continue;
                }
                Some(_) => {}
                None => self.add_configured(&definition).await?,
            }
            known.insert(name, definition);
        }
        let takes_notices = |definition: &&Arc<Definition>| {
            definition.format == WebhookFormat::Distribution && !definition.is_disabled
        };
        let takes_notices = known.values().filter(takes_notices);
        self.0.notices.store(Arc::new(Notices::to(takes_notices.cloned().collect())));
        self.0.configured.store(Arc::new(known));
        Ok(())
    }

    /// Format and filter of a webhook, if the configuration of this node has it, and has it told of events.
    pub(crate) async fn configured_filter(
        &self,
        webhook: WebhookId,
    ) -> Result<Option<(WebhookFormat, Filter)>, WebhookError> {
        let configured = self.0.configured.load_full();
        if configured.is_empty() {
            return Ok(None);
        }
        let stored = self.read("find a webhook", OfId, webhook).await?;
        let definition = stored.and_then(|stored| configured.get(&stored.name).cloned());
        let definition = definition.filter(|definition| !definition.is_disabled);
        Ok(definition.map(|definition| (definition.format, definition.filter.clone())))
    }

    async fn add_configured(&self, definition: &Definition) -> Result<(), WebhookError> {
        let new = NewWebhook {
            id: new_id()?,
            name: definition.name.clone(),
            is_configured: true,
            columns: None,
            secret: None,
        };
        match self.write("add a webhook of the configuration", Add, new).await {
            // Another node was faster.
            Ok(()) | Err(WebhookError::Exists(_)) => {
                self.0.options.recorder.want();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn drop_configured(&self, name: &str, id: i64) -> Result<(), WebhookError> {
        if matches!(self.0.options.database, Database::Sqlite(_)) {
            tracing::info!(webhook = name, "the webhook is no longer configured, and was removed");
            return self.write("remove a webhook", Remove, id).await.map(drop);
        }
        tracing::warn!(
            webhook = name,
            "the webhook is not configured here: if no other node has it, `registry webhook remove` ends what waits for it"
        );
        Ok(())
    }
}
