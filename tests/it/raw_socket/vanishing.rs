//! Clients that are gone in the middle.

use super::{connect, free, no_connection_left, path_of, still_serves};
use registry_testing::{
    Content, Image, RawConnection, ServerOptions, TestRegistry, UploadSession, eventually,
};

#[tokio::test]
async fn a_client_may_vanish_anywhere_in_an_upload() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(3, 300);
    let session = client.begin_upload("vanish").await.unwrap();
    let whole = {
        let path = path_of(&session, &registry);
        let head = format!(
            "PUT {path}&digest={} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
            blob.digest
        );
        [head.as_bytes(), b"64\r\n", &blob.bytes[..100], b"\r\nc8\r\n", &blob.bytes[100..], b"\r\n0\r\n\r\n"]
            .concat()
    };
    let head_bytes = whole.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let after = |bytes: usize| head_bytes + bytes;
    let cuts = [
        ("in the method", 2),
        ("in the path", 20),
        ("in a header", head_bytes - 12),
        ("before the head's last line break", head_bytes - 2),
        ("in the head's last line break", head_bytes - 1),
        ("after the head", head_bytes),
        ("in a chunk's size", after(1)),
        ("in the line break after it", after(3)),
        ("in a chunk", after(50)),
        ("at a chunk's end", after(104)),
        ("after a chunk", after(106)),
        ("in the last chunk", after(200)),
        ("before the end's size", after(312)),
        ("after the end's size", after(313)),
        ("before the final line break", whole.len() - 2),
        ("in the final line break", whole.len() - 1),
    ];
    for (number, (what, cut)) in cuts.into_iter().enumerate() {
        let session = client.begin_upload("vanish").await.unwrap();
        let bytes = replace_id(&whole, &session);
        let mut connection = connect(&registry).await;
        connection.send(&bytes[..cut]).await.unwrap();
        if number % 2 == 0 {
            connection.reset().unwrap()
        } else {
            drop(connection)
        }
        still_serves(&registry).await;
        let status = free(&client, &session).await;
        assert!(status.offset <= 300, "{what}");
        client.head(&format!("/v2/vanish/blobs/{}", blob.digest)).expect(404).await;
        let rest = blob.bytes.slice(status.offset as usize..);
        client
            .finish_upload(&status, &blob.digest, rest)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        client.pull_blob("vanish", &blob).await.unwrap();
        client.delete(&format!("/v2/vanish/blobs/{}", blob.digest)).expect(202).await;
    }
    client.finish_upload(&session, &blob.digest, blob.bytes.clone()).await.unwrap();
}

/// The same request for another session; ids are of one length.
fn replace_id(request: &[u8], session: &UploadSession) -> Vec<u8> {
    let at = request.windows(9).position(|window| window == b"/uploads/").unwrap() + 9;
    let mut request = request.to_vec();
    request[at..at + session.id.len()].copy_from_slice(session.id.as_bytes());
    request
}

#[tokio::test]
async fn a_client_may_vanish_anywhere_in_a_manifest() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let image = Image::random(4);
    for blob in &image.blobs {
        client.push_blob("vanish", blob).await.unwrap();
    }
    let body = &image.manifest.bytes;
    let head = format!(
        "PUT /v2/vanish/manifests/latest HTTP/1.1\r\nhost: x\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        image.manifest.media_type,
        body.len()
    );
    let whole = [head.as_bytes(), body].concat();
    for cut in [10, head.len() - 1, head.len(), head.len() + 1, whole.len() / 2, whole.len() - 1] {
        let mut connection = connect(&registry).await;
        connection.send(&whole[..cut]).await.unwrap();
        if cut % 2 == 0 {
            connection.reset().unwrap()
        } else {
            drop(connection)
        }
        client.get("/v2/vanish/manifests/latest").expect(404).await;
    }
    // With the last byte it is there, whether or not the client waits for the answer.
    let mut connection = connect(&registry).await;
    connection.send(&whole).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 201);
    client.pull("vanish", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn a_client_may_vanish_while_it_downloads() {
    let registry = TestRegistry::on_disk(|builder| builder).await;
    let client = registry.client();
    let blob = Content::random(5, 8_000_000);
    client.push_blob("app", &blob).await.unwrap();
    for number in 0..20 {
        let mut connection = RawConnection::open_narrow(registry.address()).await.unwrap();
        let request = format!("GET /v2/app/blobs/{} HTTP/1.1\r\nhost: x\r\n\r\n", blob.digest);
        connection.send(request).await.unwrap();
        if number % 2 == 0 { connection.reset().unwrap() } else { drop(connection) }
    }
    drop(client);
    no_connection_left(&registry).await;
    registry.client().pull_blob("app", &blob).await.unwrap();
}

#[tokio::test]
async fn vanished_clients_leave_no_file_open() {
    let server = ServerOptions::new().start().await;
    let client = server.client();
    client.push("app", "latest", &Image::random(13)).await.unwrap();
    let before = server.open_files();
    for _ in 0..50 {
        let session = client.begin_upload("app").await.unwrap();
        let path = session.location.strip_prefix(&server.url()).unwrap();
        let mut connection = RawConnection::open(server.address()).await.unwrap();
        let head = format!("PATCH {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\nbegin");
        connection.send(head).await.unwrap();
    }
    eventually("all is closed", async || (server.open_files() <= before + 2).then_some(())).await;
}
