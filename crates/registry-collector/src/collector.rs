use std::{
    error::Error,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use registry_metadata::{CollectRules, MetadataError, MetadataStore, QueuePosition};
use registry_storage::BlobStore;

use crate::{MarkError, Pace, Report, Watch, labels, mark, reclaim};

/// How a collector works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorOptions {
    /// What it may take.
    pub rules: CollectRules,
    /// How many candidates one transaction deals with: pushes wait for it. 16.
    pub batch: usize,
    /// How many candidates a second it looks at; zero is as many as it can. 1000.
    pub candidates_per_second: u32,
    /// How many objects a second it deletes; zero is as many as it can. 200.
    pub deletes_per_second: u32,
    /// How many objects it deletes at once: so many rows go with one commit. 32.
    pub deletes_at_once: usize,
}

impl Default for CollectorOptions {
    fn default() -> Self {
        CollectorOptions {
            rules: CollectRules::default(),
            batch: 16,
            candidates_per_second: 1000,
            deletes_per_second: 200,
            deletes_at_once: 32,
        }
    }
}

impl CollectorOptions {
    /// These options, as fast as it goes.
    pub fn unlimited(self) -> CollectorOptions {
        CollectorOptions { candidates_per_second: 0, deletes_per_second: 0, ..self }
    }
}

/// Gives back what nobody needs any more. Any number of them may work on one registry at once.
#[derive(Debug)]
pub struct Collector {
    pub(crate) metadata: Arc<dyn MetadataStore>,
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) options: CollectorOptions,
    candidates: Pace,
    pub(crate) deletes: Pace,
    /// When the mark was set last.
    marked: Mutex<Option<Instant>>,
}

/// How often the mark is set.
const MARK_EVERY: Duration = Duration::from_secs(60);

impl Collector {
    /// A collector for a registry whose metadata and bytes these are.
    pub fn new(
        metadata: Arc<dyn MetadataStore>,
        store: Arc<dyn BlobStore>,
        options: CollectorOptions,
    ) -> Collector {
        let candidates = Pace::per_second(options.candidates_per_second);
        let deletes = Pace::per_second(options.deletes_per_second);
        Collector { metadata, store, options, candidates, deletes, marked: Mutex::default() }
    }

    /// Works off everything that is due: rows first, then bytes. What fails is in the report, and is left to the next
    /// collection.
    ///
    /// Dropping the future stops between two steps, or lets the one that runs be finished; nothing is half done.
    pub async fn collect(&self, watch: &dyn Watch) -> Report {
        let (mut report, begun) = (Report::default(), Instant::now());
        self.set_mark().await;
        while self.turn(&mut report, watch).await {}
        report.finish(begun.elapsed())
    }

    /// Some labels, then all rows, then all bytes: so many images may be pushed that labels alone would never end. Whether
    /// there are more labels.
    async fn turn(&self, report: &mut Report, watch: &dyn Watch) -> bool {
        let read = labels::run(self, report, watch).await.inspect_err(|error| {
            self.note(report, watch, "could not list images with unread labels", error);
        });
        let has_more = read.unwrap_or(false);
        let processed = self.process_due(report, watch).await.inspect_err(|error| {
            self.note(report, watch, "could not work off what may be garbage", error);
        });
        let reclaimed = reclaim::run(self, report, watch).await.inspect_err(|error| {
            self.note(report, watch, "could not list bytes to delete", error);
        });
        has_more && processed.is_ok() && reclaimed.is_ok()
    }

    /// Collecting goes by the database alone, and needs no mark; but it is done all the time, so the mark is set here.
    async fn set_mark(&self) {
        let is_fresh = |marked: &Instant| marked.elapsed() < MARK_EVERY;
        if self.marked.lock().is_ok_and(|mut marked| {
            let was_fresh = marked.as_ref().is_some_and(is_fresh);
            if !was_fresh {
                *marked = Some(Instant::now());
            }
            was_fresh
        }) {
            return;
        }
        match mark::advance(&*self.metadata, &*self.store).await {
            Ok(()) | Err(MarkError::NotKept) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "could not note in the store how far the database is");
            }
        }
    }

    async fn process_due(&self, report: &mut Report, watch: &dyn Watch) -> Result<(), MetadataError> {
        loop {
            self.candidates.wait(self.options.batch).await;
            let batch = self.metadata.collect(&self.options.rules, self.options.batch).await?;
            if batch.is_empty() {
                return Ok(());
            }
            for collected in &batch {
                report.note(collected);
                watch.collected(collected);
            }
        }
    }

    /// What a collection would do with all that is on the queue, due or not, and how many objects it would delete; and what
    /// would become of the untagged manifests that [`condemn_untagged`](Self::condemn_untagged) would find, if
    /// `with_untagged`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn preview(&self, watch: &dyn Watch, with_untagged: bool) -> Result<Report, MetadataError> {
        let (mut report, begun) = (Report { dry_run: true, ..Report::default() }, Instant::now());
        self.preview_from(None, &mut report, watch).await?;
        if with_untagged {
            self.preview_from(Some(QueuePosition::before_untagged()), &mut report, watch).await?;
        }
        report.objects_deleted = self.metadata.reclaimable_count(DUE_MAX).await?;
        Ok(report.finish(begun.elapsed()))
    }

    async fn preview_from(
        &self,
        mut after: Option<QueuePosition>,
        report: &mut Report,
        watch: &dyn Watch,
    ) -> Result<(), MetadataError> {
        const PAGE: usize = 100;
        loop {
            self.candidates.wait(PAGE).await;
            let page = self.metadata.preview_collect(&self.options.rules, after.as_ref(), PAGE).await?;
            for collected in &page.collected {
                report.note(collected);
                watch.collected(collected);
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Has every untagged manifest go that nothing refers to, once its lease is over. Reads all manifests.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn condemn_untagged(&self) -> Result<(), MetadataError> {
        const PAGE: usize = 200;
        let mut after = None;
        loop {
            self.candidates.wait(PAGE).await;
            after = self.metadata.enqueue_untagged(after.as_ref(), PAGE).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    pub(crate) fn note(
        &self,
        report: &mut Report,
        watch: &dyn Watch,
        what: &str,
        error: &(dyn Error + 'static),
    ) {
        tracing::error!(error, "{what}");
        report.note_failure(format!("{what}: {}", chain(error)));
        watch.failed();
    }
}

/// How many objects a preview counts at most.
const DUE_MAX: usize = 100_000;

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
