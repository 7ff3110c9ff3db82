//! The messages to webhooks, and sending them again.

use registry_events::Kind;
use registry_types::Cause;

use crate::{
    Attempt, Callback, Delivery, DeliveryState, MessageId, WebhookError, WebhookName, Webhooks,
    event::event,
    steps::{
        AGAIN_MAX, Details, History, NoteCallback, Page, Report, Revive, SendAnew, SendSince, Since, Test,
    },
    text::kept,
};

/// How many messages a page of the history has at most.
pub const HISTORY_PAGE_MAX: usize = 100;

/// How long a text of a receiver's report is at most, in bytes.
const CALLBACK_BYTES_MAX: usize = 1024;

impl Webhooks {
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
        self.jobs().wake();
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
        self.jobs().wake();
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
            self.jobs().wake();
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
        self.jobs().wake();
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
