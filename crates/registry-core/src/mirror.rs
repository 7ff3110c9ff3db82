//! Other registries, of which content is fetched when it is asked for.

use std::sync::Arc;

use registry_api::Origin;
use registry_metadata::MetadataStore;
use registry_proxy::{Proxy, ProxyOptions};
use registry_server::Metrics;
use registry_storage::BlobStore;

use crate::{OpenError, registry::Task};

/// The port behind which content is fetched, and what lets images go that nothing pulls.
pub(crate) fn start(
    options: ProxyOptions,
    store: &Arc<dyn BlobStore>,
    metadata: &Arc<dyn MetadataStore>,
    metrics: &Metrics,
) -> Result<(Arc<dyn Origin>, Option<Task>), OpenError> {
    let proxy = Proxy::new(options, store.clone(), metadata.clone())?;
    metrics.add(|registry| proxy.register(registry));
    let eviction = proxy.eviction();
    let task = eviction.map(|work| Task { name: "eviction of mirrored images", work: Box::pin(work) });
    Ok((Arc::new(proxy), task))
}
