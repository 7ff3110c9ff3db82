//! What was pushed, to be compared with what is there after something happened.

use crate::{Client, ClientError, Image};

/// Images with tags, each with a referrer; one in five lost its tag again.
#[derive(Debug, Default)]
pub struct Pushed(Vec<(String, Image, Image)>);

impl Pushed {
    /// Pushes so many images, with tags from `v<first>` on, into seven repositories.
    ///
    /// # Panics
    /// If one of them is refused.
    pub async fn push(client: &Client, first: u64, count: u64) -> Pushed {
        let mut pushed = Pushed::default();
        for number in first..first + count {
            pushed.push_one(client, number).await.unwrap_or_else(|error| panic!("image {number}: {error}"));
        }
        pushed
    }

    /// Pushes until the server is gone.
    ///
    /// # Panics
    /// If something else happens.
    pub async fn push_until_it_ends(&mut self, client: &Client, first: u64, mut on_each: impl FnMut()) {
        for number in first.. {
            match self.push_one(client, number).await {
                Ok(()) => on_each(),
                Err(error) if error.is_disconnect() => return,
                Err(error) => panic!("image {number}: {error}"),
            }
        }
    }

    /// Pushes one image and what comes with it. Only what was acknowledged as a whole is remembered.
    ///
    /// # Errors
    /// [`ClientError`], as for [`Client::push`].
    pub async fn push_one(&mut self, client: &Client, number: u64) -> Result<(), ClientError> {
        let repository = format!("team/app{}", number % 7);
        let image = Image::random(number);
        let referrer =
            Image::referrer(1_000_000 + number, image.manifest.descriptor(), "application/vnd.test");
        let tag = format!("v{number}");
        client.push(&repository, &tag, &image).await?;
        client.push(&repository, &referrer.manifest.digest.to_string(), &referrer).await?;
        if number % 5 == 4 {
            client.delete(&format!("/v2/{repository}/manifests/{tag}")).want(202).await?;
        }
        self.0.push((repository, image, referrer));
        Ok(())
    }

    /// How many images are remembered.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Adds what another client pushed.
    pub fn extend(&mut self, other: Pushed) {
        self.0.extend(other.0);
    }

    /// Pulls all of it by digest, every byte.
    ///
    /// # Panics
    /// If something is missing or different.
    pub async fn check(&self, client: &Client) {
        for (repository, image, referrer) in &self.0 {
            for image in [image, referrer] {
                let digest = image.manifest.digest.to_string();
                let pulled = client.pull(repository, &digest, image).await;
                pulled.unwrap_or_else(|error| panic!("{repository}@{digest}: {error}"));
            }
        }
    }
}

/// Everything that a registry lists: the catalog, and for each tag what it names and what refers to that.
///
/// # Panics
/// If one of the lists is refused, or longer than a page of 1000.
pub async fn lists(client: &Client) -> Vec<String> {
    let catalog = client.get("/v2/_catalog?n=1000").expect(200).await.json();
    let mut lists = vec![catalog.to_string()];
    for repository in catalog["repositories"].as_array().expect("the catalog is a list") {
        let repository = repository.as_str().expect("names are strings");
        let tags = client.get(&format!("/v2/{repository}/tags/list?n=1000")).expect(200).await;
        assert!(tags.header("link").is_none(), "{repository} has more tags than a page");
        for tag in tags.json()["tags"].as_array().expect("tags are a list") {
            let tag = tag.as_str().expect("tags are strings");
            let manifest = client.get(&format!("/v2/{repository}/manifests/{tag}")).expect(200).await;
            let digest = manifest.must_have("docker-content-digest").to_owned();
            let referrers = client.get(&format!("/v2/{repository}/referrers/{digest}")).expect(200).await;
            lists.push(format!("{repository}:{tag} {digest} {}", referrers.text()));
        }
    }
    lists
}
