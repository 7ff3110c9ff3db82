//! A client that pushes, mounts, pulls, attaches, retags and deletes at random, and knows what must be there: what a soak is
//! made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use registry_core::digest::Digest;

use crate::{Client, ClientError, Content, Image, ImageOptions, Program, Random, ServerOptions, eventually};

/// How many clients there are at once.
const WORKERS: u64 = 4;

/// How long a client may rely on what it was told.
const LEASE: Duration = Duration::from_secs(2);

/// How many contents there are: few, so that the same are pushed, deleted and mounted all the time.
const IMAGES: u64 = 12;

impl ServerOptions {
    /// Garbage is collected all the time, and nothing is kept for longer than seconds.
    #[must_use]
    pub fn collecting_all_the_time(self) -> ServerOptions {
        self.variable("REGISTRY_GC_LEASE", "2s")
            .variable("REGISTRY_GC_GRACE", "1s")
            .variable("REGISTRY_GC_UNDELETE_WINDOW", "0s")
            .variable("REGISTRY_GC_UNTAGGED", "delete")
            .variable("REGISTRY_GC_INTERVAL", "5ms")
            .variable("REGISTRY_GC_RATE", "{candidates: 0, deletes: 0}")
            .variable("REGISTRY_GC_SWEEP", "{interval: 1s, age: 0s, delete: true}")
            // Counted, and never refused: the check at the end compares.
            .variable("REGISTRY_QUOTAS", "[{tags: 1000000000}, {prefix: soak/, tags: 1000000000}]")
    }
}

/// What a soak came to.
#[derive(Debug)]
pub struct Soaked {
    /// The clients, with what each knows to be there.
    pub workers: Vec<SoakWorker>,
    /// How many operations they did.
    pub operations: u64,
    /// How many collections ran beside the servers.
    pub collections: u64,
}

impl Soaked {
    /// Has clients of servers that share everything at work for so long, while two collectors run beside them; each request goes
    /// to any of the servers, which must answer with relative URLs if there are several.
    ///
    /// # Panics
    /// If an image breaks, something is gone that was promised to be there, or a collector fails.
    pub async fn run(seed: u64, duration: Duration, clients: &[Client], options: &ServerOptions) -> Soaked {
        let stop = Arc::new(AtomicBool::new(false));
        let reconnected = || clients.iter().map(Client::reconnected).collect::<Vec<_>>();
        let at_work: Vec<_> = SoakWorker::several(seed)
            .into_iter()
            .map(|worker| tokio::spawn(worker.work(reconnected(), stop.clone())))
            .collect();
        let collectors: Vec<_> =
            (0..2).map(|_| tokio::spawn(collect(options.clone(), stop.clone()))).collect();
        tokio::time::sleep(duration).await;
        stop.store(true, Relaxed);
        let (mut workers, mut collections) = (Vec::new(), 0);
        for worker in at_work {
            workers.push(worker.await.expect("no image breaks"));
        }
        for collector in collectors {
            collections += collector.await.expect("collectors do not fail");
        }
        let operations = workers.iter().map(|worker| worker.done).sum();
        Soaked { workers, operations, collections }
    }
}

