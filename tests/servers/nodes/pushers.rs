//! Clients that push image after image whatever goes wrong, each again until it is acknowledged, and remember what was.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use registry_testing::{Client, ClientError, Content, Image, ImageOptions, Random, UploadSession};
use tokio::task::JoinHandle;

/// How many push at once.
const PUSHERS: u64 = 6;

/// Nothing that goes wrong lasts that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An acknowledged image and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) image: Image,
}

pub(crate) struct Pushers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<(Vec<Acknowledged>, Vec<String>)>>,
}

struct Shared {
    lease: Duration,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    /// What was answered instead of success, and how often.
    refusals: Mutex<BTreeMap<String, u64>>,
}

impl Pushers {
    /// Clients of these nodes, which may rely for `lease` on what they were told.
    pub(crate) fn start(clients: &[Client], lease: Duration) -> Pushers {
        let shared = Arc::new(Shared {
            lease,
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            refusals: Mutex::default(),
        });
        let pusher = |number| Pusher {
            number,
            nodes: clients.iter().map(Client::reconnected).collect(),
            only: None,
            next: number as usize,
            random: Random::seeded(number),
            left_behind: Vec::new(),
            shared: shared.clone(),
        };
        let tasks = (0..PUSHERS).map(|number| tokio::spawn(pusher(number).work())).collect();
        Pushers { shared, tasks }
    }

    /// Waits until so many more are acknowledged.
    pub(crate) async fn go_on(&self, more: u64) {
        let (begun, wanted) = (Instant::now(), self.shared.acknowledged.load(Relaxed) + more);
        while self.shared.acknowledged.load(Relaxed) < wanted {
            assert!(begun.elapsed() < PATIENCE, "pushes do not go on: {:?}", self.refusals());
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a client found something wrong");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn refusals(&self) -> BTreeMap<String, u64> {
        self.shared.refusals.lock().unwrap().clone()
    }

    /// Lets each finish its image; all that was acknowledged, and the uploads that were begun and not finished.
    pub(crate) async fn stop(self) -> (Vec<Acknowledged>, Vec<String>) {
        self.shared.stop.store(true, Relaxed);
        let (mut all, mut left_behind) = (Vec::new(), Vec::new());
        for task in self.tasks {
            let (acknowledged, unfinished) = task.await.expect("a client found something wrong");
            all.extend(acknowledged);
            left_behind.extend(unfinished);
        }
        (all, left_behind)
    }
}

struct Pusher {
    number: u64,
    nodes: Vec<Client>,
    /// The node that all requests go to; otherwise they go round.
    only: Option<usize>,
    next: usize,
    random: Random,
    /// Uploads that were begun and may never have ended.
    left_behind: Vec<String>,
    shared: Arc<Shared>,
}

impl Pusher {
    async fn work(mut self) -> (Vec<Acknowledged>, Vec<String>) {
        let (repository, mut all) = (format!("team/app{}", self.number), Vec::new());
        for made in 0.. {
            if self.shared.stop.load(Relaxed) {
                break;
            }
            let (tag, image) = (format!("v{made}"), self.image(made));
            self.push_until_acknowledged(&repository, &tag, &image).await;
            self.is_seen_elsewhere(&repository, &tag, &image).await;
            all.push(Acknowledged { repository: repository.clone(), tag, image });
            self.shared.acknowledged.fetch_add(1, Relaxed);
        }
        (all, self.left_behind)
    }

    /// Now and then with a layer that the store gets in several parts.
    fn image(&self, made: u64) -> Image {
        let large = if made % 4 == 3 { 11_000_000 } else { 700_000 };
        let seed = self.number * 1_000_000 + made;
        ImageOptions { layers_bytes: vec![3_000, large], ..ImageOptions::seeded(seed) }.build()
    }

    async fn push_until_acknowledged(&mut self, repository: &str, tag: &str, image: &Image) {
        let first = Instant::now();
        loop {
            // A load balancer passes over a node that does not answer; here some attempts are made at one node.
            self.only =
                self.random.one_in(2).then(|| self.random.within(0..self.nodes.len() as u64) as usize);
            let begun = Instant::now();
            let Err(error) = self.push(repository, tag, image).await else { return };
            self.is_a_refusal_or_panic(&error, begun);
            assert!(first.elapsed() < PATIENCE, "{repository}:{tag} is never acknowledged: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nothing but this: no 500; no 404 of something that is there; nothing unknown that was promised.
    fn is_a_refusal_or_panic(&self, error: &ClientError, begun: Instant) {
        let is_late = begun.elapsed() > self.shared.lease;
        let what = match error.status() {
            None if error.is_disconnect() => "no connection".to_owned(),
            Some(503) => "503".to_owned(),
            // An upload whose request was lost with its node: it is held for a while, or further than its client believes.
            Some(status @ (409 | 416)) => status.to_string(),
            // Given up, since nobody went on with it for so long.
            Some(status @ (400 | 404)) if is_late => format!("{status}, slower than the lease"),
            _ => panic!("team/app{}, after {:?}: {error}", self.number, begun.elapsed()),
        };
        *self.shared.refusals.lock().unwrap().entry(what).or_default() += 1;
    }

    async fn push(&mut self, repository: &str, tag: &str, image: &Image) -> Result<(), ClientError> {
        for blob in &image.blobs {
            let path = format!("/v2/{repository}/blobs/{}", blob.digest);
            let head = self.node().head(&path).send().await?;
            match head.status.as_u16() {
                200 => {}
                404 => self.upload(repository, blob).await?,
                _ => {
                    let (request, body) = (format!("HEAD {path}"), head.text());
                    return Err(ClientError::Status { request, status: head.status, body });
                }
            }
        }
        self.node().push_manifest(repository, tag, &image.manifest).await?;
        self.node().push_manifest(repository, "latest", &image.manifest).await.map(drop)
    }

    async fn upload(&mut self, repository: &str, blob: &Content) -> Result<(), ClientError> {
        let mut session = self.node().begin_upload(repository).await?;
        self.left_behind.push(session.location.clone());
        let middle = blob.bytes.len() / 2;
        for half in [blob.bytes.slice(..middle), blob.bytes.slice(middle..)] {
            session = UploadSession::of(&self.node().patch(&session.location).body(half).want(202).await?)?;
        }
        self.node().finish_upload(&session, &blob.digest, Bytes::new()).await?;
        self.left_behind.pop();
        Ok(())
    }

    /// The next request at every node knows the tag, if the node knows anything.
    async fn is_seen_elsewhere(&self, repository: &str, tag: &str, image: &Image) {
        for (number, node) in self.nodes.iter().enumerate() {
            for reference in [tag, "latest"] {
                let Ok(head) = node.head(&format!("/v2/{repository}/manifests/{reference}")).send().await
                else {
                    continue;
                };
                match head.status.as_u16() {
                    200 => assert_eq!(
                        head.must_have("docker-content-digest"),
                        image.manifest.digest.to_string(),
                        "{repository}:{reference} is an older one at node {number}"
                    ),
                    status => assert_eq!(status, 503, "{repository}:{reference} at node {number}"),
                }
            }
        }
    }

    fn node(&mut self) -> &Client {
        self.next = (self.next + 1) % self.nodes.len();
        &self.nodes[self.only.unwrap_or(self.next)]
    }
}
