//! What every request is answered from.

use std::{sync::Arc, time::Duration};

use http::header;
use registry_auth::{Action, ActionSet, Authenticator, Authorizer, Caller};
use registry_metadata::MetadataStore;
use registry_server::Share;
use registry_storage::{BlobStore, StorageError};
use registry_types::{Cause, Location, RepositoryName, RequestSource};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    error::ApiError,
    events::{Change, Events},
    links::{Links, Target},
    metrics::Metrics,
    observer::{Observer, Seen},
    origin::Origin,
    pulls::Pulls,
    settings::Settings,
    shared::Manifests,
};

/// The parts of a registry, wired together. Everything that a node remembers for longer than a request is behind
/// `store` and `metadata`, so that any other node could answer instead.
#[derive(Debug)]
pub struct App {
    /// The bytes.
    pub store: Arc<dyn BlobStore>,
    /// Everything else.
    pub metadata: Arc<dyn MetadataStore>,
    /// Who is asking.
    pub authenticator: Arc<dyn Authenticator>,
    /// What they may do.
    pub authorizer: Arc<dyn Authorizer>,
    /// What the operator chose.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Uploads whose requests may be gone while they still save what arrived.
    pub uploads: RunningUploads,
    /// Which manifests were pulled lately.
    pub pulls: Pulls,
    /// Large manifests that are being sent.
    pub manifests: Manifests,
    /// The sinks that are told of what clients change.
    pub events: Events,
    /// Hears of what clients pull, mount and push as blobs.
    pub observer: Option<Arc<dyn Observer>>,
    /// Fetches what is not here, if this registry mirrors others.
    pub origin: Option<Arc<dyn Origin>>,
}

/// The uploads that are being written to, so that a stop can wait until each has saved what arrived.
#[derive(Clone, Debug)]
pub struct RunningUploads(Arc<Semaphore>);

impl Default for RunningUploads {
    fn default() -> Self {
        RunningUploads(Arc::new(Semaphore::new(RunningUploads::AT_ONCE_MAX as usize)))
    }
}

impl RunningUploads {
    /// More than there can be connections: nobody ever waits to begin.
    const AT_ONCE_MAX: u32 = 1 << 24;

    /// Counts as an upload until it is dropped.
    pub(crate) async fn begin(&self) -> OwnedSemaphorePermit {
        self.0.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Waits until no upload is being written to, for at most ten seconds: what arrived of one that was cut is made durable and
    /// saved, which takes a moment.
    pub async fn settle(&self) {
        const LIMIT: Duration = Duration::from_secs(10);
        if timeout(LIMIT, self.0.acquire_many(RunningUploads::AT_ONCE_MAX)).await.is_err() {
            tracing::warn!("some uploads could not save what had arrived within {LIMIT:?}");
        }
    }
}

impl App {
    /// Lets the observer hear of something, if there is one that wants to.
    pub(crate) fn seen(&self, make: impl FnOnce() -> Seen) {
        if let Some(observer) = self.observer.as_ref().filter(|observer| observer.wants()) {
            observer.seen(make());
        }
    }

    /// Whether there is an observer that wants to hear of something.
    pub(crate) fn is_observed(&self) -> bool {
        self.observer.as_ref().is_some_and(|observer| observer.wants())
    }

    /// Hides an object whose bytes turned out to be missing or cut short, so that `HEAD` stops claiming that it is here
    /// and clients push it again.
    pub(crate) async fn hide(&self, location: &Location, reason: &StorageError) -> Result<(), ApiError> {
        tracing::error!(%location, "hid an object whose bytes are not there: {reason}");
        Ok(self.metadata.mark_bad(location).await?)
    }
}

/// A change as sinks are told of it; it outlives the request.
pub(crate) struct Teller {
    pub(crate) app: Arc<App>,
    pub(crate) repository: RepositoryName,
    actor: Option<String>,
}

impl Teller {
    /// Tells the sinks.
    pub(crate) fn tell(&self, change: impl FnOnce() -> Change) {
        self.app.events.note(&self.repository, self.actor.as_deref(), change);
    }
}

/// What the handlers know of a request beyond its route.
pub(crate) struct Call<'a> {
    pub(crate) app: &'a Arc<App>,
    pub(crate) caller: Caller,
    /// All that the caller may do to the repository that the request is about.
    pub(crate) allowed: ActionSet,
    pub(crate) headers: &'a http::HeaderMap,
    /// Where the client found the registry.
    pub(crate) target: Target<'a>,
    pub(crate) is_head: bool,
    /// What the connection may use of the node's budget.
    pub(crate) share: &'a Share,
    /// The client's address, as far as trusted proxies tell it.
    pub(crate) client: Option<std::net::IpAddr>,
    /// The id under which the request stands in the logs.
    pub(crate) request_id: &'a str,
    pub(crate) method: &'a http::Method,
    /// What fetches, if the request is about a mirrored repository.
    pub(crate) origin: Option<&'a dyn Origin>,
}

impl Call<'_> {
    /// What the URLs of the answer begin with. It is found out by the answers that have URLs: most have none.
    pub(crate) fn links(&self) -> Links {
        Links::new(&self.app.settings, &self.target)
    }

    /// Whether the caller may push to the repository that the request is about. Only then may a look make a promise, which is a
    /// write: it keeps what was looked at for a lease, so that a push can rely on it.
    pub(crate) fn may_push(&self) -> bool {
        let push = ActionSet::of(&[Action::Pull, Action::Push]);
        !self.app.settings.read_only && self.allowed.contains_all(push)
    }

    /// Whether the caller may pull from another repository.
    pub(crate) async fn may_pull(&self, repository: &RepositoryName) -> bool {
        let allowed = registry_auth::allowed(self.app.authorizer.as_ref(), &self.caller, repository);
        allowed.await.contains(Action::Pull)
    }

    /// What tells the embedder's sinks of a change to a repository, once it is durable.
    pub(crate) fn teller(&self, repository: &RepositoryName) -> Teller {
        Teller { app: self.app.clone(), repository: repository.clone(), actor: self.actor() }
    }

    /// The user's name.
    fn actor(&self) -> Option<String> {
        self.caller.name().map(|name| name.as_ref().to_owned())
    }

    /// Lets the observer hear of something, if there is one that wants to.
    pub(crate) fn seen(&self, make: impl FnOnce(Cause) -> Seen) {
        self.app.seen(|| make(self.cause()));
    }

    /// What causes the changes that the request asks for, for histories and events.
    pub(crate) fn cause(&self) -> Cause {
        let address = self.client.map(|address| address.to_string());
        let agent = self.headers.get(header::USER_AGENT);
        let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let request = RequestSource::new(
            self.request_id,
            address.as_deref(),
            self.target.host().as_deref(),
            self.method.as_str(),
            agent.as_deref(),
        );
        Cause { actor: self.actor(), request: Some(request) }
    }
}
