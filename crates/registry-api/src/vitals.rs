//! How store, database and users are, for the server's health checks and metrics.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use registry_auth::Stale;
use registry_server::chain;
use tokio::time::timeout;

use crate::App;

/// How long a look at store and database may take before it counts as failed.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at what a registry needs to answer.
#[derive(Debug)]
pub struct Vitals {
    app: Arc<App>,
    /// Whether the last look at store and database failed.
    is_storage_lost: AtomicBool,
}

impl Vitals {
    /// Of a registry.
    pub fn new(app: Arc<App>) -> Vitals {
        Vitals { app, is_storage_lost: AtomicBool::new(false) }
    }
}

#[async_trait]
impl registry_server::Vitals for Vitals {
    async fn check(&self) -> Result<(), String> {
        let look = async {
            self.app.store.check().await.map_err(|error| chain(&error))?;
            self.app.metadata.check().await.map_err(|error| chain(&error))
        };
        timeout(LOOK_TIMEOUT, look).await.map_err(|_| format!("no answer within {LOOK_TIMEOUT:?}"))?
    }

    async fn failures(&self) -> BTreeMap<String, String> {
        let mut failures = BTreeMap::new();
        let looked = self.check().await;
        let was_lost = self.is_storage_lost.swap(looked.is_err(), Ordering::Relaxed);
        if let Err(reason) = looked {
            if !was_lost {
                tracing::error!("a look at store and database failed: {reason}");
            }
            failures.insert("storage".to_owned(), reason);
        }
        failures
    }

    /// A password file that can not be read is no failure: the users stay as they were, and an orchestrator that ended the
    /// process would end what still serves, since the next one could not start.
    async fn warnings(&self) -> BTreeMap<String, String> {
        let stale = self.app.authenticator.stale().await;
        let warning = |stale: Stale| {
            let in_force =
                if stale.is_partial { "the other lines count" } else { "the users stay as they were" };
            ("authentication".to_owned(), format!("warning: {in_force}: {}", stale.reason))
        };
        stale.map(warning).into_iter().collect()
    }

    async fn refresh(&self) {
        if let Some(space) = self.app.store.free_space().await {
            self.app.metrics.free_space(space);
        }
        let stale = self.app.authenticator.stale().await;
        self.app.metrics.users_stale(stale.map_or(Duration::ZERO, |stale| stale.age));
    }
}
