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
use registry_database::{AnyStep, Database};
use registry_events::{Kind, Recorder};
use registry_outbound::Outbound;
use registry_secrets::Secrets;
use registry_types::Cause;
use tokio::sync::Notify;

use crate::{
    Attempt, Audience, Callback, Definition, Delivery, DeliveryState, Draft, LookUp, MessageId, NothingKnown,
    Origin, Webhook, WebhookError, WebhookId, WebhookName, WebhookSecret,
    event::event,
    id::random,
    notices::Notices,
    numbers::Counted,
    steps::{
        AGAIN_MAX, Add, Change, ChangeTo, Details, Find, History, List, NewWebhook, NoteCallback, Page,
        Remove, Report, Revive, SendAnew, SendSince, SetSecret, SetState, Since, Test,
    },
    stored::{State, Stored, json},
    text::kept,
};

/// How many webhooks there may be.
pub const WEBHOOKS_MAX: u64 = 1000;

/// How many messages a page of the history has at most.
pub const HISTORY_PAGE_MAX: usize = 100;

/// For how long the former secret of a webhook is good by default.
pub const FORMER_SECRET_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long it is good at most.
pub const FORMER_SECRET_KEPT_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a text of a receiver's report is at most, in bytes.
const CALLBACK_BYTES_MAX: usize = 1024;

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
pub struct Webhooks(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: Options,
    /// Those of this node's configuration, by name.
    pub(crate) configured: ArcSwap<BTreeMap<String, Arc<Definition>>>,
    pub(crate) notices: ArcSwap<Notices>,
    pub(crate) counted: Counted,
    /// Whether the tables were seen.
    are_used: AtomicBool,
    /// Wakes what sends: there are new messages.
    pub(crate) wake: Notify,
    /// To which webhooks this node sent something since their histories were looked at.
    pub(crate) sent_to: Mutex<BTreeSet<WebhookId>>,
}

impl Webhooks {
    /// With these options. Nothing is sent until [`run`](Self::run).
    pub fn new(options: Options) -> Webhooks {
        Webhooks(Arc::new(Inner {
            options,
            configured: ArcSwap::default(),
            notices: ArcSwap::default(),
            counted: Counted::default(),
            are_used: AtomicBool::new(false),
            wake: Notify::new(),
            sent_to: Mutex::default(),
        }))
    }

    pub(crate) async fn write<T: AnyStep>(
        &self,
        operation: &'static str,
        step: T,
        of: T::Of,
    ) -> Result<T::Output, WebhookError>
    where
        T::Of: Send + 'static,
    {
        self.0.options.database.write(operation, step, of).await.map_err(WebhookError::of)
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
        self.0.options.database.read(operation, step, of).await.map_err(WebhookError::of)
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
        let owners = [registry_events::SCHEMA.owner, crate::SCHEMA.owner];
        Ok(self.0.options.database.use_owners(&owners).await?)
    }

