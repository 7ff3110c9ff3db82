use super::backend::OnServer;
use crate::contract;

macro_rules! contract {
    ($($part:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $part() {
                contract::$part(&OnServer).await;
            }
        )*
    };
}

contract!(
    store, uploads, blobs, manifests, tags, catalog, referrers, deletes, leases, races, collecting, audit,
    restoring, quotas, held, retention, immutable, poison
);
