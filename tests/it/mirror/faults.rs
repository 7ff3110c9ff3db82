//! An upstream that breaks, lies or sends elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use registry_testing::{TestRegistry, eventually};
use tokio::sync::Semaphore;

use super::{
    mirror_of, mirror_with, options,
    upstream::{Act, Upstream, blob, part, status, whole},
};

fn path(digest: &registry_core::digest::Digest) -> String {
    format!("/v2/up.example/team/app/blobs/{digest}")
}

fn fetches(mirror: &TestRegistry) -> bool {
    !mirror.server().metrics.render().contains("registry_mirror_fetches 0")
}

/// Many clients, one fetch: each sees what has come before the rest is there, and those that leave end nothing.
#[tokio::test]
async fn a_blob_is_fetched_once_and_read_while_it_comes() {
    let (bytes, digest) = blob(6_000_000);
    let gate = Arc::new(Semaphore::new(0));
    let (body, held) = (bytes.clone(), gate.clone());
    let halting = move |_: &_| Act::Halting { body: body.clone(), before: 4_000_000, gate: held.clone() };
    let upstream = Upstream::start(halting).await;
    let mirror = mirror_of(&upstream.url).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(mirror.client().get(&path(&digest)).open().await.unwrap());
    }
    for reader in &mut readers {
        let mut came = 0;
        while came < 4_000_000 {
            came += reader.next().await.unwrap().unwrap().len();
        }
    }
    // Those that came first leave; one that comes late begins at the beginning, which is on disk by now.
    readers.truncate(1);
    drop(readers);
    let late = tokio::spawn(mirror.client().get(&path(&digest)).expect(200));
    gate.add_permits(1);
    assert_eq!(late.await.unwrap().body, bytes);
    assert_eq!(upstream.asked("GET", "/blobs/").len(), 1);
    let again = mirror.client().get(&path(&digest)).expect(200).await;
    assert_eq!((again.body, upstream.asked("GET", "/blobs/").len()), (bytes, 1));
}

#[tokio::test]
async fn a_fetch_that_breaks_goes_on_where_it_broke() {
    let (bytes, digest) = blob(3_000_000);
    let body = bytes.clone();
    let upstream = Upstream::start(move |asked| match asked.header("range") {
        None => Act::Answer { status: 200, headers: Vec::new(), body: body.clone(), sent: 1_000_000 },
        Some(_) => part(&body, asked),
    })
    .await;
    let mirror = mirror_of(&upstream.url).await;
    let whole = mirror.client().get(&path(&digest)).expect(200).await;
    assert_eq!(whole.body, bytes);
    assert_eq!(upstream.asked("GET", "/blobs/").len(), 2);
}

/// Bytes of another digest are cut off before their end, and nothing of them stays.
#[tokio::test]
async fn a_wrong_digest_cuts_the_connection_and_leaves_nothing() {
    let (bytes, digest) = blob(300_000);
    let wrong = Bytes::from(vec![7; bytes.len()]);
    let upstream = Upstream::start(move |_| whole(&wrong)).await;
    let mirror = mirror_of(&upstream.url).await;
    let error = mirror.client().get(&path(&digest)).send().await.unwrap_err();
    assert!(error.is_disconnect(), "{error:?}");
    eventually("the fetch is over", async || (!fetches(&mirror)).then_some(())).await;
    upstream.behave(move |_| whole(&bytes));
    let right = mirror.client().get(&path(&digest)).expect(200).await;
    assert_eq!(right.body.len(), 300_000);
}

#[tokio::test]
async fn a_range_far_ahead_is_asked_for_by_itself() {
    let (bytes, digest) = blob(40 << 20);
    let gate = Arc::new(Semaphore::new(0));
    let (body, held) = (bytes.clone(), gate.clone());
    let upstream = Upstream::start(move |asked| match asked.header("range") {
        None => Act::Halting { body: body.clone(), before: 1000, gate: held.clone() },
        Some(_) => part(&body, asked),
    })
    .await;
    let mirror = mirror_of(&upstream.url).await;
    let range = mirror.client().get(&path(&digest)).header("range", "bytes=41000000-41000999");
    let answer = range.expect(206).await;
    assert_eq!(answer.body, bytes.slice(41_000_000..41_001_000));
    gate.add_permits(1);
}

