//! Webhooks with real receivers: good ones, and those that fail, hang, lie and lead elsewhere.

mod callbacks;
mod lost_disk;
mod notices;
mod receivers;
mod signed;

use std::sync::Arc;

use registry_core::{
    database::{Database, Fault, Owners, Session, Sqlite, Step, SystemClock, step},
    events::{NewEvent, Recorder, record, watch},
    types::{Cause, EventKind},
};
use registry_outbound::{Outbound, OutboundOptions};
use registry_secrets::{Key, Keys, Secrets};
use registry_testing::{Receiver, eventually};
use registry_webhooks::{
    Attempt, Definition, Delivery, DeliveryState, Draft, MessageId, Options, Origin, WebhookName,
    WebhookSecret, Webhooks,
};
use tokio::task::JoinHandle;

const OWNERS: Owners = Owners::new(&[&registry_core::metadata::SCHEMA, &registry_core::database::SCHEMA])
    .on_demand(&[
        &registry_core::events::SCHEMA,
        &registry_jobs::SCHEMA,
        &registry_secrets::SCHEMA,
        &registry_webhooks::SCHEMA,
    ]);

/// A node that tells webhooks of events, until it is dropped.
struct Node {
    webhooks: Webhooks,
    database: Database,
    recorder: Recorder,
    running: [JoinHandle<()>; 2],
}

impl Drop for Node {
    fn drop(&mut self) {
        self.running.iter().for_each(JoinHandle::abort);
    }
}

/// Users may name these hosts and networks although they are not public.
async fn node(allowed: &[&str]) -> Node {
    node_with(allowed, Vec::new()).await
}

async fn node_with(allowed: &[&str], configured: Vec<Definition>) -> Node {
    let sqlite = Sqlite::open_in_memory(&OWNERS, Arc::new(SystemClock)).unwrap();
    node_over(Database::Sqlite(sqlite.into()), allowed, configured).await
}

async fn node_over(database: Database, allowed: &[&str], configured: Vec<Definition>) -> Node {
    let recorder = Recorder::new();
    let mut options = OutboundOptions::default();
    options.allowed = allowed.iter().map(|allowed| allowed.parse().unwrap()).collect();
    let origin = Origin {
        url: "https://registry.example.com".into(),
        node: "node-1:5000".into(),
        instance: "244818df-46c8-4239-88e9-6177e3c5261c".into(),
        callbacks: None,
    };
    let secrets = Secrets::given(Keys::new(Key::from([7; 32])));
    let outbound = Outbound::new(options).unwrap();
    let options = Options::new(database.clone(), secrets, outbound, recorder.clone(), origin);
    let webhooks = Webhooks::new(options);
    webhooks.configure(configured).await.unwrap();
    let (runs, events) = (webhooks.clone(), watch(database.clone(), recorder.clone()));
    let running = [tokio::spawn(async move { runs.run().await }), tokio::spawn(events)];
    Node { webhooks, database, recorder, running }
}

fn name(text: &str) -> WebhookName {
    text.parse().unwrap()
}

fn draft(text: &str, receiver: &Receiver) -> Draft {
    Draft { name: text.into(), url: receiver.url().into(), ..Draft::default() }
}

/// Records that tags moved in repositories of these numbers.
struct Move(Recorder);

impl Step for Move {
    type Of = Vec<(i64, String)>;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, tags: &Self::Of) -> Result<(), Fault> {
        let cause = Cause::by("ada");
        for (repository, tag) in tags {
            let name = format!("acme/app-{repository}");
            let moved = NewEvent::in_repository(EventKind::TagMoved, *repository, &name, &cause);
            record(session, &self.0, &[NewEvent { tag: Some(tag), ..moved }]).await?;
        }
        Ok(())
    }
}

step!(Move);

impl Node {
    async fn add(&self, draft: Draft) -> WebhookSecret {
        self.webhooks.add(&draft).await.unwrap().1
    }

    /// Tags of a repository move, in one transaction.
    async fn moved(&self, repository: i64, tags: &[&str]) {
        let tags = tags.iter().map(|tag| (repository, (*tag).to_owned())).collect();
        self.database.write("move tags", Move(self.recorder.clone()), tags).await.unwrap();
        self.recorder.committed();
    }

    async fn history(&self, webhook: &str) -> Vec<Delivery> {
        self.webhooks.history(&name(webhook), None, 100).await.unwrap()
    }

    async fn attempts(&self, webhook: &str, id: MessageId) -> Vec<Attempt> {
        self.webhooks.delivery(&name(webhook), id).await.unwrap().1
    }

    /// Waits until the newest message to a webhook has so many attempts.
    async fn attempted(&self, webhook: &str, count: usize) -> (Delivery, Vec<Attempt>) {
        eventually("an attempt is noted", async || {
            let newest = self.history(webhook).await.into_iter().next()?;
            let attempts = self.attempts(webhook, newest.id).await;
            (attempts.len() >= count).then_some((newest, attempts))
        })
        .await
    }

    /// Waits until all of so many messages to a webhook have ended so.
    async fn all_are(&self, webhook: &str, count: usize, state: DeliveryState) -> Vec<Delivery> {
        eventually("messages have ended", async || {
            let all = self.history(webhook).await;
            let are = all.len() == count && all.iter().all(|delivery| delivery.state == state);
            are.then_some(all)
        })
        .await
    }
}

/// Waits until a receiver has got so many requests.
async fn got(receiver: &Receiver, count: usize) -> Vec<registry_testing::Received> {
    eventually("the receiver has got enough", async || {
        Some(receiver.received()).filter(|received| received.len() >= count)
    })
    .await
}
