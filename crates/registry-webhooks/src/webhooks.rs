//! What a program does with webhooks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use registry_database::{AnyStep, Database, Operation, Pace};
use registry_events::Recorder;
use registry_jobs::{Jobs, JobsOptions};
use registry_outbound::Outbound;
use registry_secrets::Secrets;

use crate::{
    Audience, Definition, Draft, LookUp, NothingKnown, Origin, Webhook, WebhookError, WebhookId, WebhookName,
    WebhookSecret,
    deliver::Sends,
    id::random,
    known::Known,
    notices::Notices,
    numbers::Counted,
    resting::Resting,
    run::{FEED_RESTS, PRUNE_RESTS},
    steps::{Add, Change, ChangeTo, Find, List, NewWebhook, Numbered, Remove, SetSecret, SetState},
    stored::{State, Stored, json},
};

/// How many webhooks there may be.
pub const WEBHOOKS_MAX: u64 = 1000;

/// For how long the former secret of a webhook is good by default.
pub const FORMER_SECRET_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long it is good at most.
pub const FORMER_SECRET_KEPT_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What webhooks work with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where everything is kept.
    pub database: Database,
    /// What seals their secrets.
    pub secrets: Secrets,
    /// What asks receivers.
    pub outbound: Outbound,
    /// Which records events; it learns at once of the first webhook.
    pub recorder: Recorder,
    /// How receivers know the registry.
    pub origin: Origin,
    /// What messages need to know beside events.
    pub look_up: Arc<dyn LookUp>,
    /// Whether receivers of the Go registry's format are told what a manifest refers to.
    pub include_references: bool,
}

impl Options {
    /// With nothing known beside events, and without references.
    pub fn new(
        database: Database,
        secrets: Secrets,
        outbound: Outbound,
        recorder: Recorder,
        origin: Origin,
    ) -> Options {
        Options {
            database,
            secrets,
            outbound,
            recorder,
            origin,
            look_up: Arc::new(NothingKnown),
            include_references: false,
        }
    }
}

/// Webhooks: added, changed, and told of events. Clones are the same.
#[derive(Clone, Debug)]
pub struct Webhooks(pub(crate) Arc<Inner>, Jobs);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: Options,
    /// Those of this node's configuration, by name.
    pub(crate) configured: ArcSwap<BTreeMap<String, Arc<Definition>>>,
    pub(crate) notices: ArcSwap<Notices>,
    pub(crate) counted: Counted,
    /// Whether the tables were seen.
    are_used: AtomicBool,
    /// The lanes of webhooks that this node can send to now.
    pub(crate) reachable: ArcSwap<BTreeSet<String>>,
    pub(crate) known: Arc<Known>,
    pub(crate) resting: Resting,
    /// How often webhooks are fed, and messages forgotten.
    pub(crate) feeding: Pace,
    pub(crate) pruning: Pace,
    /// How many attempts for a webhook failed in a row, as far as this node made them.
    pub(crate) failing: Mutex<BTreeMap<WebhookId, u32>>,
    /// Up to which row it was looked for numbers of repositories that are gone.
    pub(crate) looked_at: Mutex<Numbered>,
    /// To which webhooks this node sent something since their histories were looked at.
    pub(crate) sent_to: Mutex<BTreeSet<WebhookId>>,
}

impl Inner {
    pub(crate) async fn write<T: AnyStep>(
        &self,
        operation: impl Into<Operation>,
        step: T,
        of: T::Of,
    ) -> Result<T::Output, WebhookError>
    where
        T::Of: Send + 'static,
    {
        self.options.database.write(operation, step, of).await.map_err(WebhookError::of)
    }

    pub(crate) async fn read<T: AnyStep>(
        &self,
        operation: &'static str,
        step: T,
        of: T::Of,
    ) -> Result<T::Output, WebhookError>
    where
        T::Of: Send + 'static,
    {
        self.options.database.read(operation, step, of).await.map_err(WebhookError::of)
    }
}

impl Webhooks {
    /// With these options. Nothing is sent until [`run`](Self::run).
    pub fn new(options: Options) -> Webhooks {
        let database = options.database.clone();
        let inner = Arc::new(Inner {
            options,
            configured: ArcSwap::default(),
            notices: ArcSwap::default(),
            counted: Counted::default(),
            are_used: AtomicBool::new(false),
            reachable: ArcSwap::default(),
            known: Arc::default(),
            resting: Resting::default(),
            feeding: Pace::new(FEED_RESTS[0], FEED_RESTS[1]),
            pruning: Pace::new(PRUNE_RESTS[0], PRUNE_RESTS[1]),
            failing: Mutex::default(),
            looked_at: Mutex::default(),
            sent_to: Mutex::default(),
        });
        let sends = Arc::new(Sends(inner.clone()));
        Webhooks(inner, Jobs::new(database, vec![sends], JobsOptions::default()))
    }

