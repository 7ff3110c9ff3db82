//! The webhooks of a registry: what tells receivers of its events.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use registry_api::{App, Observer, Seen, SeenAction, WebhookFigures};
use registry_database::Database;
use registry_events::{Event, Recorder};
use registry_metadata::{FindRepository, MetadataStore, PresentRepositories, Purpose};
use registry_outbound::Outbound;
use registry_secrets::Secrets;
use registry_types::{Cause, Manifest, MediaType, RequestSource};
use registry_webhooks::{
    Audience, Definition, Facts, LookUp, Notice, Origin, Reference, Wanted, WebhookId, Webhooks,
};
use tokio::{sync::oneshot, task::JoinSet, time::sleep};
use tracing::Instrument;

use crate::{OpenError, callbacks};

/// How often the metrics are told how webhooks are doing.
const SHOW_EVERY: Duration = Duration::from_secs(5);

registry_server::options! {
    /// What tells receivers of events.
    #[derive(Clone, Debug)]
    pub struct WebhookSettings {
        /// What seals the secrets of webhooks in the database.
        pub secrets: Secrets,
        /// What asks receivers.
        pub outbound: Outbound,
        /// Webhooks beside those of the database: the operator's.
        pub definitions: Vec<Definition>,
        /// Whether receivers of the Go registry's format are told what a manifest refers to.
        pub include_references: bool,
        /// The registry's URL, without a slash at the end.
        pub url: String,
        /// This node: host name and port.
        pub node: String,
        /// What the registry's paths begin with at [`url`](Self::url), without a slash at the end: receivers of Docker Hub's format are
        /// told where they can report back. None where the URL is not known well enough for that.
        pub callbacks_below: Option<String>,
    }
}

impl WebhookSettings {
    /// Without webhooks but those of the database.
    pub fn new(secrets: Secrets, outbound: Outbound, url: String, node: String) -> WebhookSettings {
        WebhookSettings {
            secrets,
            outbound,
            definitions: Vec::new(),
            include_references: false,
            url,
            node,
            callbacks_below: None,
        }
    }

    /// Opens them over a database. Nothing is sent yet.
    pub(crate) fn over(
        &self,
        database: &Database,
        recorder: &Recorder,
        metadata: &Arc<dyn MetadataStore>,
        is_open: bool,
    ) -> Webhooks {
        let callbacks = self.callbacks_below.as_ref().map(|below| format!("{below}{}", callbacks::PATH));
        let (url, node) = (self.url.clone(), self.node.clone());
        let origin = Origin { url, node, instance: instance(), callbacks };
        let mut options = registry_webhooks::Options::new(
            database.clone(),
            self.secrets.clone(),
            self.outbound.clone(),
            recorder.clone(),
            origin,
        );
        options.look_up =
            Arc::new(InMetadata { metadata: metadata.clone(), database: database.clone(), is_open });
        options.include_references = self.include_references;
        Webhooks::new(options)
    }

    /// The same, for a node that serves: with the webhooks of its configuration, and with keys that open what is sealed.
    pub(crate) async fn start(
        self,
        database: &Database,
        recorder: &Recorder,
        metadata: &Arc<dyn MetadataStore>,
        is_open: bool,
    ) -> Result<Webhooks, OpenError> {
        self.secrets.check_sealed(database, &crate::sealed()).await?;
        let webhooks = self.over(database, recorder, metadata, is_open);
        webhooks.configure(self.definitions).await?;
        Ok(webhooks)
    }
}

/// By what receivers tell processes apart.
fn instance() -> String {
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().for_each(|byte| *byte = fastrand::u8(..));
    // A random UUID. Spec: RFC 9562, section 5.4.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = u128::from_be_bytes(bytes);
    let part = |shift: u32, digits: usize| {
        format!("{:0digits$x}", (number >> shift) & ((1_u128 << (4 * digits)) - 1))
    };
    [part(96, 8), part(80, 4), part(64, 4), part(48, 4), part(0, 12)].join("-")
}

/// What metadata knows that messages need.
#[derive(Debug)]
struct InMetadata {
    metadata: Arc<dyn MetadataStore>,
    database: Database,
    /// Whether every client may do everything.
    is_open: bool,
}

#[async_trait]
impl LookUp for InMetadata {
    /// Webhooks are operators' as long as there are no accounts: an operator may see all.
    async fn may_tell(&self, _: WebhookId, _: Audience, _: &Event) -> bool {
        true
    }

    async fn facts(&self, wanted: Wanted<'_>) -> Facts {
        let mut facts = Facts::default();
        let Some(repository) = wanted.repository else { return facts };
        if wanted.with_repository {
            let found = self.database.read("find a repository", FindRepository, repository.to_owned()).await;
            // A message goes out without what can not be found.
            if let Ok(Some(found)) = found {
                facts.created_at = Some(found.created_at_ms.div_euclid(1000));
                facts.is_public = Some(self.is_open || found.is_public);
            }
        }
        if let (Some(digest), true) = (wanted.digest, wanted.with_references) {
            facts.references = self.references(repository, digest).await.unwrap_or_default();
        }
        facts
    }