/// A collector that begins anew as soon as it is done; how often it did.
async fn collect(options: ServerOptions, stop: Arc<AtomicBool>) -> u64 {
    let mut count = 0;
    while !stop.load(Relaxed) {
        let output = options.run(Program::Gc, &[]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        count += 1;
    }
    count
}

/// A client with a repository of its own, and what must be in it.
#[derive(Debug)]
pub struct SoakWorker {
    repository: String,
    number: u64,
    random: Random,
    tags: BTreeMap<String, Image>,
    /// What was asked for when the server died: done or not.
    unsure: BTreeSet<String>,
    /// Uploads that were begun and may never have ended.
    left_behind: Vec<String>,
    done: u64,
}

impl SoakWorker {
    /// As many as there are at once.
    pub fn several(seed: u64) -> Vec<SoakWorker> {
        (0..WORKERS).map(|number| SoakWorker::new(seed, number)).collect()
    }

    fn new(seed: u64, number: u64) -> SoakWorker {
        SoakWorker {
            repository: format!("soak/worker{number}"),
            number,
            random: Random::seeded(seed.wrapping_mul(1000).wrapping_add(number)),
            tags: BTreeMap::new(),
            unsure: BTreeSet::new(),
            left_behind: Vec::new(),
            done: 0,
        }
    }

    /// Works until it is told to stop, or a server is gone.
    ///
    /// # Panics
    /// If anything is not as it must be.
    pub async fn work(mut self, clients: Vec<Client>, stop: Arc<AtomicBool>) -> SoakWorker {
        static OPERATIONS: AtomicU64 = AtomicU64::new(0);
        let nodes = Nodes { clients, random: self.random.clone().into() };
        while !stop.load(Relaxed) {
            let tag = format!("t{}", self.random.within(0..4));
            let result = match self.random.within(0..10) {
                0..=3 => self.push(&nodes, &tag).await,
                4 => self.retag(&nodes, &tag).await,
                5 => self.delete_tag(&nodes, &tag).await,
                6 => self.delete_manifest(&nodes, &tag).await,
                7 => self.attach(&nodes, &tag).await,
                _ => self.pull(&nodes, &tag).await,
            };
            match result {
                Ok(()) => self.done += 1,
                Err(error) if error.is_disconnect() => return self,
                Err(error) => panic!("{}, operation {}: {error}", self.repository, OPERATIONS.load(Relaxed)),
            }
            OPERATIONS.fetch_add(1, Relaxed);
        }
        self
    }

    fn image(&mut self) -> Image {
        let seed = self.random.within(0..IMAGES);
        ImageOptions { layers_bytes: vec![3000, 20_000], ..ImageOptions::seeded(seed) }.build()
    }

    /// As docker does: what is there already, or is at a neighbour's, is not sent.
    async fn push(&mut self, nodes: &Nodes, tag: &str) -> Result<(), ClientError> {
        let image = self.image();
        let begun = Instant::now();
        for blob in &image.blobs {
            let neighbour = (self.number + 1) % WORKERS;
            let mount = format!(
                "/v2/{}/blobs/uploads/?mount={}&from=soak/worker{neighbour}",
                self.repository, blob.digest
            );
            let head =
                nodes.any().head(&format!("/v2/{}/blobs/{}", self.repository, blob.digest)).send().await?;
            if head.status == 200 {
                continue;
            }
            if self.random.one_in(2) {
                let mounted = nodes.any().post(&mount).send().await?;
                if mounted.status == 201 {
                    continue;
                }
                let location = mounted.location().to_owned();
                self.left_behind.push(location.clone());
                nodes.any().delete(&location).send().await?;
                self.left_behind.pop();
            }
            self.upload(nodes, blob).await?;
        }
        self.put(nodes, tag, &image, begun).await
    }

    async fn upload(&mut self, nodes: &Nodes, blob: &Content) -> Result<(), ClientError> {
        let session = nodes.any().begin_upload(&self.repository).await?;
        self.left_behind.push(session.location.clone());
        nodes.any().finish_upload(&session, &blob.digest, blob.bytes.clone()).await?;
        self.left_behind.pop();
        Ok(())
    }

    /// What was promised within the lease must be there; a client that is slower begins anew.
    async fn put(
        &mut self,
        nodes: &Nodes,
        tag: &str,
        image: &Image,
        begun: Instant,
    ) -> Result<(), ClientError> {
        self.unsure.insert(tag.to_owned());
        let result = nodes.any().push_manifest(&self.repository, tag, &image.manifest).await;
        match result {
            Err(error) if error.status() == Some(400) && begun.elapsed() > LEASE => {
                eprintln!("slower than the lease: {error}");
            }
            Err(error) => return Err(error),
            Ok(_) => drop(self.tags.insert(tag.to_owned(), image.clone())),
        }
        self.unsure.remove(tag);
        Ok(())
    }

    async fn retag(&mut self, nodes: &Nodes, tag: &str) -> Result<(), ClientError> {
        let Some(image) = self.tags.values().next().cloned() else { return Ok(()) };
        self.put(nodes, tag, &image, Instant::now()).await
    }

    async fn delete_tag(&mut self, nodes: &Nodes, tag: &str) -> Result<(), ClientError> {
        if !self.tags.contains_key(tag) {
            return Ok(());
        }
        self.unsure.insert(tag.to_owned());
        nodes.any().delete(&format!("/v2/{}/manifests/{tag}", self.repository)).want(202).await?;
        self.unsure.remove(tag);
        self.tags.remove(tag);
        Ok(())
    }

    async fn delete_manifest(&mut self, nodes: &Nodes, tag: &str) -> Result<(), ClientError> {
        let Some(image) = self.tags.get(tag) else { return Ok(()) };
        let digest = image.manifest.digest;
        let tagged = |(tag, image): (&String, &Image)| (image.manifest.digest == digest).then(|| tag.clone());
        let tags: Vec<String> = self.tags.iter().filter_map(tagged).collect();
        self.unsure.extend(tags.iter().cloned());
        nodes.any().delete(&format!("/v2/{}/manifests/{digest}", self.repository)).want(202).await?;
        for tag in tags {
            self.unsure.remove(&tag);
            self.tags.remove(&tag);
        }
        Ok(())
    }

    fn signature_of(&self, image: &Image) -> Image {
        Image::referrer(1000 + self.number, image.manifest.descriptor(), "test/signature")
    }

    /// A signature that is kept by its subject alone, and goes with it.
    async fn attach(&mut self, nodes: &Nodes, tag: &str) -> Result<(), ClientError> {
        let Some(image) = self.tags.get(tag).cloned() else { return Ok(()) };
        let signature = self.signature_of(&image);
        let begun = Instant::now();
        for blob in &signature.blobs {
            let head =
                nodes.any().head(&format!("/v2/{}/blobs/{}", self.repository, blob.digest)).send().await?;
            if head.status != 200 {
                self.upload(nodes, blob).await?;
            }
        }
        let digest = signature.manifest.digest.to_string();
        let pushed = nodes.any().push_manifest(&self.repository, &digest, &signature.manifest).await;
        match pushed {
            Err(error) if error.status() == Some(400) && begun.elapsed() > LEASE => return Ok(()),
            pushed => pushed?,
        };
        let listed = nodes.any().get(&format!("/v2/{}/referrers/{}", self.repository, image.manifest.digest));
        let listed = listed.want(200).await?;
        assert!(listed.text().contains(&digest), "{}", listed.text());
        nodes.any().pull(&self.repository, &digest, &signature).await
    }

    async fn pull(&mut self, nodes: &Nodes, tag: &str) -> Result<(), ClientError> {
        match self.tags.get(tag) {
            Some(image) => nodes.any().pull(&self.repository, tag, image).await,
            None => Ok(()),
        }
    }

    /// Pulls all that must be there from every server; its blobs and their bytes.
    async fn reachable(&self, clients: &[Client]) -> BTreeMap<Digest, u64> {
        let mut reachable = BTreeMap::new();
        for (tag, image) in &self.tags {
            for client in clients {
                let pulled = client.pull(&self.repository, tag, image).await;
                pulled.unwrap_or_else(|error| panic!("{}:{tag}: {error}", self.repository));
            }
            reachable.extend(image.blobs.iter().map(|blob| (blob.digest, blob.bytes.len() as u64)));
            let referrers = format!("/v2/{}/referrers/{}", self.repository, image.manifest.digest);
            let referrers = clients[0].get(&referrers).expect(200).await.json();
            if !referrers["manifests"].as_array().expect("referrers are a list").is_empty() {
                let signature = self.signature_of(image);
                reachable.extend(signature.blobs.iter().map(|blob| (blob.digest, blob.bytes.len() as u64)));
            }
        }
        reachable
    }

    /// Finds out what became of what was asked for when the server died.
    ///
    /// # Panics
    /// If something is missing that was acknowledged.
    pub async fn settle(&mut self, client: &Client) {
        for tag in std::mem::take(&mut self.unsure) {
            let head = client
                .head(&format!("/v2/{}/manifests/{tag}", self.repository))
                .send()
                .await
                .expect("it can be asked for");
            if head.status != 200 {
                self.tags.remove(&tag);
                continue;
            }
            let digest: Digest = head.must_have("docker-content-digest").parse().expect("a digest is named");
            let known = (0..IMAGES).map(|seed| {
                ImageOptions { layers_bytes: vec![3000, 20_000], ..ImageOptions::seeded(seed) }.build()
            });
            let image = known
                .into_iter()
                .find(|image| image.manifest.digest == digest)
                .expect("it was pushed by this client");
            self.tags.insert(tag, image);
        }
        for (tag, image) in &self.tags {
            let pulled = client.pull(&self.repository, tag, image).await;
            pulled.unwrap_or_else(|error| panic!("{}:{tag}: {error}", self.repository));
        }
    }
}

/// Everything that is tagged can be pulled from every server, `fsck --deep` finds nothing, and no other byte is in the store, of
/// which `stored` counts the blobs and their bytes.
///
/// # Panics
/// If that is not so.
pub async fn nothing_but_what_is_reachable_is_left(
    workers: &[SoakWorker],
    clients: &[Client],
    options: &ServerOptions,
    stored: impl Fn() -> (usize, u64),
) {
    let mut reachable = BTreeMap::new();
    for worker in workers {
        reachable.extend(worker.reachable(clients).await);
    }
    let expected = (reachable.len(), reachable.values().sum::<u64>());
    // Uploads that nobody goes on with are given up after days; here they are cancelled.
    eventually("only what is reachable is in the store", async || {
        options.run(Program::Gc, &[]).await;
        for upload in workers.iter().flat_map(|worker| &worker.left_behind) {
            let _ = clients[0].delete(upload).send().await;
        }
        (stored() == expected).then_some(())
    })
    .await;
    let output = options.run(Program::Registry, &["fsck", "--deep"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The servers, any of which will do.
struct Nodes {
    clients: Vec<Client>,
    random: parking_lot::Mutex<Random>,
}

impl Nodes {
    fn any(&self) -> &Client {
        let number = self.random.lock().within(0..self.clients.len() as u64);
        &self.clients[number as usize]
    }
}
