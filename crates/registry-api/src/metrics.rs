//! What is counted, under the Go registry's names where it has them.

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
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

use crate::{Budget, COMMIT, VERSION, holdings::Holdings, process::Process, route::Route};

/// The kinds of endpoints that are counted apart: the Go registry's, and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Handler {
    Base,
    Blob,
    BlobUpload,
    BlobUploadChunk,
    Catalog,
    Manifest,
    Referrers,
    Tags,
    /// No endpoint.
    None,
}

impl Handler {
    pub(crate) fn of(route: &Route) -> Handler {
        use Route::*;
        match route {
            Alive | Version => Handler::Base,
            Catalog { .. } => Handler::Catalog,
            Tags { .. } => Handler::Tags,
            GetManifest { .. } | PutManifest { .. } | DeleteManifest { .. } => Handler::Manifest,
            GetBlob { .. } | DeleteBlob { .. } => Handler::Blob,
            StartUpload { .. } => Handler::BlobUpload,
            UploadStatus { .. } | AppendUpload { .. } | FinishUpload { .. } | CancelUpload { .. } => {
                Handler::BlobUploadChunk
            }
            Referrers { .. } => Handler::Referrers,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Handler::Base => "base",
            Handler::Blob => "blob",
            Handler::BlobUpload => "blob_upload",
            Handler::BlobUploadChunk => "blob_upload_chunk",
            Handler::Catalog => "catalog",
            Handler::Manifest => "manifest",
            Handler::Referrers => "referrers",
            Handler::Tags => "tags",
            Handler::None => "none",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    handler: &'static str,
    code: u16,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    handler: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandlerLabel {
    handler: &'static str,
}

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

/// All counters of a process. Labels are routes and operations, never repositories, so their number is bounded.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram>,
    request_bytes: Family<HandlerLabel, Histogram>,
    response_bytes: Family<HandlerLabel, Histogram>,
    in_flight: Family<HandlerLabel, Gauge>,
    storage: Family<ActionLabels, Histogram>,
    database: Family<ActionLabels, Histogram>,
    connections: Gauge,
    logins: Family<LoginLabel, Counter>,
    users_stale_secs: Gauge<f64, AtomicU64>,
    free_bytes: Gauge,
    reserve_bytes: Gauge,
    journal: JournalGauges,
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

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS_SECS)),
            request_bytes: Family::new_with_constructor(size_histogram),
            response_bytes: Family::new_with_constructor(size_histogram),
            in_flight: Family::default(),
            storage: Family::new_with_constructor(action_histogram),
            database: Family::new_with_constructor(action_histogram),
            connections: Gauge::default(),
            logins: Family::default(),
            users_stale_secs: Gauge::default(),
            free_bytes: Gauge::default(),
            reserve_bytes: Gauge::default(),
            journal: JournalGauges::default(),
            candidates: Family::default(),
            bytes_given_up: Counter::default(),
            objects_deleted: Counter::default(),
            collecting_failed: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("registry_http_requests", "Requests answered", self.requests.clone());
        registry.register(
            "registry_http_request_duration_seconds",
            "From a request's head to the last byte of its answer",
            self.durations.clone(),
        );
        registry.register(
            "registry_http_request_size_bytes",
            "Declared sizes of requests' bodies",
            self.request_bytes.clone(),
        );
        registry.register(
            "registry_http_response_size_bytes",
            "Sizes of answers' bodies as sent",
            self.response_bytes.clone(),
        );
        registry.register(
            "registry_http_in_flight_requests",
            "Requests being answered",
            self.in_flight.clone(),
        );
        registry.register("registry_http_connections", "Open connections", self.connections.clone());
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
        registry.register_collector(Box::new(Process));
        self.register_collecting();
    }

    /// Shows how much space is left.
    pub(crate) fn free_space(&self, space: FreeSpace) {
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.free_bytes.set(gauge(space.free_bytes));
        self.reserve_bytes.set(gauge(space.reserve_bytes));
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

    fn register_collecting(&mut self) {
        let registry = &mut self.registry;
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
            // An empty name with an empty password.
            Ok(Caller::Anonymous) => return,
            Ok(Caller::User(_)) => "accepted",
            Err(AuthenticationError::Invalid) => "wrong",
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

    /// Shows what a budget holds as well, and what was refused for it.
    pub fn with_budget(mut self, budget: &Budget) -> Metrics {
        self.registry.register_collector(Box::new(Holdings(budget.clone())));
        self
    }

    /// Everything in the text format that Prometheus reads.
    pub fn render(&self) -> String {
        let mut rendered = String::new();
        text::encode(&mut rendered, &self.registry).expect("writing to a string does not fail");
        rendered
    }

    /// Notes how long a call of the blob store took.
    pub fn storage_call(&self, driver: &'static str, action: &'static str, took: Duration) {
        self.storage.get_or_create(&ActionLabels { driver, action }).observe(took.as_secs_f64());
    }

    /// Notes how long a call of the database took.
    pub fn database_call(&self, driver: &'static str, action: &'static str, took: Duration) {
        self.database.get_or_create(&ActionLabels { driver, action }).observe(took.as_secs_f64());
    }

    pub(crate) fn begin(&self, handler: Handler) -> InFlight {
        let gauge = self.in_flight.get_or_create(&HandlerLabel { handler: handler.name() }).clone();
        gauge.inc();
        InFlight { gauge, handler }
    }

    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    pub(crate) fn end(&self, request: &Finished) {
        let handler = request.handler.name();
        let Finished { method, code, .. } = *request;
        self.requests.get_or_create(&RequestLabels { handler, code, method }).inc();
        self.durations.get_or_create(&DurationLabels { handler, method }).observe(request.took.as_secs_f64());
        self.request_bytes.get_or_create(&HandlerLabel { handler }).observe(request.request_bytes as f64);
        self.response_bytes.get_or_create(&HandlerLabel { handler }).observe(request.response_bytes as f64);
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

/// A request that was answered to the end.
pub(crate) struct Finished {
    pub(crate) handler: Handler,
    pub(crate) method: &'static str,
    pub(crate) code: u16,
    pub(crate) took: Duration,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

/// Counts a request as in flight until it is dropped.
pub(crate) struct InFlight {
    gauge: Gauge,
    pub(crate) handler: Handler,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// Counts a connection as open until it is dropped.
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A method as a label; whatever clients invent is one.
pub(crate) fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "PUT" => "put",
        "POST" => "post",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "other",
    }
}

const LATENCY_BUCKETS_SECS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];

/// 1 KiB, doubled 21 times.
fn size_histogram() -> Histogram {
    Histogram::new(exponential_buckets(1024.0, 2.0, 22))
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
        let metrics = Metrics::new();
        drop(metrics.begin(Handler::Blob));
        metrics.end(&Finished {
            handler: Handler::Blob,
            method: "get",
            code: 200,
            took: Duration::from_millis(3),
            request_bytes: 0,
            response_bytes: 2048,
        });
        metrics.storage_call("filesystem", "open", Duration::from_micros(12));
        let text = metrics.render();
        for line in [
            r#"registry_http_requests_total{handler="blob",code="200",method="get"} 1"#,
            r#"registry_http_in_flight_requests{handler="blob"} 0"#,
            r#"registry_http_request_duration_seconds_bucket{le="0.005",handler="blob",method="get"} 1"#,
            r#"registry_http_response_size_bytes_count{handler="blob"} 1"#,
            r#"registry_storage_action_seconds_count{driver="filesystem",action="open"} 1"#,
            concat!("registry_build_info{version=\"", env!("CARGO_PKG_VERSION"), '"'),
            "process_cpu_seconds_total ",
            "process_start_time_seconds ",
            "process_virtual_memory_bytes ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_max_fds ",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