    async fn gone(&self, repositories: &[i64]) -> Vec<i64> {
        let present = self.database.read(
            "look which repositories there are",
            PresentRepositories,
            repositories.to_vec(),
        );
        // A database that does not answer says of none that it is gone.
        let Ok(present) = present.await else { return Vec::new() };
        repositories.iter().copied().filter(|repository| !present.contains(repository)).collect()
    }
}

impl InMetadata {
    /// What a manifest refers to; none if it is gone.
    async fn references(&self, repository: &str, digest: &str) -> Option<Vec<Reference>> {
        let (repository, reference) = (repository.parse().ok()?, digest.parse().ok()?);
        let stored = self.metadata.manifest(&repository, &reference, Purpose::Read).await.ok()??;
        let media_type: MediaType = stored.media_type.to_string().parse().ok()?;
        let manifest = Manifest::parse(Some(&media_type), stored.bytes).ok()?;
        let references = manifest.blobs().chain(manifest.child_manifests()).map(|descriptor| Reference {
            media_type: descriptor.media_type.to_string(),
            digest: descriptor.digest.to_string(),
            size: descriptor.size,
        });
        Some(references.collect())
    }
}

/// Sends what waits for receivers, until it is dropped or told to settle.
pub(crate) struct Sending {
    stop: oneshot::Sender<()>,
    running: JoinSet<()>,
}

impl Sending {
    pub(crate) fn start(webhooks: Webhooks) -> Sending {
        let (stop, stopped) = oneshot::channel::<()>();
        let mut running = JoinSet::new();
        // Dropping the sender stops it as well.
        let stopped = async { drop(stopped.await) };
        let work = async move { webhooks.run_until(stopped).await };
        running.spawn(work.instrument(tracing::info_span!("background", task = "webhooks")));
        Sending { stop, running }
    }

    /// Begins no attempt any more, lets those that are under way end, for some seconds, and other nodes go on at once.
    pub(crate) async fn settle(self) {
        let Sending { stop, mut running } = self;
        drop(stop);
        while running.join_next().await.is_some() {}
    }
}

/// Hands what clients pull, mount and push as blobs to the receivers that want it.
#[derive(Debug)]
pub(crate) struct ToReceivers(pub(crate) Webhooks);

impl Observer for ToReceivers {
    fn wants(&self) -> bool {
        self.0.wants_notices()
    }

    fn seen(&self, seen: Seen) {
        let Cause { actor, request } = seen.cause;
        self.0.note(&Notice {
            action: match seen.action {
                SeenAction::Pull => "pull",
                SeenAction::Push => "push",
                SeenAction::Mount => "mount",
                SeenAction::Delete => "delete",
            },
            at_ms: now_ms(),
            repository: seen.repository.to_string(),
            from_repository: seen.from.map(|from| from.to_string()),
            tag: seen.tag,
            digest: seen.digest.to_string(),
            media_type: seen.media_type,
            size_bytes: seen.size_bytes,
            is_manifest: seen.is_manifest,
            actor,
            request: request.unwrap_or_else(|| RequestSource::new("", None, None, "", None)),
        });
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Shows in the metrics how webhooks are doing, until the future is dropped.
pub(crate) async fn show(webhooks: Webhooks, database: Database, recorder: Recorder, app: Arc<App>) {
    loop {
        let events = registry_events::Numbers::read(&database, &recorder).await;
        match (webhooks.numbers().await, events) {
            (Ok(numbers), Ok(events)) if numbers.webhooks.is_empty() && events.consumers.is_empty() => {}
            (Ok(numbers), Ok(events)) => app.metrics.webhooks(&figures(&numbers, &events)),
            // The database says so itself.
            _ => tracing::debug!("the numbers of webhooks can not be read"),
        }
        sleep(SHOW_EVERY).await;
    }
}

fn figures(numbers: &registry_webhooks::Numbers, events: &registry_events::Numbers) -> WebhookFigures {
    let age_secs = |since_ms: Option<i64>| {
        since_ms.map_or(0.0, |since_ms| (now_ms().saturating_sub(since_ms)).max(0) as f64 / 1000.0)
    };
    let of_webhook = |webhook: &registry_webhooks::WebhookNumbers| registry_api::WebhookFigure {
        name: webhook.name.clone(),
        waiting: webhook.waiting,
        oldest_secs: age_secs(webhook.waiting_since_ms),
        dead: webhook.dead,
    };
    WebhookFigures {
        webhooks: numbers.webhooks.iter().map(of_webhook).collect(),
        attempts: [
            ("delivered", numbers.delivered),
            ("failed", numbers.failed),
            ("dead", numbers.dead),
            ("skipped", numbers.skipped),
        ],
        notices_waiting: numbers.notices_waiting,
        notices_dropped: numbers.notices_dropped,
        events_recorded: events.recorded,
        events_waiting: events.waiting,
        events_oldest_secs: age_secs(events.waiting_since_ms),
        lag: events.consumers.iter().map(|consumer| (consumer.name.clone(), consumer.lag)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_random_uuid() {
        let (one, other) = (instance(), instance());
        assert_ne!(one, other);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{one}");
        assert!(one.split('-').nth(2).is_some_and(|part| part.starts_with('4')), "{one}");
    }
}
