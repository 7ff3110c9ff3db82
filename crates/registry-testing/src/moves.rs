//! Clients that move tags while servers are killed, and what receivers of CloudEvents have to be told of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{task::JoinHandle, time::sleep};

use crate::{Client, ClientError, Content, Image, Random, Received, Receiver, wait::eventually_within};

/// How many clients move tags, each in a repository of its own.
const MOVERS: u64 = 4;

/// Between how many tags a client goes round.
const TAGS: u64 = 3;

/// How long tags may take to move while servers start again.
const MOVES_WITHIN: Duration = Duration::from_secs(60);

/// All that waited arrives within this, once the receivers are well: a lane of a node that was killed is taken over after its lease.
const ARRIVES_WITHIN: Duration = Duration::from_secs(150);

/// A tag that was moved, and the client was told so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagMoved {
    /// In which repository.
    pub repository: String,
    /// Which tag.
    pub tag: String,
    /// Where it leads.
    pub digest: String,
}

/// Clients that move tags until they are told to stop.
#[derive(Debug)]
pub struct Movers {
    stop: Arc<AtomicBool>,
    moved: Arc<Mutex<Vec<TagMoved>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Movers {
    /// Starts them. Each asks one of the servers of `clients` after the other until one acknowledges its push.
    pub fn start(clients: &[Client]) -> Movers {
        let (stop, moved) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<TagMoved>>>::default());
        let tasks = (0..MOVERS).map(|mover| {
            let clients: Vec<Client> = clients.iter().map(Client::reconnected).collect();
            tokio::spawn(move_tags(mover, clients, stop.clone(), moved.clone()))
        });
        Movers { tasks: tasks.collect(), stop, moved }
    }

    /// Waits until so many more tags were moved.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn go_on(&self, more: usize) {
        let wanted = self.count() + more;
        let are_moved = async || (self.count() >= wanted).then_some(());
        eventually_within("tags move", MOVES_WITHIN, are_moved).await;
    }

    fn count(&self) -> usize {
        self.moved.lock().len()
    }

    /// Stops them, and returns each move that was acknowledged.
    ///
    /// # Panics
    /// If a client was refused something, or answered nonsense.
    pub async fn stop(self) -> Vec<TagMoved> {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.expect("a client found something wrong");
        }
        std::mem::take(&mut *self.moved.lock())
    }
}

/// Pushes images, each to the next tag, until it is told to stop.
async fn move_tags(
    mover: u64,
    clients: Vec<Client>,
    stop: Arc<AtomicBool>,
    moved: Arc<Mutex<Vec<TagMoved>>>,
) {
    let repository = format!("team/app{mover}");
    let mut random = Random::seeded(mover);
    for made in 0.. {
        if stop.load(Relaxed) {
            return;
        }
        let image = Image::random(mover * 1_000_000 + made);
        let tag = format!("t{}", made % TAGS);
        while let Err(error) = push(random.pick(&clients), &repository, &tag, &image).await {
            let is_refusal = error.is_disconnect() || error.status() == Some(503);
            assert!(is_refusal, "{repository}:{tag}: {error}");
            sleep(Duration::from_millis(20)).await;
        }
        let Content { digest, .. } = &image.manifest;
        moved.lock().push(TagMoved { repository: repository.clone(), tag, digest: digest.to_string() });
    }
}

async fn push(client: &Client, repository: &str, tag: &str, image: &Image) -> Result<(), ClientError> {
    for blob in &image.blobs {
        client.push_blob(repository, blob).await?;
    }
    client.push_manifest(repository, tag, &image.manifest).await.map(drop)
}

/// A move as a receiver of CloudEvents was told of it.
#[derive(Clone, Debug)]
pub struct ToldMove {
    /// The message's id.
    pub id: String,
    /// Its number among those about the repository.
    pub sequence: u64,
    /// What it tells.
    pub moved: TagMoved,
}

impl ToldMove {
    /// The moves that a receiver took, in the order of arrival, each message once.
    ///
    /// # Panics
    /// If it was sent what is no event.
    pub fn all(received: &[Received]) -> Vec<ToldMove> {
        let mut seen = BTreeSet::new();
        let taken = received.iter().filter(|call| call.status.is_some_and(|status| status < 300));
        taken.map(ToldMove::of).filter(|told| seen.insert(told.id.clone())).collect()
    }

    fn of(call: &Received) -> ToldMove {
        let event = call.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let data = &event["data"];
        ToldMove {
            id: call.header("webhook-id").to_owned(),
            sequence: event["sequence"].as_str().expect("a sequence").parse().expect("a number"),
            moved: TagMoved {
                repository: text(&data["repository"]),
                tag: text(&data["tag"]),
                digest: text(&data["digest"]),
            },
        }
    }
}

/// Waits until a receiver took each move; then checks that its numbers have no gap in any repository, and that the last number of each
/// tag tells where the tag leads now. Returns what it was told.
///
/// # Panics
/// If one of that is not so.
pub async fn check_told_moves(
    name: &str,
    receiver: &Receiver,
    moved: &[TagMoved],
    client: &Client,
) -> Vec<ToldMove> {
    let wanted: BTreeSet<&TagMoved> = moved.iter().collect();
    let what = format!("every move arrives at {name}");
    let told = eventually_within(&what, ARRIVES_WITHIN, async || {
        let told = ToldMove::all(&receiver.received());
        let here: BTreeSet<&TagMoved> = told.iter().map(|told| &told.moved).collect();
        wanted.is_subset(&here).then_some(told)
    })
    .await;
    numbers_have_no_gap(name, &told);
    the_last_number_of_a_tag_is_the_truth(name, &told, client).await;
    told
}

/// From 1 in each repository.
fn numbers_have_no_gap(name: &str, told: &[ToldMove]) {
    let mut numbers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for told in told {
        let is_new = numbers.entry(&told.moved.repository).or_default().insert(told.sequence);
        assert!(is_new, "{name} was given one number for two events: {told:?}");
    }
    for (repository, numbers) in numbers {
        let last = numbers.last().copied().unwrap_or(0);
        assert_eq!(numbers.len() as u64, last, "{name}: numbers of {repository} have a gap: {numbers:?}");
    }
}

async fn the_last_number_of_a_tag_is_the_truth(name: &str, told: &[ToldMove], client: &Client) {
    let mut last: BTreeMap<(&str, &str), &ToldMove> = BTreeMap::new();
    for told in told {
        let key = (told.moved.repository.as_str(), told.moved.tag.as_str());
        let known = last.entry(key).or_insert(told);
        if known.sequence < told.sequence {
            *known = told;
        }
    }
    assert!(!last.is_empty(), "{name} was told nothing");
    for ((repository, tag), told) in last {
        let head = client.head(&format!("/v2/{repository}/manifests/{tag}")).expect(200).await;
        assert_eq!(head.must_have("docker-content-digest"), told.moved.digest, "{name}: {repository}:{tag}");
    }
}

/// A receiver that is well got the moves of each repository in the order of their numbers.
///
/// # Panics
/// If it did not.
pub fn check_order_of_moves(told: &[ToldMove]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for told in told {
        let last = last.entry(&told.moved.repository).or_default();
        assert_eq!(told.sequence, *last + 1, "out of order: {told:?}");
        *last = told.sequence;
    }
}
