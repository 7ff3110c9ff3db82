//! What somebody may do.

use std::sync::{Arc, Mutex};

use registry_collector::MarkError;
use registry_digest::{Algorithm, Digest};
use registry_metadata::{Purpose, traits::*};
use registry_types::{Cause, Manifest, RepositoryName, Tag, UploadId};

use super::random::Random;
use crate::stage::{Answer, Client, collector, image, index, sweep};

/// Few of everything, so that the same is pushed, deleted and mounted all the time.
const REPOSITORIES: [&str; 2] = ["a", "b/c"];
const CONTENTS: usize = 5;
const TAGS: [&str; 3] = ["v1", "v2", "v3"];

/// Sessions that somebody may go on with: where, which, and with which content.
pub(super) type Sessions = Arc<Mutex<Vec<(RepositoryName, UploadId, Vec<u8>)>>>;

/// Somebody with a plan of its own.
pub(super) struct Act {
    pub(super) client: Client,
    pub(super) random: Random,
    pub(super) sessions: Sessions,
}

/// What there is to do, and how often of a hundred times.
const ACTS: [(&str, usize); 14] = [
    ("push", 24),
    ("index", 6),
    ("attach", 5),
    ("retag", 6),
    ("head", 8),
    ("mount", 5),
    ("read", 6),
    ("go on", 5),
    ("delete", 9),
    ("restore", 3),
    ("delete a repository", 1),
    ("expire", 3),
    ("collect", 15),
    ("sweep", 4),
];

/// One of them.
pub(super) fn choose(random: &mut Random) -> &'static str {
    let mut left = random.below(100);
    for (act, percent) in ACTS {
        match left.checked_sub(percent) {
            None => return act,
            Some(rest) => left = rest,
        }
    }
    unreachable!("they are a hundred in all")
}

impl Act {
    /// What goes wrong on the way is as it is for clients; what is wrong is in the ledger.
    pub(super) async fn run(mut self, act: &'static str) {
        let _ = match act {
            "push" => self.push_image(false).await,
            "attach" => self.push_image(true).await,
            "index" => self.push_index().await,
            "retag" => self.retag().await,
            "head" => self.head().await,
            "mount" => self.mount().await,
            "read" => self.read().await,
            "go on" => self.go_on().await,
            "delete" => self.delete().await,
            "restore" => self.restore().await,
            "delete a repository" => self.delete_repository().await,
            "expire" => self.expire().await,
            "collect" => self.collect().await,
            _ => self.sweep().await,
        };
    }

    fn repository(&mut self) -> RepositoryName {
        self.random.pick(&REPOSITORIES).parse().unwrap()
    }

    fn content(&mut self) -> Vec<u8> {
        let number = self.random.below(CONTENTS);
        // One that is no image's config, some that are, of other lengths.
        format!("{{\"content\":{number}}}").repeat(1 + number % 2).into_bytes()
    }