    /// Adds a webhook, which is told of what happens from now on. Without a secret one is made. The secret is answered here and never
    /// again.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn add(&self, draft: &Draft) -> Result<(Webhook, WebhookSecret), WebhookError> {
        let definition = draft.check(Audience::Users)?;
        let secret = definition.secret.clone().map_or_else(WebhookSecret::generate, Ok)?;
        let id = new_id()?;
        self.use_tables().await?;
        self.0.options.secrets.prepare(&self.0.options.database).await?;
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
        let definition = draft.check(Audience::Users)?;
        let stored = self.own(&definition.name).await?;
        self.0.options.secrets.prepare(&self.0.options.database).await?;
        let columns = self.columns(stored.id, &definition)?;
        match self.write("change a webhook", Change, (stored.id, columns)).await? {
            true => self.webhook(&definition.name).await,
            false => Err(WebhookError::Unknown(definition.name)),
        }
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
        match self.write("set the state of a webhook", SetState, (stored.id, state)).await? {
            true => Ok(()),
            false => Err(WebhookError::Unknown(name.clone())),
        }
    }

    /// Removes a webhook with its messages. One of the configuration comes back at the next start of a node that has it.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn remove(&self, name: &WebhookName) -> Result<(), WebhookError> {
        let stored = self.stored(name).await?;
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
        secrets.prepare(&self.0.options.database).await?;
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

    /// The messages to a webhook, the newest first: those before a number, or the newest of all.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn history(
        &self,
        name: &WebhookName,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Delivery>, WebhookError> {
        self.page(name, None, before, limit).await
    }

    /// The same of those that stand so: of dead letters, say.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn history_in(
        &self,
        name: &WebhookName,
        state: DeliveryState,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Delivery>, WebhookError> {
        self.page(name, Some(state), before, limit).await
    }

    async fn page(
        &self,
        name: &WebhookName,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Delivery>, WebhookError> {
        let webhook = self.stored(name).await?.id;
        let (before, limit) = (before.unwrap_or(i64::MAX), limit.min(HISTORY_PAGE_MAX));
        self.read("list messages", History, Page { webhook, before, limit, state }).await
    }

    /// A message to a webhook, with its last attempts, and what its receiver reported.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn delivery(
        &self,
        name: &WebhookName,
        id: MessageId,
    ) -> Result<(Delivery, Vec<Attempt>, Vec<Callback>), WebhookError> {
        let webhook = self.stored(name).await?.id;
        let found = self.read("find a message", Details, (webhook, id)).await?;
        found.ok_or_else(|| WebhookError::UnknownDelivery(id.to_string()))
    }

    /// Sends a message again that was delivered or given up, under its id: a receiver that has it already knows it.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn redeliver(&self, name: &WebhookName, id: MessageId) -> Result<(), WebhookError> {
        let webhook = self.stored(name).await?.id;
        self.write("send a message again", Revive, (webhook, id)).await?;
        self.0.wake.notify_one();
        Ok(())
    }

    /// Sends what a message tells under a new id, which is answered: a receiver takes it for new.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn send_anew(&self, name: &WebhookName, id: MessageId) -> Result<MessageId, WebhookError> {
        let webhook = self.stored(name).await?.id;
        let new = MessageId::generate()?;
        self.write("send a message anew", SendAnew, (webhook, id, new)).await?;
        self.0.wake.notify_one();
        Ok(new)
    }

    /// Sends all messages of the history again that were delivered or given up since a time, in milliseconds since 1970, and says how
    /// many: under their ids, or `anew` under others. In transactions of 100; what fails in between leaves those before it sent.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn redeliver_since(
        &self,
        name: &WebhookName,
        since_ms: i64,
        anew: bool,
    ) -> Result<u64, WebhookError> {
        let webhook = self.stored(name).await?.id;
        let (mut count, mut after, mut last) = (0, None, None);
        loop {
            let ids = (0..if anew { AGAIN_MAX } else { 0 })
                .map(|_| MessageId::generate())
                .collect::<Result<_, _>>()?;
            let since = Since { webhook, ended_at_ms: since_ms, after, last, ids };
            let sent = self.write("send messages again", SendSince, since).await?;
            self.0.wake.notify_one();
            count += sent.count;
            (after, last) = (sent.after, Some(sent.last));
            if sent.count < AGAIN_MAX as u64 {
                return Ok(count);
            }
        }
    }

    /// Sends a webhook a message of kind `webhook.test`, and answers its id.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn test(&self, name: &WebhookName, cause: Cause) -> Result<MessageId, WebhookError> {
        let webhook = self.stored(name).await?.id;
        let id = MessageId::generate()?;
        self.write("test a webhook", Test, (webhook, id, event(Kind::WebhookTest, 0, cause))).await?;
        self.0.wake.notify_one();
        Ok(id)
    }

    /// Notes what a receiver of Docker Hub's format reports of a message, each text cut to 1 KiB. Says whether there is such a message.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn report(&self, id: MessageId, callback: Callback) -> Result<bool, WebhookError> {
        if !self.are_used().await? {
            return Ok(false);
        }
        let cut = |text: Option<String>| text.map(|text| kept(&text, CALLBACK_BYTES_MAX));
        let callback = Callback {
            at_ms: 0,
            state: cut(Some(callback.state)).unwrap_or_default(),
            description: cut(callback.description),
            context: cut(callback.context),
            target_url: cut(callback.target_url),
        };
        self.write("note what a receiver reports", NoteCallback, Report { id, callback }).await
    }
}

/// 53 random bits: no other webhook ever has them, and a program that reads JSON as floating-point numbers keeps them.
pub(crate) fn new_id() -> Result<WebhookId, WebhookError> {
    Ok((u64::from_be_bytes(random()?) >> 11).max(1).cast_signed())
}
