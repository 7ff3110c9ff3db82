//! An authoriser of an embedder's own: what it says holds for every endpoint.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use registry_core::{
    Builder,
    auth::{ActionSet, AuthenticationError, Authenticator, Authorizer, Caller, Presented, Refused},
    types::{ErrorCode, NameRange, RepositoryName, Viewer},
};
use registry_testing::{Client, Content, Image, TestRegistry};

/// Believes whoever names himself, and lets users do as they like below `<user>/`, and pull below `public/`. What lies
/// elsewhere they do not see.
#[derive(Debug)]
pub(crate) struct ByPrefix;

/// A registry that asks [`ByPrefix`].
pub(crate) fn by_prefix(builder: Builder) -> Builder {
    builder.authenticator(Arc::new(ByPrefix)).authorizer(Arc::new(ByPrefix))
}

#[async_trait]
impl Authenticator for ByPrefix {
    async fn authenticate(&self, presented: Presented<'_>) -> Result<Caller, AuthenticationError> {
        match presented.authorization.and_then(|value| value.to_str().ok()?.strip_prefix("Name ")) {
            None => Ok(Caller::anonymous()),
            Some(name) => Ok(Caller::user(name.parse().expect("the tests use valid names"))),
        }
    }

    fn challenge(&self, _: &Refused<'_>) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("Name realm=\"test\""))
    }
}

#[async_trait]
impl Authorizer for ByPrefix {
    async fn allowed(&self, caller: &Caller, name: &RepositoryName) -> ActionSet {
        let is_own = caller.name().is_some_and(|user| name.as_str().starts_with(&format!("{user}/")));
        match name.as_str().starts_with("public/") {
            _ if is_own => ActionSet::ALL,
            true => ActionSet::PULL,
            false => ActionSet::NONE,
        }
    }

    async fn visible(&self, caller: &Caller) -> Viewer {
        let own = caller.name().map(|user| NameRange::beginning_with(&format!("{user}/")));
        Viewer::of(own.into_iter().chain([NameRange::beginning_with("public/")]))
    }
}

/// A client that says who it is.
pub(crate) fn named(registry: &TestRegistry, name: &str) -> Client {
    registry.client().header(http::header::AUTHORIZATION, &format!("Name {name}"))
}

