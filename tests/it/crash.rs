//! A server that is killed at random moments under load loses nothing that it acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use registry_core::digest::Digest;
use registry_testing::{
    Client, ClientError, Content, Image, ImageOptions, Random, ServerOptions, UploadSession, eventually,
};
use serde_json::Value;

use crate::number;

/// How often the server is killed, unless `REGISTRY_CRASH_KILLS` says otherwise.
const KILLS_DEFAULT: u64 = 10;

/// How many clients push at once.
const WORKERS: u64 = 4;

/// After how many kills everything is pulled, and not only what is new.
const VERIFY_ALL_EVERY: u64 = 10;

/// How much is acknowledged at most before the server dies, and how much longer it lives then.
const ACKNOWLEDGED_MAX: u64 = 40;
const LIFE_US_MAX: u64 = 30_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost() {
    let kills = number("REGISTRY_CRASH_KILLS").unwrap_or(KILLS_DEFAULT);
    let seed = number("REGISTRY_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("REGISTRY_CRASH_SEED={seed} REGISTRY_CRASH_KILLS={kills}");
    let mut random = Random::seeded(seed);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|number| Worker::new(seed, number)).collect();
    let options = ServerOptions::new();
    let mut server = options.start().await;
    for kill in 1..=kills {
        let (client, acknowledged) = (server.client(), Arc::new(AtomicU64::new(0)));
        let work = |worker: Worker| tokio::spawn(worker.work(client.reconnected(), acknowledged.clone()));
        let at_work: Vec<_> = workers.into_iter().map(work).collect();
        let enough = random.within(0..ACKNOWLEDGED_MAX);
        eventually("enough is acknowledged", async || (acknowledged.load(Relaxed) >= enough).then_some(()))
            .await;
        // Not waiting for anything: this is the random moment.
        tokio::time::sleep(Duration::from_micros(random.within(0..LIFE_US_MAX))).await;
        server.kill().await;
        workers = Vec::new();
        for worker in at_work {
            workers.push(worker.await.unwrap());
        }
        server = options.start().await;
        let told = |error| panic!("seed {seed}, kill {kill}: {error}");
        for worker in &mut workers {
            worker.verify(&server.client()).await.unwrap_or_else(told);
            // What was verified before is looked at again now and then, and all of it at the end.
            if kill % VERIFY_ALL_EVERY == 0 || kill == kills {
                worker.verify_all(&server.client()).await.unwrap_or_else(told);
            }
        }
    }
    let images: usize = workers.iter().map(|worker| worker.manifests.len()).sum();
    let blobs: usize = workers.iter().map(|worker| worker.blobs.len()).sum();
    eprintln!("{images} images and {blobs} large blobs are as they were acknowledged");
    assert!(images > 0, "nothing was pushed between the kills");
}

/// A client with a repository of its own, and what the registry has acknowledged to it.
struct Worker {
    repository: String,
    random: Random,
    seed: u64,
    made: u64,
    tags: BTreeMap<String, Digest>,
    manifests: BTreeMap<Digest, Image>,
    /// What was acknowledged and not pulled yet.
    unverified: Vec<Digest>,
    /// What was asked for when the server died: done or not.
    unsure: Option<Change>,
    upload: Option<LargeUpload>,
    blobs: Vec<Content>,
}

/// Something that a client asks for.
#[derive(Clone)]
enum Change {
    Push { tag: String, image: Image },
    DeleteTag { tag: String },
    DeleteManifest { digest: Digest },
}

/// An upload in many chunks.
struct LargeUpload {
    blob: Content,
    session: UploadSession,
    /// How much may have arrived.
    sent_bytes: u64,
    is_closing: bool,
}

impl Worker {
    fn new(seed: u64, number: u64) -> Worker {
        Worker {
            repository: format!("crash/worker{number}"),
            random: Random::seeded(seed.wrapping_mul(1000).wrapping_add(number)),
            seed,
            made: 0,
            tags: BTreeMap::new(),
            manifests: BTreeMap::new(),
            unverified: Vec::new(),
            unsure: None,
            upload: None,
            blobs: Vec::new(),
        }
    }

