//! Mirroring other registries: what is fetched, how often, and what becomes of it where the upstream or the way to it is broken.

mod faults;
mod freshness;
mod upstream;

use std::time::Duration;

use registry_core::{
    outbound::{Outbound, OutboundOptions},
    proxy::{ProxyOptions, UpstreamOptions},
};
use registry_testing::{Image, Index, Program, ServerOptions, TestRegistry, eventually};

/// How registries at these URLs are mirrored, under these names.
fn options(upstreams: &[(&str, &str)]) -> ProxyOptions {
    let outbound = Outbound::new(OutboundOptions::default()).unwrap();
    let upstream = |(name, url): &(&str, &str)| UpstreamOptions::new(*name, url.parse().unwrap());
    ProxyOptions::new(outbound, upstreams.iter().map(upstream).collect())
}

/// A mirror of one registry, named `up.example`, on disk.
async fn mirror_of(url: &str) -> TestRegistry {
    mirror_with(options(&[("up.example", url)])).await
}

async fn mirror_with(options: ProxyOptions) -> TestRegistry {
    TestRegistry::on_disk(|builder| builder.mirror(options)).await
}

/// The whole index, every blob compared, by prefix and by `ns`; then again without the upstream. In memory everything passes the spool.
#[tokio::test]
async fn what_was_pulled_once_is_pulled_again_without_the_upstream() {
    for is_on_disk in [true, false] {
        let upstream = TestRegistry::start().await;
        let index = Index::random(1, 2);
        upstream.client().push_index("team/app", "v1", &index).await.unwrap();
        let options = options(&[("up.example", upstream.url())]);
        let mirror = match is_on_disk {
            true => mirror_with(options).await,
            false => TestRegistry::with(|builder| builder.mirror(options)).await,
        };
        let client = mirror.client();
        client.pull_index("up.example/team/app", "v1", &index).await.unwrap();
        upstream.stop().await;
        client.pull_index("up.example/team/app", "v1", &index).await.unwrap();
        let by_ns = client.get("/v2/team/app/manifests/v1?ns=up.example").expect(200).await;
        assert_eq!(by_ns.body, index.manifest.bytes);
    }
}

#[tokio::test]
async fn names_lead_to_one_repository_and_take_no_pushes() {
    let upstream = TestRegistry::start().await;
    let image = Image::random(2);
    upstream.client().push("team/app", "v1", &image).await.unwrap();
    let mut options = options(&[("up.example", upstream.url())]);
    options.default_upstream = Some("up.example".to_owned());
    let mirror = mirror_with(options).await;
    let client = mirror.client();
    client.get("/v2/team/app/manifests/v1?ns=other.example").expect(404).await;
    client.pull("team/app", "v1", &image).await.unwrap();
    for path in ["/v2/up.example/team/app/blobs/uploads/", "/v2/other/app/blobs/uploads/"] {
        let refused = client.post(path).expect(405).await;
        assert!(refused.text().contains("mirrors"), "{}", refused.text());
    }
    client.delete("/v2/team/app/manifests/v1").expect(405).await;
    let tags = client.get("/v2/team/app/tags/list").expect(200).await;
    assert_eq!(tags.json()["tags"], serde_json::json!(["v1"]));
}

/// A namespace that exists here is never looked for upstream, whatever stands there under the same name.
#[tokio::test]
async fn a_hosted_namespace_never_goes_upstream() {
    let upstream = TestRegistry::start().await;
    let evil = Image::random(5);
    upstream.client().push("acme/secret", "v1", &evil).await.unwrap();
    let folder = ServerOptions::new();
    let mut hosted = folder.clone().start().await;
    hosted.client().push("acme/app", "v1", &Image::random(4)).await.unwrap();
    hosted.kill().await;
    let mirror = folder.variable("REGISTRY_PROXY_REMOTEURL", upstream.url()).start().await;
    let client = mirror.client();
    client.pull("acme/app", "v1", &Image::random(4)).await.unwrap();
    client.get("/v2/acme/secret/manifests/v1").expect(404).await;
    upstream.client().push("acme/app", "v1", &evil).await.unwrap();
    let deleted = mirror.options().run(Program::Registry, &["repository", "delete", "acme/app"]).await;
    assert!(deleted.status.success(), "{deleted:?}");
    for name in ["acme/app", "acme/secret"] {
        client.get(&format!("/v2/{name}/manifests/v1")).expect(404).await;
    }
    upstream.client().push("other/app", "v1", &evil).await.unwrap();
    client.pull("other/app", "v1", &evil).await.unwrap();
}

#[tokio::test]
async fn referrers_come_from_the_upstream() {
    let upstream = TestRegistry::start().await;
    let image = Image::random(6);
    upstream.client().push("team/app", "v1", &image).await.unwrap();
    let signature = Image::referrer(7, image.manifest.descriptor(), "application/vnd.test.signature");
    let digest = signature.manifest.digest.to_string();
    upstream.client().push("team/app", &digest, &signature).await.unwrap();
    let mirror = mirror_of(upstream.url()).await;
    let path = format!("/v2/up.example/team/app/referrers/{}", image.manifest.digest);
    let list = mirror.client().get(&path).expect(200).await.json();
    assert_eq!(list["manifests"][0]["digest"], digest);
    let none = format!("{path}?artifactType=application/vnd.other");
    assert_eq!(mirror.client().get(&none).expect(200).await.json()["manifests"], serde_json::json!([]));
}

/// Whatever an upstream has, only what the operator lets through is asked for.
#[tokio::test]
async fn allowed_repositories_alone_are_mirrored() {
    let upstream = TestRegistry::start().await;
    let image = Image::random(8);
    for name in ["team/app", "team/secret"] {
        upstream.client().push(name, "v1", &image).await.unwrap();
    }
    let mut options = options(&[("up.example", upstream.url())]);
    options.upstreams[0].allow = vec!["team/*".parse().unwrap()];
    options.upstreams[0].deny = vec!["team/secret".parse().unwrap()];
    options.freshness = Duration::from_secs(60);
    let mirror = mirror_with(options).await;
    mirror.client().pull("up.example/team/app", "v1", &image).await.unwrap();
    mirror.client().get("/v2/up.example/team/secret/manifests/v1").expect(403).await;
    eventually("the fetch is counted", async || {
        let text = mirror.server().metrics.render();
        text.contains("registry_mirror_upstream_bytes_total{upstream=\"up.example\"}").then_some(())
    })
    .await;
}