    fn tags(&mut self) -> Vec<&'static str> {
        if self.random.percent(60) { vec![*self.random.pick(&TAGS)] } else { Vec::new() }
    }

    /// A manifest that was pushed to the repository and not deleted, as far as anybody knows.
    fn known(&mut self, repository: &RepositoryName) -> Option<(Digest, Manifest)> {
        let ledger = self.client.metadata.ledger.lock().unwrap();
        let here = ledger.manifests.iter().filter(|((at, _), _)| at == repository);
        let here: Vec<_> = here.map(|((_, digest), manifest)| (*digest, manifest.clone())).collect();
        drop(ledger);
        (!here.is_empty()).then(|| self.random.pick(&here).clone())
    }

    /// Looks whether it is there, mounts it, or pushes it, in one request or in some.
    async fn bring(&mut self, repository: &RepositoryName, content: &[u8]) -> Answer<Digest> {
        let digest = Digest::of(Algorithm::Sha256, content);
        if self.random.percent(70) && self.client.head(repository, &digest).await? {
            return Ok(digest);
        }
        let from = self.repository();
        if self.random.percent(20)
            && from != *repository
            && self.client.mount(&from, repository, &digest).await?
        {
            return Ok(digest);
        }
        let id = self.client.start(repository).await?;
        self.sessions.lock().unwrap().push((repository.clone(), id, content.to_vec()));
        if self.random.percent(40) {
            self.client.append(repository, id, content).await?;
        }
        if self.random.percent(5) {
            self.client.metadata.cancel_upload(repository, &id).await?;
        }
        self.client.finish(repository, id, content).await?;
        Ok(digest)
    }

    async fn push_image(&mut self, has_subject: bool) -> Answer<()> {
        let repository = self.repository();
        let subject = if has_subject { self.known(&repository).map(|(digest, _)| digest) } else { None };
        let contents = [self.content(), self.content()];
        let config = self.bring(&repository, &contents[0]).await?;
        let layer = self.bring(&repository, &contents[1]).await?;
        let tags = self.tags();
        self.client.put(&repository, &image(&config, &layer, subject.as_ref()), &tags).await?;
        Ok(())
    }

    async fn push_index(&mut self) -> Answer<()> {
        let repository = self.repository();
        let children: Vec<Digest> = (0..2).filter_map(|_| Some(self.known(&repository)?.0)).collect();
        let tags = self.tags();
        self.client.put(&repository, &index(&children), &tags).await?;
        Ok(())
    }

    async fn retag(&mut self) -> Answer<()> {
        let repository = self.repository();
        let Some((_, manifest)) = self.known(&repository) else { return Ok(()) };
        let tag = *self.random.pick(&TAGS);
        self.client.put(&repository, &manifest, &[tag]).await?;
        Ok(())
    }

    /// Of a blob; of a manifest by digest or tag, and then pushes what uses it.
    async fn head(&mut self) -> Answer<()> {
        let repository = self.repository();
        if self.random.percent(50) {
            let digest = Digest::of(Algorithm::Sha256, &self.content());
            self.client.head(&repository, &digest).await?;
            return Ok(());
        }
        let reference = match self.known(&repository) {
            Some((digest, _)) if self.random.percent(50) => digest.into(),
            _ => self.random.pick(&TAGS).parse::<Tag>().unwrap().into(),
        };
        let found = self.client.metadata.manifest(&repository, &reference, Purpose::Promise).await?;
        if let Some(found) = found {
            self.client.put(&repository, &index(&[found.digest]), &[]).await?;
        }
        Ok(())
    }

    async fn mount(&mut self) -> Answer<()> {
        let (from, to) = (self.repository(), self.repository());
        let digest = Digest::of(Algorithm::Sha256, &self.content());
        self.client.mount(&from, &to, &digest).await?;
        Ok(())
    }

    async fn read(&mut self) -> Answer<()> {
        let repository = self.repository();
        let digest = Digest::of(Algorithm::Sha256, &self.content());
        self.client.read(&repository, &digest).await
    }

    /// With an upload that somebody else began.
    async fn go_on(&mut self) -> Answer<()> {
        let sessions = self.sessions.lock().unwrap().clone();
        if sessions.is_empty() {
            return Ok(());
        }
        let (repository, id, content) = self.random.pick(&sessions);
        if self.random.percent(30) {
            self.client.append(repository, *id, content).await?;
        }
        self.client.finish(repository, *id, content).await
    }

    async fn delete(&mut self) -> Answer<()> {
        let repository = self.repository();
        let metadata = self.client.metadata.clone();
        match self.random.below(3) {
            0 => {
                metadata
                    .delete_tag(&repository, &self.random.pick(&TAGS).parse().unwrap(), &Cause::UNKNOWN)
                    .await?
            }
            1 => metadata.delete_blob(&repository, &Digest::of(Algorithm::Sha256, &self.content())).await?,
            _ => {
                let Some((digest, _)) = self.known(&repository) else { return Ok(()) };
                metadata.delete_manifest(&repository, &digest, &Cause::UNKNOWN).await?;
            }
        }
        Ok(())
    }

    async fn restore(&mut self) -> Answer<()> {
        let repository = self.repository();
        let metadata = self.client.metadata.clone();
        let trash = metadata.trash(&repository, None, 10).await?;
        if trash.is_empty() {
            return Ok(());
        }
        let trashed = self.random.pick(&trash);
        let tag: Tag = self.random.pick(&TAGS).parse().unwrap();
        match self.random.percent(50) {
            true => metadata.restore(&repository, &trashed.digest.into(), &Cause::UNKNOWN).await?,
            false => metadata.set_tag(&repository, &tag, &trashed.digest, &Cause::UNKNOWN).await?,
        };
        Ok(())
    }

    async fn delete_repository(&mut self) -> Answer<()> {
        let repository = self.repository();
        Ok(self.client.metadata.delete_repository(&repository, &Cause::UNKNOWN).await?)
    }

    async fn expire(&mut self) -> Answer<()> {
        self.client.metadata.expire_uploads(crate::world::DAY, 1 + self.random.below(5)).await?;
        Ok(())
    }

    async fn collect(&mut self) -> Answer<()> {
        let batch = 1 + self.random.below(4);
        collector(&self.client, batch).collect(&()).await;
        Ok(())
    }

    async fn sweep(&mut self) -> Answer<()> {
        if let Err(error @ MarkError::DatabaseOlder { .. }) = sweep(&self.client).run().await {
            self.client.metadata.ledger.lock().unwrap().note_wrong(error.to_string());
        }
        Ok(())
    }
}
