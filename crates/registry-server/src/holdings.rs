//! What peers make a node hold, as metrics.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::Budget;

/// Reads the figures of a budget when the metrics are asked for.
#[derive(Debug)]
pub(crate) struct Holdings(pub(crate) Budget);

impl Collector for Holdings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Holdings(budget) = self;
        for (name, help, value) in [
            ("memory_bytes", "Memory that answers and arriving manifests hold", budget.memory_bytes()),
            (
                "memory_max_bytes",
                "Memory that answers and arriving manifests share",
                budget.memory_bytes_max(),
            ),
            ("window_bytes", "What peers may send on HTTP/2 before it is read", budget.window_bytes()),
            ("files", "Files that are open for answers and uploads", budget.files()),
            ("files_max", "Files that may be open for answers and uploads", budget.files_max()),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let name = format!("registry_http_{name}");
            gauge.encode(encoder.encode_descriptor(&name, help, None, gauge.metric_type())?)?;
        }
        let help = "Requests and connections that were refused since a limit was reached";
        let mut refusals =
            encoder.encode_descriptor("registry_http_refusals", help, None, MetricType::Counter)?;
        budget.refused().try_for_each(|(reason, total)| {
            ConstCounter::new(total).encode(refusals.encode_family(&[("reason", reason)])?)
        })
    }
}
