//! A registry that is open, and serving it.

use std::{fmt, net::SocketAddr, pin::Pin, sync::Arc};

use registry_api::{App, Vitals};
use registry_database::Database;
use registry_server::{Check, Listener, Mounted, ServeOptions, Server};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{Builder, Collecting, Purge, Retaining, journalled::Journal, maintenance};

/// A registry that is open: its store and its database are there and belong together.
#[derive(Debug)]
pub struct Registry {
    served: Served,
    options: ServeOptions,
    checks: Vec<Check>,
    background: Background,
    journal: Option<Journal>,
    database: Option<Database>,
    #[cfg(feature = "webhooks")]
    webhooks: Option<registry_webhooks::Webhooks>,
    /// Whether anybody may do anything, and nothing says that this is meant.
    is_open: bool,
}

/// The registry, and the server that answers from it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) app: Arc<App>,
    pub(crate) server: Arc<Server>,
}

/// Work of an embedder's, which runs while the registry is served.
pub(crate) struct Task {
    pub(crate) name: &'static str,
    pub(crate) work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is done now and then while it is served.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) tasks: Vec<Task>,
    pub(crate) purge: Option<Purge>,
    pub(crate) collecting: Option<Collecting>,
    pub(crate) retaining: Option<Retaining>,
}

/// Why a registry is no longer served, although nothing told it to stop.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another process writes to the journal of the database, or it can not be written for good. What was acknowledged is in the store;
    /// the next start adds what others have done, or refuses.
    #[cfg(feature = "sqlite")]
    #[error("stopped, because the journal of the database is lost")]
    JournalLost(#[source] Arc<registry_journal::JournalError>),
}

impl Registry {
    /// What may be chosen.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        served: Served,
        options: ServeOptions,
        checks: Vec<Check>,
        background: Background,
        journal: Option<Journal>,
        database: Option<Database>,
        is_open: bool,
    ) -> Registry {
        Registry {
            served,
            options,
            checks,
            background,
            journal,
            database,
            #[cfg(feature = "webhooks")]
            webhooks: None,
            is_open,
        }
    }

    #[cfg(feature = "webhooks")]
    pub(crate) fn with_webhooks(self, webhooks: Option<registry_webhooks::Webhooks>) -> Registry {
        Registry { webhooks, ..self }
    }

    /// Its webhooks, if the builder was given [settings](Builder::webhooks) for them.
    #[cfg(feature = "webhooks")]
    pub fn webhooks(&self) -> Option<&registry_webhooks::Webhooks> {
        self.webhooks.as_ref()
    }

    /// The parts, for those who serve them in a way of their own.
    pub fn app(&self) -> &Arc<App> {
        &self.served.app
    }

    /// What serves them, and what is counted and limited there.
    pub fn server(&self) -> &Arc<Server> {
        &self.served.server
    }

    /// The registry as a [`tower::Service`](registry_server::Mounted), for an application that has a server of its own; its background
    /// work is done by [`background`](Self::background). Where others reach the application's address, they can read and change
    /// everything, unless there is an authenticator or authoriser. Once the journal is lost, every request is
    /// answered with 503.
    pub fn service(&self) -> Mounted {
        Mounted::new(self.served.server.clone()).limits(&self.options.limits)
    }

    /// Does what is to be done beside serving, without serving: gives up uploads, collects garbage, applies policies, records pulls,
    /// tells sinks, checks health, runs the builder's tasks; until `shutdown` completes or the database's journal is lost. To
    /// be ended after the application that serves the [`service`](Self::service), so that what its last requests left is done.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub async fn background(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        self.serve_all([], shutdown).await
    }

    /// The database's journal, if there is one.
    #[cfg(feature = "sqlite")]
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// The database of the metadata, for the tables of an embedder's owners; none where the embedder gave a store of metadata.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// Serves until `shutdown` completes or the database's journal is lost, then lets running requests finish for as long as
    /// [`ServeOptions::drain`] says. Background work runs meanwhile.
    ///
    /// Dropping the future stops listening and the background work at once; what was acknowledged is kept.
    ///
    /// # Errors
    /// [`ServeError`], if the journal is lost: the program should say why, and end.
    pub async fn serve(
        self,
        listener: Listener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        self.serve_all([listener], shutdown).await
    }

    /// As [`serve`](Self::serve), on several listeners, whose connections share the limits.
    ///
    /// # Errors
    /// As there.
    pub async fn serve_all(
        self,
        listeners: impl IntoIterator<Item = Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let listeners: Vec<Listener> = listeners.into_iter().collect();
        listeners.iter().for_each(|listener| self.warn_if_open(listener));
        let Served { app, server } = self.served;
        let mut background = self.background.start(&app);
        #[cfg(feature = "webhooks")]
        let sending = self.webhooks.map(crate::webhooks::Sending::start);
        let vitals = Arc::new(Vitals::new(app.clone()));
        for check in self.checks {
            let (health, vitals) = (server.health.clone(), vitals.clone());
            background.spawn(async move { health.run(check, vitals).await });
        }
        let (lost, health) = (self.journal.clone(), server.health.clone());
        if let Some(journal) = self.journal.clone() {
            background.spawn(journal.show(app.clone()));
        }
        let over = async {
            match lost {
                Some(journal) => tokio::select! {
                    () = shutdown => {}
                    _ = journal.lost() => health.fail("journal", "the journal is lost; the log says why"),
                },
                None => shutdown.await,
            }
        };
        registry_server::serve_all(listeners, server, self.options, over).await;
        app.uploads.settle().await;
        app.events.settle().await;
        #[cfg(feature = "webhooks")]
        if let Some(sending) = sending {
            sending.settle().await;
        }
        background.shutdown().await;
        maintenance::flush_pulls(&app).await;
        let Some(journal) = self.journal else { return Ok(()) };
        journal.settle().await;
        journal.outcome()
    }
}

