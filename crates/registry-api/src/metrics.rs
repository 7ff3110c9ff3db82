//! What is counted of store, database, logins and background work, under the Go registry's names where it has them.

mod webhooks;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};
use registry_auth::{AuthenticationError, Caller};

use registry_storage::FreeSpace;

pub use self::webhooks::{WebhookFigure, WebhookFigures};
use crate::{COMMIT, VERSION};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    driver: &'static str,
    action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CandidateLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// What is counted of store, database, logins and background work, beside what the server counts of requests.
pub struct Metrics {
    server: Arc<registry_server::Metrics>,
    storage: Family<ActionLabels, Histogram>,
    database: Family<ActionLabels, Histogram>,
    logins: Family<LoginLabel, Counter>,
    users_stale_secs: Gauge<f64, AtomicU64>,
    free_bytes: Gauge,
    reserve_bytes: Gauge,
    journal: JournalGauges,
    webhooks: webhooks::Gauges,
    are_webhooks_shown: AtomicBool,
    candidates: Family<CandidateLabels, Counter>,
    bytes_given_up: Counter,
    objects_deleted: Counter,
    collecting_failed: Counter,
}

/// How a journal of the database is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JournalFigures {
    /// The last commit that is stored.
    pub stored: i64,
    /// How many commits are not stored yet.
    pub behind: i64,
    /// For how long the oldest of them has waited; zero if there is none.
    pub behind_secs: f64,
    /// How many entries were stored since the start, and their size.
    pub entries: i64,
    /// Their size in bytes.
    pub entries_bytes: i64,
    /// When the newest snapshot was made, in seconds since 1970 UTC; zero if that is not known.
    pub snapshot_at_secs: f64,
    /// Its size in bytes.
    pub snapshot_bytes: i64,
}

#[derive(Default)]
struct JournalGauges {
    stored: Gauge,
    behind: Gauge,
    behind_secs: Gauge<f64, AtomicU64>,
    entries: Gauge,
    entries_bytes: Gauge,
    snapshot_at_secs: Gauge<f64, AtomicU64>,
    snapshot_bytes: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Everything at zero, shown with what the server counts.
    pub fn new(server: Arc<registry_server::Metrics>) -> Metrics {
        let metrics = Metrics {
            server: server.clone(),
            storage: Family::new_with_constructor(action_histogram),
            database: Family::new_with_constructor(action_histogram),
            logins: Family::default(),
            users_stale_secs: Gauge::default(),
            free_bytes: Gauge::default(),
            reserve_bytes: Gauge::default(),
            journal: JournalGauges::default(),
            webhooks: webhooks::Gauges::default(),
            are_webhooks_shown: AtomicBool::new(false),
            candidates: Family::default(),
            bytes_given_up: Counter::default(),
            objects_deleted: Counter::default(),
            collecting_failed: Counter::default(),
        };
        server.add(|registry| metrics.register(registry));
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("registry_storage_action_seconds", "Calls of the blob store", self.storage.clone());
        let free = "Free space where the store's files are; zero if that is not known";
        registry.register("registry_storage_free_bytes", free, self.free_bytes.clone());
        let reserve = "Of the free space, what uploads leave: with less, they are refused";
        registry.register("registry_storage_reserve_bytes", reserve, self.reserve_bytes.clone());
        registry.register("registry_database_action_seconds", "Calls of the database", self.database.clone());
        registry.register(
            "registry_auth_logins",
            "Requests with credentials, by what became of those",
            self.logins.clone(),
        );
        registry.register(
            "registry_auth_file_stale_seconds",
            "For how long the password file could not be read, or not all of it",
            self.users_stale_secs.clone(),
        );
        self.journal.register(registry);
        let build = Info::new(vec![("version", VERSION), ("revision", COMMIT.unwrap_or(""))]);
        registry.register("registry_build", "Which version runs", build);
        self.register_collecting(registry);
    }

    /// Shows how much space is left.
    pub(crate) fn free_space(&self, space: FreeSpace) {
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.free_bytes.set(gauge(space.free_bytes));
        self.reserve_bytes.set(gauge(space.reserve_bytes));
    }

    /// Shows how events and webhooks are doing. Where there are none nothing is shown of them.
    pub fn webhooks(&self, figures: &WebhookFigures) {
        if !self.are_webhooks_shown.swap(true, Ordering::Relaxed) {
            self.server.add(|registry| self.webhooks.register(registry));
        }
        self.webhooks.show(figures);
    }