    /// Works until the server is gone.
    async fn work(mut self, client: Client, acknowledged: Arc<AtomicU64>) -> Worker {
        loop {
            let result = if self.random.one_in(3) {
                self.upload_more(&client).await
            } else {
                self.change(&client).await
            };
            match result {
                Ok(()) => drop(acknowledged.fetch_add(1, Relaxed)),
                Err(error) if error.is_disconnect() => return self,
                Err(error) => panic!("{}: {error}", self.repository),
            }
        }
    }

    async fn change(&mut self, client: &Client) -> Result<(), ClientError> {
        let change = self.choose();
        if let Change::Push { image, .. } = &change {
            for blob in &image.blobs {
                client.push_blob(&self.repository, blob).await?;
            }
        }
        self.unsure = Some(change.clone());
        let manifests = format!("/v2/{}/manifests", self.repository);
        match &change {
            Change::Push { tag, image } => {
                client.push_manifest(&self.repository, tag, &image.manifest).await?;
            }
            Change::DeleteTag { tag } => drop(client.delete(&format!("{manifests}/{tag}")).want(202).await?),
            Change::DeleteManifest { digest } => {
                client.delete(&format!("{manifests}/{digest}")).want(202).await?;
            }
        }
        self.unsure = None;
        self.apply(change);
        Ok(())
    }

    /// A new image, an old one under another tag, or a deletion.
    fn choose(&mut self) -> Change {
        let tags: Vec<String> = self.tags.keys().cloned().collect();
        let digests: Vec<Digest> = self.manifests.keys().copied().collect();
        let tag = format!("t{}", self.random.within(0..6));
        match self.random.within(0..10) {
            0 if !tags.is_empty() => Change::DeleteTag { tag: self.random.pick(&tags).clone() },
            1 if !digests.is_empty() => Change::DeleteManifest { digest: *self.random.pick(&digests) },
            2 | 3 if !digests.is_empty() => {
                Change::Push { tag, image: self.manifests[self.random.pick(&digests)].clone() }
            }
            _ => Change::Push { tag, image: self.new_image() },
        }
    }

