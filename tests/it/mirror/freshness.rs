//! How old what is served may be.

use std::time::Duration;

use futures_util::future::join_all;
use registry_testing::{Image, eventually};

use super::{
    mirror_of, mirror_with, options,
    upstream::{Upstream, manifest, status},
};

const TAG: &str = "/v2/up.example/team/app/manifests/v1";

#[tokio::test]
async fn a_tag_is_looked_at_once_for_all_that_wait() {
    let image = Image::random(1);
    let content = image.manifest.clone();
    let upstream = Upstream::start(move |_| manifest(&content)).await;
    let mirror = mirror_of(&upstream.url).await;
    let pulls = (0..20).map(|_| mirror.client().get(TAG).expect(200));
    for answer in join_all(pulls).await {
        assert_eq!((answer.body.clone(), answer.header("warning")), (image.manifest.bytes.clone(), None));
    }
    assert_eq!(upstream.asked("HEAD", "/manifests/v1").len(), 1);
    // By the digest that the look told, so that a tag that moves in between is no lie.
    assert_eq!(upstream.asked("GET", "/manifests/sha256:").len(), 1);
}

#[tokio::test]
async fn a_tag_that_moved_upstream_moves_here() {
    let (old, new) = (Image::random(1).manifest, Image::random(2).manifest);
    let content = old.clone();
    let upstream = Upstream::start(move |_| manifest(&content)).await;
    let mut options = options(&[("up.example", &upstream.url)]);
    options.freshness = Duration::ZERO;
    let mirror = mirror_with(options).await;
    assert_eq!(mirror.client().get(TAG).expect(200).await.body, old.bytes);
    let content = new.clone();
    upstream.behave(move |_| manifest(&content));
    assert_eq!(mirror.client().get(TAG).expect(200).await.body, new.bytes);
}

/// What is here is served while the upstream can not be asked, and is marked; `Retry-After` counts for all of its repositories.
#[tokio::test]
async fn what_is_here_is_served_while_the_upstream_is_unwell() {
    let image = Image::random(1);
    for unwell in [status(500, &[]), status(429, &[("retry-after", "600")]), status(503, &[])] {
        let content = image.manifest.clone();
        let upstream = Upstream::start(move |_| manifest(&content)).await;
        let mut options = options(&[("up.example", &upstream.url)]);
        options.freshness = Duration::ZERO;
        let mirror = mirror_with(options).await;
        mirror.client().get(TAG).expect(200).await;
        upstream.behave(move |_| unwell.clone());
        for _ in 0..2 {
            let stale = mirror.client().get(TAG).expect(200).await;
            assert_eq!(stale.must_have("warning"), "110 - \"Response is Stale\"");
            assert_eq!(stale.body, image.manifest.bytes);
        }
        assert!(mirror.server().metrics.render().contains("registry_mirror_stale_total"));
    }
}

#[tokio::test]
async fn an_upstream_that_wants_a_pause_gets_it() {
    let upstream = Upstream::start(|_| status(429, &[("retry-after", "600")])).await;
    let mirror = mirror_of(&upstream.url).await;
    let limited = mirror.client().get(TAG).expect(429).await;
    let secs: u64 = limited.must_have("retry-after").parse().unwrap();
    assert!((590..=600).contains(&secs), "{secs}");
    mirror.client().get("/v2/up.example/other/manifests/v1").expect(429).await;
    assert_eq!(upstream.asked("HEAD", "/").len(), 1);
}

/// A tag that upstream has deleted stays for a while, and goes if the upstream is otherwise well.
#[tokio::test]
async fn a_tag_that_upstream_deleted_goes_later() {
    let image = Image::random(1);
    let content = image.manifest.clone();
    let upstream = Upstream::start(move |_| manifest(&content)).await;
    let mut options = options(&[("up.example", &upstream.url)]);
    (options.freshness, options.keep_deleted) = (Duration::ZERO, Duration::ZERO);
    let mirror = mirror_with(options).await;
    mirror.client().get(TAG).expect(200).await;
    let content = image.manifest.clone();
    upstream.behave(move |asked| match asked.path.ends_with("/v1") {
        true => status(404, &[]),
        false => manifest(&content),
    });
    // An upstream that gives nothing at all may be broken, so the tag stays.
    assert!(mirror.client().get(TAG).expect(200).await.header("warning").is_some());
    assert!(mirror.client().get(TAG).expect(200).await.header("warning").is_some());
    mirror.client().get("/v2/up.example/team/app/manifests/v2").expect(200).await;
    eventually("the tag is gone", async || {
        let answer = mirror.client().get(TAG).send().await.unwrap();
        (answer.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_mirror_that_is_offline_asks_nothing() {
    let upstream = Upstream::start(|_| status(500, &[])).await;
    let mut options = options(&[("up.example", &upstream.url)]);
    options.offline = true;
    let mirror = mirror_with(options).await;
    mirror.client().get(TAG).expect(503).await;
    assert_eq!(upstream.asked("HEAD", "/").len(), 0);
}
