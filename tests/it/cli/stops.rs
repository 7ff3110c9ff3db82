//! How long a stop takes, and what it lets finish.

use super::*;
use crate::metrics::debug_client;

#[tokio::test]
async fn a_stop_lets_a_running_transfer_finish() {
    let options = ServerOptions::new().variable("REGISTRY_HTTP_DRAINTIMEOUT", "20s");
    let mut server = options.variable("REGISTRY_HTTP_DEBUG_ADDR", "127.0.0.1:0").start().await;
    let (client, debug) = (server.client(), debug_client(&server).await);
    assert_eq!(debug.get("/debug/ready").expect(200).await.text(), "{}");
    let idle = server.client().reconnected();
    idle.get("/v2/").expect(200).await;
    let blob = Content::random(4, 1_200_000);
    let session = client.begin_upload("drain").await.unwrap();
    let (go_on, may_go_on) = oneshot::channel();
    let patch = tokio::spawn(client.patch(&session.location).stream(halves(&blob.bytes, may_go_on)).send());
    upload_has_begun(&server, &session).await;

    server.terminate();
    server.log().wait_for("stopping").await;
    within("new connections are refused", async {
        while server.client().get("/v2/").send().await.is_ok() {}
    })
    .await;
    assert!(server.is_running());
    // It is well, and yet should get no new request.
    assert_eq!(debug.get("/debug/health").expect(200).await.text(), "{}");
    assert!(debug.get("/debug/ready").expect(503).await.text().contains("stopping"));
    go_on.send(()).unwrap();
    let answer = patch.await.unwrap().unwrap();
    assert_eq!(answer.status, 202);
    assert_eq!(UploadSession::of(&answer).unwrap().offset, 1_200_000);
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_it_was_told() {
    let mut server = ServerOptions::new().variable("REGISTRY_HTTP_DRAINTIMEOUT", "1s").start().await;
    let client = server.client();
    let blob = Content::random(5, 1_200_000);
    let session = client.begin_upload("drain").await.unwrap();
    let (_go_on, may_go_on) = oneshot::channel();
    let patch = tokio::spawn(client.patch(&session.location).stream(halves(&blob.bytes, may_go_on)).send());
    upload_has_begun(&server, &session).await;
    let stopped = Instant::now();
    server.terminate();
    assert!(server.ended().await.success());
    let took = stopped.elapsed();
    assert!(took.as_millis() >= 900 && took.as_secs() < 6, "{took:?}");
    assert!(patch.await.unwrap().is_err());

    // What had arrived is there for the next start.
    let server = server.options().clone().start().await;
    let status = server.client().upload_status(&session).await.unwrap();
    assert_eq!(status.offset, 600_000);
}

#[tokio::test]
async fn a_stop_without_transfers_is_quick() {
    let mut server = ServerOptions::new().variable("REGISTRY_HTTP_DRAINTIMEOUT", "60s").start().await;
    let client = server.client();
    client.get("/v2/").expect(200).await;
    let stopped = Instant::now();
    server.terminate();
    assert!(server.ended().await.success());
    assert!(stopped.elapsed().as_secs() < 5, "{:?}", stopped.elapsed());
}

/// The first half of a body, and when told so the second.
fn halves(
    bytes: &Bytes,
    may_go_on: oneshot::Receiver<()>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let (first, second) = (bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..));
    let first = futures_util::stream::iter([Ok(first)]);
    first.chain(futures_util::stream::once(async move {
        may_go_on.await.map_err(std::io::Error::other)?;
        Ok(second)
    }))
}

/// Waits until some of an upload's bytes are in its file. Asking for the session itself would take it away from the
/// client that is to get it.
async fn upload_has_begun(server: &Server, session: &UploadSession) {
    let shard = &session.id[session.id.len() - 2..];
    let file = server.data().join("store/blobs").join(shard).join(&session.id);
    eventually("the upload has begun", async || {
        fs::metadata(&file).is_ok_and(|file| file.len() > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_lets_a_running_transfer_of_http2_finish() {
    let mut server = ServerOptions::new().variable("REGISTRY_HTTP_DRAINTIMEOUT", "20s").start().await;
    let client = server.client().speaking(Protocol::Http2);
    let blob = Content::random(6, 1_200_000);
    let session = client.begin_upload("drain").await.unwrap();
    let (go_on, may_go_on) = oneshot::channel();
    let patch = tokio::spawn(client.patch(&session.location).stream(halves(&blob.bytes, may_go_on)).send());
    upload_has_begun(&server, &session).await;
    server.terminate();
    server.log().wait_for("stopping").await;
    go_on.send(()).unwrap();
    assert_eq!(patch.await.unwrap().unwrap().status, 202);
    assert!(server.ended().await.success());
}