    /// Every second image has the same layers as one of another worker, so that they push the same bytes at once.
    fn new_image(&mut self) -> Image {
        self.made += 1;
        let seed = if self.made.is_multiple_of(2) { self.seed ^ self.made } else { self.random.number() };
        let layers_bytes = vec![3000, 40_000 + self.made as usize];
        ImageOptions { layers_bytes, ..ImageOptions::seeded(seed) }.build()
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Push { tag, image } => {
                self.tags.insert(tag, image.manifest.digest);
                self.unverified.push(image.manifest.digest);
                self.manifests.insert(image.manifest.digest, image);
            }
            Change::DeleteTag { tag } => drop(self.tags.remove(&tag)),
            Change::DeleteManifest { digest } => {
                self.manifests.remove(&digest);
                self.tags.retain(|_, tagged| *tagged != digest);
            }
        }
    }

    async fn upload_more(&mut self, client: &Client) -> Result<(), ClientError> {
        let Some(upload) = &mut self.upload else {
            let blob = Content::random(self.random.number(), 1_500_000);
            let session = client.begin_upload(&self.repository).await?;
            self.upload = Some(LargeUpload { blob, session, sent_bytes: 0, is_closing: false });
            return Ok(());
        };
        let (offset, total) = (upload.session.offset, upload.blob.bytes.len() as u64);
        if offset < total {
            let end = total.min(offset + self.random.within(1..500_000));
            upload.sent_bytes = end;
            let chunk = upload.blob.bytes.slice(offset as usize..end as usize);
            let patch = client
                .patch(&upload.session.location)
                .header("content-range", format!("{offset}-{}", end - 1));
            upload.session = UploadSession::of(&patch.chunked(&chunk, 20_000).want(202).await?)?;
            assert_eq!(upload.session.offset, end);
        } else {
            upload.is_closing = true;
            client.finish_upload(&upload.session, &upload.blob.digest, Bytes::new()).await?;
            self.blobs.extend(self.upload.take().map(|upload| upload.blob));
        }
        Ok(())
    }

    /// Pulls what was acknowledged since the last time, and finds out what became of the rest.
    async fn verify(&mut self, client: &Client) -> Result<(), String> {
        if let Some(change) = self.unsure.take()
            && self.was_done(client, &change).await?
        {
            self.apply(change);
        }
        for digest in std::mem::take(&mut self.unverified) {
            if let Some(image) = self.manifests.get(&digest) {
                self.pull(client, image).await?;
            }
        }
        for (tag, digest) in &self.tags {
            let manifest = &self.manifests[digest].manifest;
            client.pull_manifest(&self.repository, tag, manifest).await.map_err(|error| self.told(error))?;
        }
        self.verify_tags(client).await?;
        self.verify_upload(client).await
    }

    /// Pulls all that was ever acknowledged and not deleted.
    async fn verify_all(&self, client: &Client) -> Result<(), String> {
        for image in self.manifests.values() {
            self.pull(client, image).await?;
        }
        for blob in &self.blobs {
            client.pull_blob(&self.repository, blob).await.map_err(|error| self.told(error))?;
        }
        Ok(())
    }

    async fn pull(&self, client: &Client, image: &Image) -> Result<(), String> {
        let digest = image.manifest.digest.to_string();
        client.pull(&self.repository, &digest, image).await.map_err(|error| self.told(error))
    }

    fn told(&self, error: ClientError) -> String {
        format!("{}: {error}", self.repository)
    }

    /// Whether a change was done. All of it, or nothing.
    async fn was_done(&self, client: &Client, change: &Change) -> Result<bool, String> {
        match change {
            Change::Push { tag, image } => {
                let digest = image.manifest.digest;
                let is_tagged = self.found(client, tag).await == Some(digest);
                let is_there = self.found(client, &digest.to_string()).await.is_some();
                let was_there = self.manifests.contains_key(&digest);
                if is_there != (is_tagged || was_there) {
                    return Err(format!("half a push of {digest} to {tag}: {is_there} {is_tagged}"));
                }
                Ok(is_tagged)
            }
            Change::DeleteTag { tag } => Ok(self.found(client, tag).await.is_none()),
            Change::DeleteManifest { digest } => Ok(self.found(client, &digest.to_string()).await.is_none()),
        }
    }

    /// What a reference leads to.
    async fn found(&self, client: &Client, reference: &str) -> Option<Digest> {
        let head =
            client.head(&format!("/v2/{}/manifests/{reference}", self.repository)).send().await.unwrap();
        (head.status == 200).then(|| head.must_have("docker-content-digest").parse().unwrap())
    }

    /// Exactly the tags that there should be.
    async fn verify_tags(&self, client: &Client) -> Result<(), String> {
        let list = client.get(&format!("/v2/{}/tags/list", self.repository)).send().await.unwrap();
        let listed: Vec<Value> = match list.status.as_u16() {
            404 => Vec::new(),
            _ => list.json()["tags"].as_array().unwrap().clone(),
        };
        let expected: Vec<Value> = self.tags.keys().map(|tag| tag.as_str().into()).collect();
        if listed == expected {
            Ok(())
        } else {
            Err(format!("{}: {listed:?} and not {expected:?}", self.repository))
        }
    }

    /// An upload goes on from where the registry says, which is no earlier than it said before.
    async fn verify_upload(&mut self, client: &Client) -> Result<(), String> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        let path = format!("/v2/{}/blobs/{}", self.repository, upload.blob.digest);
        if upload.is_closing && client.head(&path).send().await.unwrap().status == 200 {
            self.blobs.extend(self.upload.take().map(|upload| upload.blob));
            return Ok(());
        }
        upload.is_closing = false;
        let status = client.upload_status(&upload.session).await.map_err(|error| error.to_string())?;
        let (least, most) = (upload.session.offset, upload.sent_bytes);
        if status.offset < least || status.offset > most {
            return Err(format!(
                "{}: an upload is at {}, not in {least}..={most}",
                self.repository, status.offset
            ));
        }
        upload.session = status;
        Ok(())
    }
}