    /// Shows how the journal is doing. Without one all of it stays at zero.
    pub fn journal(&self, figures: &JournalFigures) {
        let gauges = &self.journal;
        gauges.stored.set(figures.stored);
        gauges.behind.set(figures.behind);
        gauges.behind_secs.set(figures.behind_secs);
        gauges.entries.set(figures.entries);
        gauges.entries_bytes.set(figures.entries_bytes);
        gauges.snapshot_at_secs.set(figures.snapshot_at_secs);
        gauges.snapshot_bytes.set(figures.snapshot_bytes);
    }

    fn register_collecting(&self, registry: &mut Registry) {
        registry.register(
            "registry_gc_candidates",
            "What may have become garbage, by what became of it",
            self.candidates.clone(),
        );
        registry.register(
            "registry_gc_given_up_bytes",
            "Sizes of objects that nothing leads to any more",
            self.bytes_given_up.clone(),
        );
        registry.register(
            "registry_gc_deleted_objects",
            "Objects deleted from the store",
            self.objects_deleted.clone(),
        );
        registry.register(
            "registry_gc_failures",
            "Steps of collections that failed and are tried again",
            self.collecting_failed.clone(),
        );
    }

    /// Notes what became of something that may have become garbage: `removed`, or why it stays.
    pub fn candidate(&self, kind: &'static str, outcome: &'static str, bytes_given_up: u64) {
        self.candidates.get_or_create(&CandidateLabels { kind, outcome }).inc();
        self.bytes_given_up.inc_by(bytes_given_up);
    }

    /// Notes that an object was deleted from the store.
    pub fn object_deleted(&self) {
        self.objects_deleted.inc();
    }

    /// Notes that a step of a collection failed.
    pub fn collecting_failed(&self) {
        self.collecting_failed.inc();
    }

    /// Counts a request that had credentials.
    pub(crate) fn login(&self, result: &Result<Caller, AuthenticationError>) {
        let outcome = match result {
            // An empty name with an empty password, or a password where tokens are taken.
            Ok(caller) if !caller.is_authenticated() => return,
            Ok(_) => "accepted",
            Err(AuthenticationError::Invalid | AuthenticationError::InvalidToken) => "wrong",
            Err(AuthenticationError::Malformed { .. }) => "malformed",
            Err(AuthenticationError::Slowed { .. }) => "slowed",
            Err(AuthenticationError::Unavailable { .. }) => "unavailable",
        };
        self.logins.get_or_create(&LoginLabel { outcome }).inc();
    }

    /// Shows for how long the users were not renewed; zero if they are.
    pub(crate) fn users_stale(&self, age: Duration) {
        self.users_stale_secs.set(age.as_secs_f64());
    }

    /// Everything, with what the server counts, in the text format that Prometheus reads.
    pub fn render(&self) -> String {
        self.server.render()
    }

    /// Notes how long a call of the blob store took.
    pub fn storage_call(&self, driver: &'static str, action: &'static str, took: Duration) {
        self.storage.get_or_create(&ActionLabels { driver, action }).observe(took.as_secs_f64());
    }

    /// Notes how long a call of the database took.
    pub fn database_call(&self, driver: &'static str, action: &'static str, took: Duration) {
        self.database.get_or_create(&ActionLabels { driver, action }).observe(took.as_secs_f64());
    }
}

impl JournalGauges {
    fn register(&self, registry: &mut Registry) {
        let stored = "The last commit of the database that its journal has";
        registry.register("registry_journal_stored_commit", stored, self.stored.clone());
        let behind = "Commits of the database that its journal does not have yet";
        registry.register("registry_journal_behind_commits", behind, self.behind.clone());
        let behind_secs = "How long the oldest commit that the journal does not have has waited";
        registry.register("registry_journal_behind_seconds", behind_secs, self.behind_secs.clone());
        let entries = "Entries that were stored in the journal since the start";
        registry.register("registry_journal_entries", entries, self.entries.clone());
        let entries_bytes = "Size of the entries that were stored in the journal since the start";
        registry.register("registry_journal_entries_bytes", entries_bytes, self.entries_bytes.clone());
        let snapshot_at = "When the newest snapshot of the database was made, since 1970";
        registry.register("registry_journal_snapshot_seconds", snapshot_at, self.snapshot_at_secs.clone());
        let snapshot_bytes = "Size of the newest snapshot of the database";
        registry.register("registry_journal_snapshot_bytes", snapshot_bytes, self.snapshot_bytes.clone());
    }
}

/// 10 µs, quadrupled to about 40 s.
fn action_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_01, 4.0, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_under_the_names_that_dashboards_know() {
        let metrics = Metrics::new(Arc::default());
        metrics.storage_call("filesystem", "open", Duration::from_micros(12));
        let text = metrics.render();
        for line in [
            r#"registry_storage_action_seconds_count{driver="filesystem",action="open"} 1"#,
            concat!("registry_build_info{version=\"", env!("CARGO_PKG_VERSION"), '"'),
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