impl Registry {
    fn warn_if_open(&self, listener: &Listener) {
        if let Some(address) = self.open_address(listener) {
            tracing::warn!(
                "everybody who reaches {address} can read and change everything: there is neither an authenticator nor an \
                 authoriser; `Builder::open_to_everybody` says that this is meant"
            );
        }
    }

    /// The address at which others can do anything, although nothing says that this is meant.
    fn open_address(&self, listener: &Listener) -> Option<SocketAddr> {
        let address = listener.tcp_address().filter(|address| !address.ip().to_canonical().is_loopback())?;
        (self.is_open && !self.options.knows_clients()).then_some(address)
    }
}

impl Background {
    fn start(self, app: &Arc<App>) -> JoinSet<()> {
        let mut background = JoinSet::new();
        if let Some(purge) = self.purge {
            background.spawn(maintenance::purge_uploads(app.metadata.clone(), purge));
        }
        if let Some(collecting) = self.collecting {
            if let Some(interval) = collecting.sweep_interval {
                background.spawn(maintenance::sweep_store(app.clone(), interval, collecting.sweep));
            }
            background.spawn(maintenance::collect_garbage(app.clone(), collecting));
        }
        if let Some(retaining) = self.retaining {
            background.spawn(maintenance::retain(app.clone(), retaining));
        }
        background.spawn(maintenance::record_pulls(app.clone()));
        background.spawn({
            let app = app.clone();
            async move { app.events.tell().await }
        });
        for Task { name, work } in self.tasks {
            background.spawn(work.instrument(tracing::info_span!("background", task = name)));
        }
        background
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry_auth::{AllowAll, NoAuthentication};

    #[tokio::test]
    async fn what_is_open_to_others_by_mistake_is_found() {
        let (everywhere, here) = ("0.0.0.0:0", "127.0.0.1:0");
        let cases: [(Builder, &str, bool); 5] = [
            (Registry::builder(), everywhere, true),
            (Registry::builder(), here, false),
            (Registry::builder().open_to_everybody(), everywhere, false),
            (Registry::builder().authenticator(Arc::new(NoAuthentication)), everywhere, false),
            (Registry::builder().authorizer(Arc::new(AllowAll)), everywhere, false),
        ];
        for (builder, address, is_open) in cases {
            let registry = builder.memory().open().await.unwrap();
            let listener = Listener::tcp(address).await.unwrap();
            assert_eq!(registry.open_address(&listener).is_some(), is_open, "{address}");
        }
    }
}
