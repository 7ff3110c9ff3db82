//! What a program that embeds the registry may rely on without having chosen it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::BoxFuture;

use registry_core::{
    Builder,
    api::Settings,
    auth::{AllowAll, AnonymousAccess, Authenticated},
    metadata::Options,
    server::{Body, Context, Endpoint, Refused, Reply, ServerBody},
    types::ErrorCode,
};
use registry_testing::{Content, Image, RawConnection, TestRegistry, eventually};
use std::time::Duration;

use crate::access::{ByPrefix, by_prefix, named};

#[tokio::test]
async fn an_authenticator_alone_is_closed_to_the_anonymous() {
    let registry = TestRegistry::with(|builder| builder.authenticator(Arc::new(ByPrefix))).await;
    let (nobody, ann, image) = (registry.client(), named(&registry, "ann"), Image::random(1));
    ann.push("any/where", "latest", &image).await.unwrap();
    ann.pull("any/where", "latest", &image).await.unwrap();
    for path in ["/v2/", "/v2/_catalog", "/v2/any/where/manifests/latest", "/v2/any/where/tags/list"] {
        assert_eq!(nobody.get(path).expect(401).await.error_code(), ErrorCode::Unauthorized, "{path}");
    }
    for request in
        [nobody.post("/v2/any/where/blobs/uploads/"), nobody.delete("/v2/any/where/manifests/latest")]
    {
        request.expect(401).await;
    }
    // Open, where somebody says so.
    let open = |builder: Builder| builder.authenticator(Arc::new(ByPrefix)).authorizer(Arc::new(AllowAll));
    TestRegistry::with(open).await.client().get("/v2/_catalog").expect(200).await;
    // And without an authenticator no login could help.
    TestRegistry::start().await.client().get("/v2/_catalog").expect(200).await;
}

#[tokio::test]
async fn who_can_not_log_in_is_not_asked_to() {
    let closed =
        |builder: Builder| builder.authorizer(Arc::new(Authenticated { anonymous: AnonymousAccess::Pull }));
    let registry = TestRegistry::with(closed).await;
    for request in [
        registry.client().post("/v2/app/blobs/uploads/"),
        registry.client().delete("/v2/app/manifests/latest"),
        registry.client().get("/v2/"),
    ] {
        let refused = request.expect(403).await;
        assert_eq!(refused.error_code(), ErrorCode::Denied);
        assert_eq!(refused.header("www-authenticate"), None);
    }
    registry.client().get("/v2/_catalog").expect(200).await;
}

#[test]
fn nothing_is_written_to_standard_output_unasked() {
    assert!(!Settings::default().access_log);
}

#[tokio::test]
async fn only_a_look_of_those_who_may_push_is_a_promise() {
    // Every promise is over at once, so that each look of one who may push writes.
    let options = Options { lease: Duration::from_millis(1), ..Options::default() };
    let choose = |builder: Builder| by_prefix(builder).options(options).collecting(None).purge(None);
    let registry = TestRegistry::on_disk(choose).await;
    let (image, blob) = (Image::random(2), Content::random(3, 1000));
    let public = named(&registry, "public");
    public.push("public/app", "latest", &image).await.unwrap();
    public.push_blob("public/app", &blob).await.unwrap();
    let written = || {
        let log = std::fs::read(registry.data().join("metadata.sqlite-wal")).unwrap();
        registry_core::digest::Digest::of(registry_core::digest::Algorithm::Sha256, &log)
    };
    let paths = [
        format!("/v2/public/app/blobs/{}", blob.digest),
        format!("/v2/public/app/manifests/{}", image.manifest.digest),
        "/v2/public/app/manifests/latest".to_owned(),
    ];
    for path in &paths {
        let before = written();
        registry.client().head(path).expect(200).await;
        named(&registry, "ann").head(path).expect(200).await;
        assert_eq!(written(), before, "{path}");
        public.head(path).expect(200).await;
        if path.contains("/blobs/") {
            assert_ne!(written(), before, "the look of one who may push is no promise any more: {path}");
        }
    }
    // What is not there is not noted as missing by those who may not push it.
    let location = registry.app().metadata.object(&blob.digest).await.unwrap().unwrap().location;
    let path = registry.data().join(location.to_string());
    std::fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let before = written();
    registry.client().head(&paths[0]).expect(404).await;
    assert_eq!(written(), before);
    public.head(&paths[0]).expect(404).await;
    assert_ne!(written(), before);
}

/// An endpoint of an embedder's, which answers with what it was sent.
#[derive(Debug)]
struct Echo;

impl Endpoint for Echo {
    fn respond<'a>(
        &'a self,
        request: http::Request<ServerBody>,
        context: &'a Context,
    ) -> BoxFuture<'a, Reply> {
        context.set_route("echo");
        Box::pin(async move {
            let mut body = request.into_body();
            let mut text = Vec::new();
            while let Some(bytes) = body.next(Duration::from_secs(5)).await.unwrap() {
                text.extend_from_slice(&bytes);
            }
            http::Response::new(Body::full(text.into())).into()
        })
    }

    fn refuse(&self, _: &http::request::Parts, refused: Refused) -> http::Response<Body> {
        refused.into_response()
    }
}

#[tokio::test]
async fn endpoints_and_work_of_an_embedder_stand_beside_the_registrys() {
    let runs = Arc::new(AtomicBool::new(false));
    let noted = runs.clone();
    let embed = |builder: Builder| {
        builder.mount("/echo", Arc::new(Echo)).background("noting", async move {
            noted.store(true, Ordering::Relaxed);
        })
    };
    let registry = TestRegistry::with(embed).await;
    let client = registry.client();
    let answer = client.post("/echo/any/where").body("said").expect(200).await;
    assert_eq!(answer.text(), "said");
    // The server's own limits hold there as well, and it counts and names the request.
    assert!(answer.header("x-request-id").is_some());
    let mut ambiguous = RawConnection::open(registry.address()).await.unwrap();
    ambiguous.send("GET /echo HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await.unwrap();
    assert_eq!(ambiguous.answer().await.unwrap().status, 400);
    client.get("/v2/").expect(200).await;
    client.get("/echoes").expect(404).await;
    eventually("the request is counted", async || {
        let counted = "registry_http_requests_total{handler=\"echo\",code=\"200\",method=\"post\"} 1";
        registry.app().metrics.render().contains(counted).then_some(())
    })
    .await;
    eventually("the work runs", async || runs.load(Ordering::Relaxed).then_some(())).await;
}
