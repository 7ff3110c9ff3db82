use super::backend::{InFile, InMemory};
use crate::contract;

macro_rules! contract {
    ($($part:ident),*) => {
        mod in_file {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $part() {
                    contract::$part(&InFile).await;
                }
            )*
        }

        mod in_memory {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $part() {
                    contract::$part(&InMemory).await;
                }
            )*
        }
    };
}

contract!(
    store, uploads, blobs, manifests, tags, catalog, referrers, deletes, leases, races, collecting, audit,
    restoring, quotas, held, retention, immutable, poison
);