    /// The jobs that send messages: how they are doing.
    pub fn jobs(&self) -> &Jobs {
        &self.1
    }

    pub(crate) async fn write<T: AnyStep>(
        &self,
        operation: impl Into<Operation>,
        step: T,
        of: T::Of,
    ) -> Result<T::Output, WebhookError>
    where
        T::Of: Send + 'static,
    {
        self.0.write(operation, step, of).await
    }

    pub(crate) async fn read<T: AnyStep>(
        &self,
        operation: &'static str,
        step: T,
        of: T::Of,
    ) -> Result<T::Output, WebhookError>
    where
        T::Of: Send + 'static,
    {
        self.0.read(operation, step, of).await
    }

    /// Whether there are the tables, which the first webhook makes. Where they are not, there is nothing to do.
    pub(crate) async fn are_used(&self) -> Result<bool, WebhookError> {
        if self.0.are_used.load(Relaxed) {
            return Ok(true);
        }
        let are_used = self.0.options.database.has_owner(crate::SCHEMA.owner).await?;
        self.0.are_used.store(are_used, Relaxed);
        Ok(are_used)
    }

    /// Makes the tables.
    pub(crate) async fn use_tables(&self) -> Result<(), WebhookError> {
        let owners = [registry_events::SCHEMA.owner, registry_jobs::SCHEMA.owner, crate::SCHEMA.owner];
        Ok(self.0.options.database.use_owners(&owners).await?)
    }