/// The password is for the upstream alone: neither the server that it redirects to nor a token server of others sees it.
#[tokio::test]
async fn credentials_go_to_no_other_host() {
    let (bytes, digest) = blob(1000);
    let body = bytes.clone();
    let elsewhere = Upstream::start(move |_| whole(&body)).await;
    let port = elsewhere.url.rsplit_once(':').unwrap().1.to_owned();
    let tokens = Upstream::start(|_| whole(&Bytes::from_static(b"{\"token\":\"abc\"}"))).await;
    let realm = tokens.url.replace("127.0.0.1", "localhost");
    let challenge = format!("Bearer realm=\"{realm}/token\",service=\"up\"");
    let upstream = Upstream::start(move |asked| match asked.header("authorization") {
        Some("Bearer abc") => status(307, &[("location", &format!("http://localhost:{port}/elsewhere"))]),
        _ => status(401, &[("www-authenticate", &challenge)]),
    })
    .await;
    let mut options = options(&[("up.example", &upstream.url)]);
    options.upstreams[0].credentials = registry_core::proxy::Credentials::Password {
        username: "ada".into(),
        password: registry_core::types::Secret::new("secret"),
    };
    let mirror = mirror_with(options).await;
    assert_eq!(mirror.client().get(&path(&digest)).expect(200).await.body, bytes);
    assert_eq!(elsewhere.asked("GET", "/elsewhere")[0].header("authorization"), None);
    let token = &tokens.asked("GET", "/token")[0];
    assert_eq!(token.header("authorization"), None);
    assert!(token.path.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{}", token.path);
}

/// The token server of the upstream's own host sees them.
#[tokio::test]
async fn a_token_is_fetched_once_for_a_repository() {
    let (bytes, digest) = blob(1000);
    let body = bytes.clone();
    let upstream = Upstream::start(move |asked| match asked.header("authorization") {
        _ if asked.path.starts_with("/token") => whole(&Bytes::from_static(b"{\"access_token\":\"abc\"}")),
        Some("Bearer abc") => whole(&body),
        _ => status(
            401,
            &[(
                "www-authenticate",
                &format!("Bearer realm=\"http://{}/token\"", asked.header("host").unwrap()),
            )],
        ),
    })
    .await;
    let mut options = options(&[("up.example", &upstream.url)]);
    options.upstreams[0].credentials = registry_core::proxy::Credentials::Password {
        username: "ada".into(),
        password: registry_core::types::Secret::new("secret"),
    };
    let mirror = mirror_with(options).await;
    for _ in 0..3 {
        mirror.client().head(&path(&digest)).expect(200).await;
    }
    let tokens = upstream.asked("GET", "/token");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].header("authorization"), Some("Basic YWRhOnNlY3JldA=="));
}

/// A blob that there is no room for is passed through, verified as any other.
#[tokio::test]
async fn a_full_spool_passes_blobs_through() {
    let (bytes, digest) = blob(100_000);
    let body = bytes.clone();
    let upstream = Upstream::start(move |_| whole(&body)).await;
    let mut options = options(&[("up.example", &upstream.url)]);
    options.spool_bytes_max = 10;
    let mirror = TestRegistry::with(|builder| builder.mirror(options)).await;
    assert_eq!(mirror.client().get(&path(&digest)).expect(200).await.body, bytes);
    let wrong = Bytes::from(vec![7; bytes.len()]);
    upstream.behave(move |_| whole(&wrong));
    let error = mirror.client().get(&path(&digest)).send().await.unwrap_err();
    assert!(error.is_disconnect(), "{error:?}");
}
