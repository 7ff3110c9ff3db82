//! Receivers of every temper while clients move tags and nodes are killed: each move that was acknowledged arrives at each receiver, in
//! the order of the moves where a receiver is well, and with numbers that have no gap.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use registry_testing::{Behaviour, Client, Content, Image, Random, Received, Receiver, ServerOptions};
use tokio::task::JoinHandle;

use super::{cluster::Cluster, wait_until};
use crate::number;

/// How many nodes are killed, unless `REGISTRY_WEBHOOK_KILLS` says otherwise.
const KILLS_DEFAULT: u64 = 10;

/// How many clients move tags, each in a repository of its own.
const MOVERS: u64 = 4;

/// Between how many tags a client goes round.
const TAGS: u64 = 3;

/// All that waited arrives within this, once the receivers are well: a lane of a node that was killed is taken over after its lease.
const ARRIVES_WITHIN: Duration = Duration::from_secs(150);

/// A tag that was moved, and the client was told so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moved {
    repository: String,
    tag: String,
    digest: String,
}

struct Movers {
    stop: Arc<AtomicBool>,
    moved: Arc<Mutex<Vec<Moved>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Movers {
    fn start(clients: &[Client]) -> Movers {
        let (stop, moved) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<Moved>>>::default());
        let tasks = (0..MOVERS).map(|mover| {
            let clients: Vec<Client> = clients.iter().map(Client::reconnected).collect();
            tokio::spawn(move_tags(mover, clients, stop.clone(), moved.clone()))
        });
        Movers { tasks: tasks.collect(), stop, moved }
    }

    fn count(&self) -> usize {
        self.moved.lock().unwrap().len()
    }

    async fn go_on(&self, more: usize) {
        let wanted = self.count() + more;
        wait_until("tags move", Duration::from_secs(60), async || self.count() >= wanted).await;
    }

    async fn stop(self) -> Vec<Moved> {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.expect("a client found something wrong");
        }
        Arc::try_unwrap(self.moved).expect("the clients are gone").into_inner().unwrap()
    }
}

/// Pushes manifests of one image's blobs, each to the next tag, at one node after the other until one acknowledges it.
async fn move_tags(mover: u64, clients: Vec<Client>, stop: Arc<AtomicBool>, moved: Arc<Mutex<Vec<Moved>>>) {
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
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let Content { digest, .. } = &image.manifest;
        moved.lock().unwrap().push(Moved { repository: repository.clone(), tag, digest: digest.to_string() });
    }
}

async fn push(
    client: &Client,
    repository: &str,
    tag: &str,
    image: &Image,
) -> Result<(), registry_testing::ClientError> {
    for blob in &image.blobs {
        client.push_blob(repository, blob).await?;
    }
    client.push_manifest(repository, tag, &image.manifest).await.map(drop)
}

/// An event as a receiver of CloudEvents got it.
#[derive(Clone, Debug)]
struct Told {
    id: String,
    sequence: u64,
    moved: Moved,
}

