//! What is counted of requests and connections, and the registry of metrics to which other crates add theirs.

use std::{fmt, time::Duration};

use parking_lot::RwLock;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{Budget, holdings::Holdings, process::Process};

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

/// The metrics of a process. Those of requests stand under the Go registry's names; other crates [`add`](Self::add) theirs.
/// Labels are routes and operations, never what clients choose, so their number is bounded.
pub struct Metrics {
    registry: RwLock<Registry>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram>,
    request_bytes: Family<HandlerLabel, Histogram>,
    response_bytes: Family<HandlerLabel, Histogram>,
    in_flight: Family<HandlerLabel, Gauge>,
    connections: Gauge,
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
        let metrics = Metrics {
            registry: RwLock::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS_SECS)),
            request_bytes: Family::new_with_constructor(size_histogram),
            response_bytes: Family::new_with_constructor(size_histogram),
            in_flight: Family::default(),
            connections: Gauge::default(),
        };
        metrics.add(|registry| metrics.register(registry));
        metrics
    }

    fn register(&self, registry: &mut Registry) {
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
        registry.register_collector(Box::new(Process));
    }

    /// Adds what others count. Names must not be taken yet.
    pub fn add(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.write());
    }

    /// Shows what a budget holds as well, and what was refused for it.
    pub fn with_budget(self, budget: &Budget) -> Metrics {
        self.add(|registry| registry.register_collector(Box::new(Holdings(budget.clone()))));
        self
    }

    /// Everything in the text format that Prometheus reads.
    pub fn render(&self) -> String {
        let mut rendered = String::new();
        text::encode(&mut rendered, &self.registry.read()).expect("writing to a string does not fail");
        rendered
    }

    pub(crate) fn begin(&self, route: &'static str) -> InFlight {
        let gauge = self.in_flight.get_or_create(&HandlerLabel { handler: route }).clone();
        gauge.inc();
        InFlight { gauge, route }
    }

    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    pub(crate) fn end(&self, request: &Finished) {
        let Finished { route: handler, method, code, .. } = *request;
        self.requests.get_or_create(&RequestLabels { handler, code, method }).inc();
        self.durations.get_or_create(&DurationLabels { handler, method }).observe(request.took.as_secs_f64());
        self.request_bytes.get_or_create(&HandlerLabel { handler }).observe(request.request_bytes as f64);
        self.response_bytes.get_or_create(&HandlerLabel { handler }).observe(request.response_bytes as f64);
    }
}

/// A request that was answered to the end.
pub(crate) struct Finished {
    pub(crate) route: &'static str,
    pub(crate) method: &'static str,
    pub(crate) code: u16,
    pub(crate) took: Duration,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

/// Counts a request as in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    gauge: Gauge,
    pub(crate) route: &'static str,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_under_the_names_that_dashboards_know() {
        let metrics = Metrics::new();
        drop(metrics.begin("blob"));
        metrics.end(&Finished {
            route: "blob",
            method: "get",
            code: 200,
            took: Duration::from_millis(3),
            request_bytes: 0,
            response_bytes: 2048,
        });
        let text = metrics.render();
        for line in [
            r#"registry_http_requests_total{handler="blob",code="200",method="get"} 1"#,
            r#"registry_http_in_flight_requests{handler="blob"} 0"#,
            r#"registry_http_request_duration_seconds_bucket{le="0.005",handler="blob",method="get"} 1"#,
            r#"registry_http_response_size_bytes_count{handler="blob"} 1"#,
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
