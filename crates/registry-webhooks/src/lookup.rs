use std::fmt;

use async_trait::async_trait;
use registry_events::Event;

use crate::{Audience, Facts, WebhookId};

/// What the rest of the registry knows that messages need. Asked for each attempt: what was so when an event happened may not be so
/// any more.
#[async_trait]
pub trait LookUp: fmt::Debug + Send + Sync + 'static {
    /// Whether the receiver of a webhook may know of an event now: of a repository that became private, perhaps not. A message that may
    /// not be sent is skipped.
    async fn may_tell(&self, webhook: WebhookId, audience: Audience, event: &Event) -> bool;

    /// What is known of the repository of an event, and of its manifest where `with_references` asks for that.
    async fn facts(&self, repository: Option<&str>, digest: Option<&str>, with_references: bool) -> Facts;
}

/// Everything may be told, and nothing is known beside the events.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingKnown;

#[async_trait]
impl LookUp for NothingKnown {
    async fn may_tell(&self, _: WebhookId, _: Audience, _: &Event) -> bool {
        true
    }

    async fn facts(&self, _: Option<&str>, _: Option<&str>, _: bool) -> Facts {
        Facts::default()
    }
}
