use std::fmt;

use async_trait::async_trait;
use registry_events::Event;
use registry_types::WebhookFormat;

use crate::{Audience, Facts, Notice, WebhookId};

/// What a message needs to know beside its event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Of which repository; none if it is about none.
    pub repository: Option<&'a str>,
    /// Of which manifest.
    pub digest: Option<&'a str>,
    /// Since when there is the repository, and whether it is public.
    pub with_repository: bool,
    /// What the manifest refers to.
    pub with_references: bool,
}

impl<'a> Wanted<'a> {
    /// What a message about an event needs in a format; references only where receivers want them.
    pub(crate) fn by(format: WebhookFormat, event: &'a Event, include_references: bool) -> Wanted<'a> {
        Wanted {
            repository: event.name.as_deref(),
            digest: event.digest.as_deref(),
            with_repository: format == WebhookFormat::DockerHub,
            with_references: include_references && format == WebhookFormat::Distribution,
        }
    }

    /// What a notice needs.
    pub(crate) fn by_notice(notice: &'a Notice, include_references: bool) -> Wanted<'a> {
        Wanted {
            repository: Some(&notice.repository),
            digest: Some(&notice.digest),
            with_repository: false,
            with_references: include_references && notice.is_manifest,
        }
    }
}

/// What the rest of the registry knows that messages need. Asked for each attempt: what was so when an event happened may not be so
/// any more.
#[async_trait]
pub trait LookUp: fmt::Debug + Send + Sync + 'static {
    /// Whether the receiver of a webhook may know of an event now: of a repository that became private, perhaps not. A message that may
    /// not be sent is skipped.
    async fn may_tell(&self, webhook: WebhookId, audience: Audience, event: &Event) -> bool;

    /// What is known of what is wanted.
    async fn facts(&self, wanted: Wanted<'_>) -> Facts;

    /// Which of the repositories of these numbers, at most a few hundred, are gone for good: none of them comes again, and nothing more
    /// happens there. None, where that is not known.
    async fn gone(&self, repositories: &[i64]) -> Vec<i64> {
        let _ = repositories;
        Vec::new()
    }
}

/// Everything may be told, and nothing is known beside the events.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingKnown;

#[async_trait]
impl LookUp for NothingKnown {
    async fn may_tell(&self, _: WebhookId, _: Audience, _: &Event) -> bool {
        true
    }

    async fn facts(&self, _: Wanted<'_>) -> Facts {
        Facts::default()
    }
}
