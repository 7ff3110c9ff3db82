//! A registry that is open, and serving it.

use std::sync::Arc;

use registry_api::{App, Check, Listener, ServeOptions};
use tokio::task::JoinSet;

use crate::{Builder, Collecting, Journal, Purge, maintenance};

/// A registry that is open: its store and its database are there and belong together.
#[derive(Debug)]
pub struct Registry {
    app: Arc<App>,
    options: ServeOptions,
    checks: Vec<Check>,
    purge: Option<Purge>,
    journal: Option<Journal>,
    collecting: Option<Collecting>,
}

impl Registry {
    /// What may be chosen.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        app: Arc<App>,
        options: ServeOptions,
        checks: Vec<Check>,
        purge: Option<Purge>,
        collecting: Option<Collecting>,
        journal: Option<Journal>,
    ) -> Registry {
        Registry { app, options, checks, purge, collecting, journal }
    }

    /// The parts, for those who serve them in a way of their own.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The database's journal, if there is one.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Serves until `shutdown` completes or the [`journal`](Self::journal) is lost, then lets running requests finish for as long as
    /// [`ServeOptions::drain`] says. Background work runs meanwhile.
    ///
    /// Dropping the future stops listening and the background work at once; what was acknowledged is kept.
    pub async fn serve(self, listener: Listener, shutdown: impl Future<Output = ()>) {
        let mut background = JoinSet::new();
        let app = self.app;
        if let Some(purge) = self.purge {
            background.spawn(maintenance::purge_uploads(app.metadata.clone(), purge));
        }
        if let Some(collecting) = self.collecting {
            if let Some(interval) = collecting.sweep_interval {
                background.spawn(maintenance::sweep_store(app.clone(), interval, collecting.sweep));
            }
            background.spawn(maintenance::collect_garbage(app.clone(), collecting));
        }
        for check in self.checks {
            let app = app.clone();
            background.spawn(async move { app.health.clone().run(check, app).await });
        }
        let Some(journal) = self.journal else {
            registry_api::serve(listener, app, self.options, shutdown).await;
            return background.shutdown().await;
        };
        background.spawn(journal.clone().show(app.clone()));
        let over = async {
            tokio::select! { () = shutdown => {}, _ = journal.lost() => {} }
        };
        registry_api::serve(listener, app, self.options, over).await;
        background.shutdown().await;
        journal.settle().await;
    }
}
