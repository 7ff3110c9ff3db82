//! What is done now and then, besides serving: idle uploads are removed, garbage is collected, images go by
//! policies, pulls are written down.

use std::{sync::Arc, time::Duration};

use registry_api::{App, Metrics};
use registry_collector::{
    Collector, CollectorOptions, Sweep, SweepOptions, Watch,
    retention::{Judged, Outcome, Retention, Verdict as Fate},
};
use registry_metadata::{Collected, MetadataError, MetadataStore, Verdict};
use registry_types::{Location, retention::Policy};
use tokio::time::sleep;

registry_server::options! {
    /// When idle uploads are removed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Purge {
        /// How long an upload must be idle.
        pub age: Duration,
        /// How often is looked.
        pub interval: Duration,
    }
}

impl Default for Purge {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
        Purge { age: hours(168), interval: hours(24) }
    }
}

impl Purge {
    /// At least each hour.
    pub(crate) fn each_hour(self) -> Purge {
        Purge { interval: self.interval.min(Duration::from_secs(60 * 60)), ..self }
    }
}

/// How much is done in one go, so that no transaction is long.
const BATCH: usize = 100;

/// Gives up abandoned uploads until the future is dropped. The first look is right at the start: a registry that is
/// restarted every night still purges.
pub(crate) async fn purge_uploads(metadata: Arc<dyn MetadataStore>, purge: Purge) {
    loop {
        match purge_once(&*metadata, purge.age).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!("removed {count} uploads that no client continued for {:?}", purge.age)
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "could not purge uploads")
            }
        }
        sleep(purge.interval).await;
    }
}

async fn purge_once(metadata: &dyn MetadataStore, age: Duration) -> Result<u64, MetadataError> {
    let mut sum = 0;
    loop {
        let count = metadata.expire_uploads(age, BATCH).await?;
        sum += count;
        if count < BATCH as u64 {
            return Ok(sum);
        }
    }
}

registry_server::options! {
    /// When the serving process collects garbage, and how.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Collecting {
        /// How often is looked whether something is due. One minute.
        pub interval: Duration,
        /// What is taken, and how fast.
        pub options: CollectorOptions,
        /// How often the store is looked through for bytes to which no row refers; never, if nothing. One day.
        pub sweep_interval: Option<Duration>,
        /// What is done with them.
        pub sweep: SweepOptions,
    }
}

impl Default for Collecting {
    fn default() -> Self {
        Collecting {
            interval: Duration::from_secs(60),
            options: CollectorOptions::default(),
            sweep_interval: Some(Duration::from_secs(24 * 60 * 60)),
            sweep: SweepOptions::default(),
        }
    }
}

/// Collects garbage until the future is dropped.
pub(crate) async fn collect_garbage(app: Arc<App>, collecting: Collecting) {
    let collector = Collector::new(app.metadata.clone(), app.store.clone(), collecting.options);
    loop {
        let report = collector.collect(&Counted(&app.metrics)).await;
        if report.looked_at + report.objects_deleted > 0 {
            let (removed, kept) = (report.removed.values().sum::<u64>(), report.kept.values().sum::<u64>());
            tracing::info!(
                "collected garbage in {} ms: removed {removed} rows, kept {kept}; queued {} bytes for deletion, deleted {} objects",
                report.took_ms,
                report.bytes_given_up,
                report.objects_deleted
            );
        }
        sleep(collecting.interval).await;
    }
}

/// Looks through the store now and then, until the future is dropped, if no other node does. When that was last begun is in the
/// database, so neither several nodes nor a node that is restarted all the time list everything more often than `interval`.
pub(crate) async fn sweep_store(app: Arc<App>, interval: Duration, options: SweepOptions) {
    let sweep = Sweep::new(app.metadata.clone(), app.store.clone(), options);
    loop {
        sleep(interval / LOOKS).await;
        if !claim_sweep(&*app.metadata, interval).await {
            continue;
        }
        match sweep.run().await {
            Ok(report) if report.unknown == 0 => {}
            Ok(report) => tracing::warn!(
                "found {} objects of {} bytes that no row refers to; {} are garbage, {} were queued for deletion",
                report.unknown,
                report.unknown_bytes,
                report.garbage,
                report.given_up
            ),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "could not look through the store")
            }
        }
    }
}

registry_server::options! {
    /// By which policies the serving process deletes images, and how often.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Retaining {
        /// How often. One hour.
        pub interval: Duration,
        /// The policies. The operator that sets them has seen a preview.
        pub policies: Vec<Policy>,
    }
}

impl Retaining {
    /// Applies these policies each hour.
    pub fn by(policies: Vec<Policy>) -> Retaining {
        Retaining { interval: Duration::from_secs(60 * 60), policies }
    }
}

/// How many images go in a second at most, so that pushes need not wait.
const RETENTION_DELETES_PER_SECOND: u32 = 50;

/// Deletes what policies let go until the future is dropped. Nodes that share a database may do it at the same time: each
/// deletion looks once more, so the second one finds nothing to do. Not right at the start: pulls that wait in other nodes, or
/// waited in this one before, get a chance to be written down.
pub(crate) async fn retain(app: Arc<App>, retaining: Retaining) {
    let retention = Retention::new(app.metadata.clone(), retaining.policies, RETENTION_DELETES_PER_SECOND);
    loop {
        sleep(retaining.interval).await;
        flush_pulls(&app).await;
        match retention.apply(None, &mut log).await {
            Ok(report) if report.expired + report.failed > 0 => tracing::info!("retention: {report}"),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "could not apply retention policies"
                )
            }
        }
    }
}

fn log(judged: Judged<'_>) {
    if let (Outcome::Deleted, Fate::Expired { rule }) = (judged.outcome, judged.verdict) {
        let Judged { repository, image, .. } = judged;
        let tag = image.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        tracing::info!("retention deleted {repository}{tag}@{} by {rule}", image.digest);
    }
}

/// How often pulls are written down.
const PULLS_INTERVAL: Duration = Duration::from_secs(10);

/// Writes pulls down until the future is dropped. From the first time on it is known what was not pulled.
pub(crate) async fn record_pulls(app: Arc<App>) {
    if let Err(error) = app.metadata.record_pulls(&[]).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "could not begin to record pulls");
    }
    loop {
        sleep(PULLS_INTERVAL).await;
        flush_pulls(&app).await;
    }
}

/// Writes down the pulls that wait.
pub(crate) async fn flush_pulls(app: &App) {
    if let Err(error) = app.pulls.flush(&*app.metadata).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "could not record pulls");
    }
}

/// How often a node asks whether it is time, in the time between two sweeps.
const LOOKS: u32 = 24;

/// Nobody sweeps while the database is away.
async fn claim_sweep(metadata: &dyn MetadataStore, interval: Duration) -> bool {
    let claimed = metadata.claim_sweep(interval).await;
    claimed.unwrap_or_else(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "could not ask whether to look through the store"
        );
        false
    })
}

/// What a collection does, as counters.
struct Counted<'a>(&'a Metrics);

impl Watch for Counted<'_> {
    fn collected(&self, collected: &Collected) {
        let (outcome, bytes) = match &collected.verdict {
            Verdict::Removed { bytes } => ("removed", *bytes),
            Verdict::Kept(kept) => (kept.as_str(), 0),
        };
        self.0.candidate(collected.candidate.kind.as_str(), outcome, bytes);
    }

    fn reclaimed(&self, _: &Location) {
        self.0.object_deleted();
    }

    fn failed(&self) {
        self.0.collecting_failed();
    }
}