/// The moves that a receiver took, in the order of arrival, each once.
fn told(received: &[Received]) -> Vec<Told> {
    let mut seen = BTreeSet::new();
    let taken = received.iter().filter(|call| call.status.is_some_and(|status| status < 300));
    taken
        .map(|call| {
            let event = call.json();
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let data = &event["data"];
            Told {
                id: call.header("webhook-id").to_owned(),
                sequence: event["sequence"].as_str().expect("a sequence").parse().expect("a number"),
                moved: Moved {
                    repository: text(&data["repository"]),
                    tag: text(&data["tag"]),
                    digest: text(&data["digest"]),
                },
            }
        })
        .filter(|told| seen.insert(told.id.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_move_of_a_tag_arrives_whatever_is_killed() {
    let kills = number("REGISTRY_WEBHOOK_KILLS").unwrap_or(KILLS_DEFAULT);
    let seed = number("REGISTRY_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("REGISTRY_SOAK_SEED={seed} REGISTRY_WEBHOOK_KILLS={kills}");
    let mut random = Random::seeded(seed);
    let (good, slow) = (Receiver::start(Behaviour::good()).await, Receiver::start(Behaviour::good()).await);
    let (failing, hanging) =
        (Receiver::start(Behaviour::good()).await, Receiver::start(Behaviour::good()).await);
    slow.behave(Behaviour::Slow(Duration::from_millis(20)));
    failing.behave(Behaviour::with_header(503, &[("retry-after", "1")]));
    hanging.behave(Behaviour::Hang);
    let hook = |name: &str, receiver: &Receiver| {
        format!("{{name: {name}, url: \"{}\", events: [tag.moved], timeout: 2s}}", receiver.url())
    };
    let webhooks =
        format!("[{}, {}, {}]", hook("good", &good), hook("slow", &slow), hook("failing", &failing));
    let endpoint = format!(
        "{{endpoints: [{{name: hanging, url: \"{}\", timeout: 500ms, threshold: 3, backoff: 1s, ignore: {{actions: [pull]}}}}]}}",
        hanging.url()
    );
    let telling = |options: ServerOptions| {
        options.variable("REGISTRY_WEBHOOKS", &webhooks).variable("REGISTRY_NOTIFICATIONS", &endpoint)
    };
    let mut cluster = Cluster::start(telling).await;
    let movers = Movers::start(&cluster.clients);
    movers.go_on(20).await;
    for kill in 0..kills {
        cluster.kill_and_restart(random.within(0..3) as usize).await;
        // A receiver that was down comes back, and goes again.
        failing.behave(match kill % 2 {
            0 => Behaviour::good(),
            _ => Behaviour::with_header(503, &[("retry-after", "1")]),
        });
        movers.go_on(random.within(1..12) as usize).await;
    }
    let moved = movers.stop().await;
    for receiver in [&failing, &slow, &hanging] {
        receiver.behave(Behaviour::good());
    }

    for (name, receiver) in [("good", &good), ("slow", &slow), ("failing", &failing)] {
        all_arrive(name, receiver, &moved).await;
        let told = told(&receiver.received());
        numbers_have_no_gap(name, &told);
        the_last_number_of_a_tag_is_the_truth(name, &told, &cluster.clients[0]).await;
    }
    first_attempts_are_in_order(&told(&good.received()));
    all_pushes_arrive(&hanging, &moved).await;
    eprintln!("{} moves arrived at each receiver, {kills} nodes were killed", moved.len());
}

async fn all_arrive(name: &str, receiver: &Receiver, moved: &[Moved]) {
    let wanted: BTreeSet<&Moved> = moved.iter().collect();
    let what = format!("every move arrives at {name}");
    wait_until(&what, ARRIVES_WITHIN, async || {
        let told = told(&receiver.received());
        let here: BTreeSet<&Moved> = told.iter().map(|told| &told.moved).collect();
        wanted.is_subset(&here)
    })
    .await;
}

/// From 1 in each repository.
fn numbers_have_no_gap(name: &str, told: &[Told]) {
    let mut numbers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for told in told {
        let is_new = numbers.entry(&told.moved.repository).or_default().insert(told.sequence);
        assert!(is_new, "{name} was given one number for two events: {told:?}");
    }
    for (repository, numbers) in numbers {
        let last = *numbers.last().unwrap();
        assert_eq!(numbers.len() as u64, last, "{name}: numbers of {repository} have a gap: {numbers:?}");
    }
}

async fn the_last_number_of_a_tag_is_the_truth(name: &str, told: &[Told], client: &Client) {
    let mut last: BTreeMap<(&str, &str), &Told> = BTreeMap::new();
    for told in told {
        let key = (told.moved.repository.as_str(), told.moved.tag.as_str());
        let known = last.entry(key).or_insert(told);
        if known.sequence < told.sequence {
            *known = told;
        }
    }
    assert!(!last.is_empty());
    for ((repository, tag), told) in last {
        let head = client.head(&format!("/v2/{repository}/manifests/{tag}")).expect(200).await;
        assert_eq!(head.must_have("docker-content-digest"), told.moved.digest, "{name}: {repository}:{tag}");
    }
}

/// A receiver that is well gets the moves of a repository in the order of their numbers.
fn first_attempts_are_in_order(told: &[Told]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for told in told {
        let last = last.entry(&told.moved.repository).or_default();
        assert_eq!(told.sequence, *last + 1, "out of order: {told:?}");
        *last = told.sequence;
    }
}

async fn all_pushes_arrive(receiver: &Receiver, moved: &[Moved]) {
    let wanted: BTreeSet<Moved> = moved.iter().cloned().collect();
    wait_until("every push arrives in the envelope of the Go registry", ARRIVES_WITHIN, async || {
        let received = receiver.received();
        let taken = received.iter().filter(|call| call.status.is_some());
        let here: BTreeSet<Moved> = taken.filter_map(|call| pushed(&call.json())).collect();
        wanted.is_subset(&here)
    })
    .await;
}

fn pushed(envelope: &serde_json::Value) -> Option<Moved> {
    let event = &envelope["events"][0];
    let target = &event["target"];
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    (event["action"] == "push").then_some(())?;
    Some(Moved {
        repository: text(&target["repository"])?,
        tag: text(&target["tag"])?,
        digest: text(&target["digest"])?,
    })
}
