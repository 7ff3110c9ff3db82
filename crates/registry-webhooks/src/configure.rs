//! Webhooks of the configuration.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Definition, WebhookError, Webhooks,
    notices::Notices,
    steps::{Add, NewWebhook},
    webhooks::new_id,
};

impl Webhooks {
    /// Takes over what the configuration of this node defines: at the start. The database keeps the name of each, and what it was told;
    /// never where it is or what it is signed with. A name that was added by hand stays what it is, with an error in the log.
    ///
    /// One that the configuration does not have any more stays with what waits for it and what it was told, and is told nothing: another
    /// node may have it, and a name may be misspelt. The log says how to remove it.
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
            tracing::warn!(
                webhook = old.name,
                "the webhook is not in the configuration any more and is told nothing; what waits for it is kept. If no other node \
                 has it, `registry webhook remove` removes it"
            );
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
        let takes_notices =
            |definition: &&Arc<Definition>| definition.takes_notices() && !definition.is_disabled;
        let takes_notices = known.values().filter(takes_notices);
        self.0.notices.store(Arc::new(Notices::to(takes_notices.cloned().collect())));
        self.0.configured.store(Arc::new(known));
        Ok(())
    }

    /// Adds what the configuration of this node defines and the database has not any more: a command that was run with another
    /// configuration has removed it. It is told of what happens from now on.
    pub(crate) async fn keep_configured(&self) -> Result<(), WebhookError> {
        let configured = self.0.configured.load_full();
        if configured.is_empty() {
            return Ok(());
        }
        let stored = self.all().await?;
        let is_stored = |name: &str| stored.iter().any(|stored| stored.name == name);
        for (name, definition) in configured.iter().filter(|(name, _)| !is_stored(name)) {
            tracing::warn!(
                webhook = name,
                "the webhook was removed although the configuration of this node has it: it is added again, and is told of what \
                 happens from now on"
            );
            self.add_configured(definition).await?;
        }
        Ok(())
    }

    /// Knows what the configuration of this process defines, to show it. Nothing is written, and nothing is sent for it.
    pub fn know(&self, definitions: Vec<Definition>) {
        let named =
            definitions.into_iter().map(|definition| (definition.name.to_string(), Arc::new(definition)));
        self.0.configured.store(Arc::new(named.collect()));
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
}