    /// Adds a webhook, which is told of what happens from now on. Without a secret one is made. The secret is answered here and never
    /// again.
    ///
    /// This process records events from now on; others that serve the registry do so within
    /// [`KNOWN_WITHIN`](registry_events::KNOWN_WITHIN). What tells a person that the webhook is there waits for so long.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn add(&self, draft: &Draft) -> Result<(Webhook, WebhookSecret), WebhookError> {
        let definition = self.checked(draft)?;
        let secret = definition.secret.clone().map_or_else(WebhookSecret::generate, Ok)?;
        let id = new_id()?;
        self.use_tables().await?;
        self.prepare_to_seal().await?;
        let sealed = self.seal(id, "secret", secret.expose().as_bytes())?;
        let columns = Some(self.columns(id, &definition)?);
        let new = NewWebhook {
            id,
            name: definition.name.clone(),
            is_configured: false,
            columns,
            secret: Some(sealed),
        };
        self.write("add a webhook", Add, new).await?;
        self.0.options.recorder.want();
        Ok((self.webhook(&definition.name).await?, secret))
    }

    /// Changes everything of a webhook but its name and secret. Headers are given again, or there are none any more.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn change(&self, draft: &Draft) -> Result<Webhook, WebhookError> {
        let definition = self.checked(draft)?;
        let stored = self.own(&definition.name).await?;
        self.prepare_to_seal().await?;
        let columns = self.columns(stored.id, &definition)?;
        match self.write("change a webhook", Change, (stored.id, columns)).await? {
            true => self.webhook(&definition.name).await,
            false => Err(WebhookError::Unknown(definition.name)),
        }
    }

    /// What a user entered, if its URL may be asked.
    fn checked(&self, draft: &Draft) -> Result<Definition, WebhookError> {
        let definition = draft.check(Audience::Users)?;
        self.0.options.outbound.users().judge(&definition.url).map_err(WebhookError::Refused)?;
        Ok(definition)
    }

    /// Refuses where something is sealed under keys that are not here; elsewhere notes the key of this process.
    async fn prepare_to_seal(&self) -> Result<(), WebhookError> {
        let (secrets, database) = (&self.0.options.secrets, &self.0.options.database);
        secrets.check_sealed(database, crate::SEALED).await?;
        Ok(secrets.prepare(database).await?)
    }

    fn columns(&self, id: WebhookId, definition: &Definition) -> Result<ChangeTo, WebhookError> {
        let headers = definition.headers.to_lists();
        let headers = match headers.is_empty() {
            true => None,
            false => {
                let text = zeroize::Zeroizing::new(serde_json::json!(headers).to_string());
                Some(self.seal(id, "headers", text.as_bytes())?)
            }
        };
        Ok(ChangeTo {
            url: definition.url.to_string(),
            format: definition.format.as_str(),
            events: json(&definition.filter.events()),
            repositories: json(&definition.filter.repositories()),
            tags: json(&definition.filter.tags()),
            timeout_ms: i64::try_from(definition.timeout.as_millis()).unwrap_or(i64::MAX),
            headers,
        })
    }

    fn seal(&self, id: WebhookId, column: &'static str, plain: &[u8]) -> Result<Vec<u8>, WebhookError> {
        Ok(self.0.options.secrets.seal(&Stored::place(id, column), plain)?)
    }

    /// All webhooks, by name.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn list(&self) -> Result<Vec<Webhook>, WebhookError> {
        let all = self.all().await?;
        Ok(all.into_iter().map(|stored| self.shown(stored)).collect())
    }

    pub(crate) async fn all(&self) -> Result<Vec<Stored>, WebhookError> {
        if !self.are_used().await? {
            return Ok(Vec::new());
        }
        self.read("list webhooks", List, ()).await
    }

    /// A webhook.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn webhook(&self, name: &WebhookName) -> Result<Webhook, WebhookError> {
        Ok(self.shown(self.stored(name).await?))
    }

    fn shown(&self, stored: Stored) -> Webhook {
        let configured = self.0.configured.load();
        let definition = configured.get(&stored.name).filter(|_| stored.is_configured);
        stored.shown(definition.map(Arc::as_ref))
    }

    pub(crate) async fn stored(&self, name: &WebhookName) -> Result<Stored, WebhookError> {
        let found = match self.are_used().await? {
            true => self.read("find a webhook", Find, name.clone()).await?,
            false => None,
        };
        found.ok_or_else(|| WebhookError::Unknown(name.clone()))
    }

    /// One that is not the configuration's.
    async fn own(&self, name: &WebhookName) -> Result<Stored, WebhookError> {
        let stored = self.stored(name).await?;
        if stored.is_configured { Err(WebhookError::Configured(name.clone())) } else { Ok(stored) }
    }

    /// Tells a webhook nothing until it is resumed. Events are kept for it as long as for others that lag.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn pause(&self, name: &WebhookName) -> Result<(), WebhookError> {
        self.set_state(name, State::Paused).await
    }

    /// Tells a webhook of events again, beginning with those that were kept; also one that its receiver disabled.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn resume(&self, name: &WebhookName) -> Result<(), WebhookError> {
        self.set_state(name, State::Active).await
    }

    async fn set_state(&self, name: &WebhookName, state: State) -> Result<(), WebhookError> {
        let stored = self.stored(name).await?;
        if !self.write("set the state of a webhook", SetState, (stored.id, state)).await? {
            return Err(WebhookError::Unknown(name.clone()));
        }
        self.look_who_is_reachable().await?;
        self.0.resting.wake(stored.id);
        self.1.wake();
        Ok(())
    }

    /// Removes a webhook with its messages. One that the configuration of this process has is refused: a node that serves would tell it
    /// nothing until its next start.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn remove(&self, name: &WebhookName) -> Result<(), WebhookError> {
        let stored = self.stored(name).await?;
        if stored.is_configured && self.0.configured.load().contains_key(name.as_ref()) {
            return Err(WebhookError::Configured(name.clone()));
        }
        self.write("remove a webhook", Remove, stored.id).await.map(drop)
    }

    /// Gives a webhook a new secret, which is answered here and never again. The former one signs as well for so long, at most
    /// [`FORMER_SECRET_KEPT_MAX`], so that the receiver can change it meanwhile.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn rotate(
        &self,
        name: &WebhookName,
        keep_former: Duration,
    ) -> Result<WebhookSecret, WebhookError> {
        let stored = self.own(name).await?;
        let secrets = &self.0.options.secrets;
        self.prepare_to_seal().await?;
        let new = WebhookSecret::generate()?;
        let sealed = self.seal(stored.id, "secret", new.expose().as_bytes())?;
        let former = match &stored.secret {
            // A secret that does not open is of no use to keep; rotation is the way out then.
            Some(former) => match secrets.open(&Stored::place(stored.id, "secret"), former) {
                Ok(plain) => Some(self.seal(stored.id, "former_secret", &plain)?),
                Err(_) => None,
            },
            None => None,
        };
        let keep_ms = i64::try_from(keep_former.min(FORMER_SECRET_KEPT_MAX).as_millis()).unwrap_or(i64::MAX);
        self.write("give a webhook a new secret", SetSecret { id: stored.id, keep_ms }, (sealed, former))
            .await?;
        Ok(new)
    }
}

/// 53 random bits: no other webhook ever has them, and a program that reads JSON as floating-point numbers keeps them.
pub(crate) fn new_id() -> Result<WebhookId, WebhookError> {
    Ok((u64::from_be_bytes(random()?) >> 11).max(1).cast_signed())
}
