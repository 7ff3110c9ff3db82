//! Clients of every kind at once, while collectors run as fast as they can and leases last seconds: no image breaks, and
//! nobody is told that something is gone which was promised to be there. And the same while everything is killed now and
//! then: in the end the bytes on disk are the bytes that can be reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use registry_core::digest::Digest;
use registry_testing::{
    Client, ClientError, Image, ImageOptions, Program, Random, Server, ServerOptions, eventually,
};

use crate::number;

/// How long the soak runs, unless `REGISTRY_SOAK_SECONDS` says otherwise.
const SECONDS_DEFAULT: u64 = 15;

/// How often everything is killed, unless `REGISTRY_SOAK_KILLS` says otherwise.
const KILLS_DEFAULT: u64 = 6;

const WORKERS: u64 = 4;

/// How long a client may rely on what it was told.
const LEASE: Duration = Duration::from_secs(2);

/// How many contents there are: few, so that the same are pushed, deleted and mounted all the time.
const IMAGES: u64 = 12;

fn options() -> ServerOptions {
    ServerOptions::new()
        .variable("REGISTRY_GC_LEASE", "2s")
        .variable("REGISTRY_GC_GRACE", "1s")
        .variable("REGISTRY_GC_UNDELETE_WINDOW", "0s")
        .variable("REGISTRY_GC_UNTAGGED", "delete")
        .variable("REGISTRY_GC_INTERVAL", "5ms")
        .variable("REGISTRY_GC_RATE", "{candidates: 0, deletes: 0}")
        .variable("REGISTRY_GC_SWEEP", "{interval: 1s, age: 0s, delete: true}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_image_breaks_while_collectors_run() {
    let seconds = number("REGISTRY_SOAK_SECONDS").unwrap_or(SECONDS_DEFAULT);
    let seed = number("REGISTRY_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("REGISTRY_SOAK_SEED={seed} REGISTRY_SOAK_SECONDS={seconds}");
    let server = options().start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let at_work: Vec<_> = (0..WORKERS)
        .map(|number| {
            tokio::spawn(Worker::new(seed, number).work(server.client().reconnected(), stop.clone()))
        })
        .collect();
    let collectors: Vec<_> =
        (0..2).map(|_| tokio::spawn(collect(server.options().clone(), stop.clone()))).collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Relaxed);
    let mut workers = Vec::new();
    for worker in at_work {
        workers.push(worker.await.unwrap());
    }
    let mut collections = 0;
    for collector in collectors {
        collections += collector.await.unwrap();
    }
    let done: u64 = workers.iter().map(|worker| worker.done).sum();
    eprintln!("{done} operations and {collections} collections, no image broken, nothing promised was gone");
    assert!(done > 0 && collections > 0);
    nothing_but_what_is_reachable_is_left(&server, &mut workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_servers_and_collectors_leave_no_garbage_and_no_holes() {
    let kills = number("REGISTRY_SOAK_KILLS").unwrap_or(KILLS_DEFAULT);
    let seed = number("REGISTRY_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("REGISTRY_SOAK_SEED={seed} REGISTRY_SOAK_KILLS={kills}");
    let mut random = Random::seeded(seed);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|number| Worker::new(seed, number)).collect();
    let options = options();
    let mut server = options.start().await;
    for _ in 0..kills {
        let stop = Arc::new(AtomicBool::new(false));
        let at_work: Vec<_> = workers
            .into_iter()
            .map(|worker| tokio::spawn(worker.work(server.client().reconnected(), stop.clone())))
            .collect();
        // Collectors that are killed in the middle.
        for _ in 0..random.within(3..8) {
            let mut collector = options.spawn_command(Program::Gc, &[]);
            tokio::time::sleep(Duration::from_millis(random.within(1..150))).await;
            let _ = collector.kill();
            let _ = collector.wait();
        }
        server.kill().await;
        workers = Vec::new();
        for worker in at_work {
            workers.push(worker.await.unwrap());
        }
        server = options.start().await;
        for worker in &mut workers {
            worker.settle(&server.client()).await;
        }
    }
    nothing_but_what_is_reachable_is_left(&server, &mut workers).await;
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

/// Everything that is tagged can be pulled, `fsck --deep` finds nothing, and no other byte is on the disk.
async fn nothing_but_what_is_reachable_is_left(server: &Server, workers: &mut [Worker]) {
    let client = server.client();
    let mut reachable = BTreeMap::new();
    for worker in &*workers {
        for (tag, image) in &worker.tags {
            client.pull(&worker.repository, tag, image).await.unwrap();
            reachable.extend(image.blobs.iter().map(|blob| (blob.digest, blob.bytes.len() as u64)));
            let referrers = format!("/v2/{}/referrers/{}", worker.repository, image.manifest.digest);
            if !client.get(&referrers).expect(200).await.json()["manifests"].as_array().unwrap().is_empty() {
                let signature = worker.signature_of(image);
                reachable.extend(signature.blobs.iter().map(|blob| (blob.digest, blob.bytes.len() as u64)));
            }
        }
    }
    let expected = (reachable.len(), reachable.values().sum::<u64>());
    // Uploads that nobody goes on with are given up after days; here they are cancelled.
    eventually("only what is reachable is on the disk", async || {
        server.options().run(Program::Gc, &[]).await;
        let uploads = workers.iter().flat_map(|worker| &worker.left_behind);
        for upload in uploads {
            let _ = client.delete(upload).send().await;
        }
        (on_disk(server) == expected).then_some(())
    })
    .await;
    let output = server.options().run(Program::Registry, &["fsck", "--deep"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn on_disk(server: &Server) -> (usize, u64) {
    let shards = fs::read_dir(server.data().join("store/blobs")).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    // One may go while it is looked at.
    let sizes = files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len());
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
}

/// A client with a repository of its own, and what must be in it.
struct Worker {
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

impl Worker {
    fn new(seed: u64, number: u64) -> Worker {
        Worker {
            repository: format!("soak/worker{number}"),
            number,
            random: Random::seeded(seed.wrapping_mul(1000).wrapping_add(number)),
            tags: BTreeMap::new(),
            unsure: BTreeSet::new(),
            left_behind: Vec::new(),
            done: 0,
        }
    }

    /// Works until it is told to stop, or the server is gone.
    async fn work(mut self, client: Client, stop: Arc<AtomicBool>) -> Worker {
        static OPERATIONS: AtomicU64 = AtomicU64::new(0);
        while !stop.load(Relaxed) {
            let tag = format!("t{}", self.random.within(0..4));
            let result = match self.random.within(0..10) {
                0..=3 => self.push(&client, &tag).await,
                4 => self.retag(&client, &tag).await,
                5 => self.delete_tag(&client, &tag).await,
                6 => self.delete_manifest(&client, &tag).await,
                7 => self.attach(&client, &tag).await,
                _ => self.pull(&client, &tag).await,
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
    async fn push(&mut self, client: &Client, tag: &str) -> Result<(), ClientError> {
        let image = self.image();
        let begun = Instant::now();
        for blob in &image.blobs {
            let neighbour = (self.number + 1) % WORKERS;
            let mount = format!(
                "/v2/{}/blobs/uploads/?mount={}&from=soak/worker{neighbour}",
                self.repository, blob.digest
            );
            let head = client.head(&format!("/v2/{}/blobs/{}", self.repository, blob.digest)).send().await?;
            if head.status == 200 {
                continue;
            }
            if self.random.one_in(2) {
                let mounted = client.post(&mount).send().await?;
                if mounted.status == 201 {
                    continue;
                }
                let location = mounted.location().to_owned();
                self.left_behind.push(location.clone());
                client.delete(&location).send().await?;
                self.left_behind.pop();
            }
            self.upload(client, blob).await?;
        }
        self.put(client, tag, &image, begun).await
    }

    async fn upload(&mut self, client: &Client, blob: &registry_testing::Content) -> Result<(), ClientError> {
        let session = client.begin_upload(&self.repository).await?;
        self.left_behind.push(session.location.clone());
        client.finish_upload(&session, &blob.digest, blob.bytes.clone()).await?;
        self.left_behind.pop();
        Ok(())
    }

    /// What was promised within the lease must be there; a client that is slower begins anew.
    async fn put(
        &mut self,
        client: &Client,
        tag: &str,
        image: &Image,
        begun: Instant,
    ) -> Result<(), ClientError> {
        self.unsure.insert(tag.to_owned());
        let result = client.push_manifest(&self.repository, tag, &image.manifest).await;
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

    async fn retag(&mut self, client: &Client, tag: &str) -> Result<(), ClientError> {
        let Some(image) = self.tags.values().next().cloned() else { return Ok(()) };
        self.put(client, tag, &image, Instant::now()).await
    }

    async fn delete_tag(&mut self, client: &Client, tag: &str) -> Result<(), ClientError> {
        if !self.tags.contains_key(tag) {
            return Ok(());
        }
        self.unsure.insert(tag.to_owned());
        client.delete(&format!("/v2/{}/manifests/{tag}", self.repository)).want(202).await?;
        self.unsure.remove(tag);
        self.tags.remove(tag);
        Ok(())
    }

    async fn delete_manifest(&mut self, client: &Client, tag: &str) -> Result<(), ClientError> {
        let Some(image) = self.tags.get(tag) else { return Ok(()) };
        let digest = image.manifest.digest;
        let tagged = |(tag, image): (&String, &Image)| (image.manifest.digest == digest).then(|| tag.clone());
        let tags: Vec<String> = self.tags.iter().filter_map(tagged).collect();
        self.unsure.extend(tags.iter().cloned());
        client.delete(&format!("/v2/{}/manifests/{digest}", self.repository)).want(202).await?;
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
    async fn attach(&mut self, client: &Client, tag: &str) -> Result<(), ClientError> {
        let Some(image) = self.tags.get(tag).cloned() else { return Ok(()) };
        let signature = self.signature_of(&image);
        let begun = Instant::now();
        for blob in &signature.blobs {
            let head = client.head(&format!("/v2/{}/blobs/{}", self.repository, blob.digest)).send().await?;
            if head.status != 200 {
                self.upload(client, blob).await?;
            }
        }
        let digest = signature.manifest.digest.to_string();
        let pushed = client.push_manifest(&self.repository, &digest, &signature.manifest).await;
        match pushed {
            Err(error) if error.status() == Some(400) && begun.elapsed() > LEASE => return Ok(()),
            pushed => pushed?,
        };
        let listed = client.get(&format!("/v2/{}/referrers/{}", self.repository, image.manifest.digest));
        let listed = listed.want(200).await?;
        assert!(listed.text().contains(&digest), "{}", listed.text());
        client.pull(&self.repository, &digest, &signature).await
    }

    async fn pull(&mut self, client: &Client, tag: &str) -> Result<(), ClientError> {
        match self.tags.get(tag) {
            Some(image) => client.pull(&self.repository, tag, image).await,
            None => Ok(()),
        }
    }

    /// Finds out what became of what was asked for when the server died.
    async fn settle(&mut self, client: &Client) {
        for tag in std::mem::take(&mut self.unsure) {
            let head = client.head(&format!("/v2/{}/manifests/{tag}", self.repository)).send().await.unwrap();
            if head.status != 200 {
                self.tags.remove(&tag);
                continue;
            }
            let digest: Digest = head.must_have("docker-content-digest").parse().unwrap();
            let known = (0..IMAGES).map(|seed| {
                ImageOptions { layers_bytes: vec![3000, 20_000], ..ImageOptions::seeded(seed) }.build()
            });
            let image = known.into_iter().find(|image| image.manifest.digest == digest).unwrap();
            self.tags.insert(tag, image);
        }
        for (tag, image) in &self.tags {
            client.pull(&self.repository, tag, image).await.unwrap();
        }
    }
}