#[tokio::test]
async fn users_push_and_pull_where_they_may() {
    let registry = TestRegistry::with(by_prefix).await;
    let (ann, public, image) = (named(&registry, "ann"), named(&registry, "public"), Image::random(1));
    ann.push("ann/app", "latest", &image).await.unwrap();
    ann.pull("ann/app", "latest", &image).await.unwrap();
    public.push("public/app", "latest", &image).await.unwrap();
    ann.pull("public/app", "latest", &image).await.unwrap();
    registry.client().pull("public/app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn what_a_user_may_see_but_not_do_is_denied() {
    let registry = TestRegistry::with(by_prefix).await;
    let (ann, image) = (named(&registry, "ann"), Image::random(1));
    let public = named(&registry, "public");
    public.push("public/app", "latest", &image).await.unwrap();
    let manifest = format!("/v2/public/app/manifests/{}", image.manifest.digest);
    for request in [
        ann.post("/v2/public/app/blobs/uploads/"),
        ann.put("/v2/public/app/manifests/latest").body(image.manifest.bytes.clone()),
        ann.delete(&manifest),
        ann.delete(&format!("/v2/public/app/blobs/{}", image.blobs[0].digest)),
    ] {
        assert_eq!(request.expect(403).await.error_code(), ErrorCode::Denied);
    }
    public.pull("public/app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn what_a_user_may_not_see_looks_as_if_it_did_not_exist() {
    let registry = TestRegistry::with(by_prefix).await;
    let (ann, bob, image) = (named(&registry, "ann"), named(&registry, "bob"), Image::random(1));
    bob.push("bob/secret", "latest", &image).await.unwrap();
    for path in paths("bob/secret", &image).into_iter().chain(paths("bob/absent", &image)) {
        assert_eq!(ann.get(&path).expect(404).await.error_code(), ErrorCode::NameUnknown, "{path}");
    }
}

#[tokio::test]
async fn the_anonymous_are_asked_who_they_are_whether_or_not_it_exists() {
    let registry = TestRegistry::with(by_prefix).await;
    let (nobody, bob, image) = (registry.client(), named(&registry, "bob"), Image::random(1));
    bob.push("bob/secret", "latest", &image).await.unwrap();
    let other = ["/v2/".to_owned(), "/v2/_catalog".to_owned()];
    for path in paths("bob/secret", &image).into_iter().chain(paths("bob/absent", &image)).chain(other) {
        let response = nobody.get(&path).expect(401).await;
        assert_eq!(response.error_code(), ErrorCode::Unauthorized, "{path}");
        assert_eq!(response.must_have("www-authenticate"), "Name realm=\"test\"");
        assert_eq!(response.must_have("docker-distribution-api-version"), "registry/2.0");
    }
    nobody.get("/").expect(200).await;
}

#[tokio::test]
async fn the_catalog_holds_what_the_caller_may_see() {
    let registry = TestRegistry::with(by_prefix).await;
    let image = Image::random(1);
    for repository in ["ann/app", "ann/tool", "annika/app", "bob/app", "public/app"] {
        let owner = repository.split('/').next().unwrap();
        named(&registry, owner).push(repository, "latest", &image).await.unwrap();
    }
    for (name, seen) in [
        ("ann", &["ann/app", "ann/tool", "public/app"][..]),
        ("bob", &["bob/app", "public/app"]),
        ("eve", &["public/app"]),
    ] {
        let client = named(&registry, name);
        let all = client.get("/v2/_catalog").expect(200).await.json();
        assert_eq!(all["repositories"], serde_json::json!(seen), "{name}");
        let page = client.get("/v2/_catalog?n=1").expect(200).await;
        assert_eq!(page.json()["repositories"], serde_json::json!(seen[..1]), "{name}");
        assert_eq!(page.next_page().is_some(), seen.len() > 1, "{name}");
    }
}

#[tokio::test]
async fn a_blob_that_the_caller_may_not_pull_is_not_mounted() {
    let registry = TestRegistry::with(by_prefix).await;
    let (ann, bob) = (named(&registry, "ann"), named(&registry, "bob"));
    let (secret, base) = (Content::random(1, 1000), Image::random(2));
    bob.push_blob("bob/secret", &secret).await.unwrap();
    named(&registry, "public").push("public/base", "latest", &base).await.unwrap();
    let shared = base.blobs[0].clone();
    let absent = Content::random(3, 10);
    for query in [
        format!("mount={}&from=bob/secret", secret.digest),
        format!("mount={}", secret.digest),
        // The same as for what is nowhere.
        format!("mount={}&from=bob/secret", absent.digest),
        format!("mount={}", absent.digest),
    ] {
        ann.post(&format!("/v2/ann/app/blobs/uploads/?{query}")).expect(202).await;
    }
    ann.head(&format!("/v2/ann/app/blobs/{}", secret.digest)).expect(404).await;

    ann.post(&format!("/v2/ann/app/blobs/uploads/?mount={}&from=public/base", shared.digest))
        .expect(201)
        .await;
    ann.pull_blob("ann/app", &shared).await.unwrap();
    bob.post(&format!("/v2/bob/app/blobs/uploads/?mount={}", shared.digest)).expect(201).await;
    bob.pull_blob("bob/app", &shared).await.unwrap();
}

/// What can be asked of a repository.
fn paths(repository: &str, image: &Image) -> Vec<String> {
    let (manifest, blob) = (image.manifest.digest, image.blobs[0].digest);
    [
        format!("blobs/{blob}"),
        format!("manifests/{manifest}"),
        "manifests/latest".to_owned(),
        "tags/list".to_owned(),
        format!("referrers/{manifest}"),
    ]
    .map(|path| format!("/v2/{repository}/{path}"))
    .to_vec()
}
