//! A registry over SQLite becomes one over PostgreSQL.

use registry_testing::{Client, Content, Image, Index, ServerOptions, run_binary};
use registry_testing_postgres::PostgresServer;

struct Pushed {
    image: Image,
    index: Index,
    signature: Image,
    large: Content,
}

/// Tags, an index, a referrer, something that was deleted, and half of an upload; returns that upload's id and what it
/// has.
async fn fill(client: &Client) -> (Pushed, String) {
    let image = Image::random(1);
    let index = Index::random(2, 3);
    client.push("team/app", "latest", &image).await.unwrap();
    client.push("team/app", "v1", &image).await.unwrap();
    client.push_index("team/app", "multi", &index).await.unwrap();
    for number in 10..30 {
        client.push(&format!("many/r{number}"), "latest", &Image::random(number)).await.unwrap();
    }
    client.delete("/v2/many/r10/manifests/latest").expect(202).await;
    let signature = Image::referrer(3, image.manifest.descriptor(), "application/vnd.example.signature");
    client.push("team/app", &signature.manifest.digest.to_string(), &signature).await.unwrap();
    let large = Content::random(4, 200_000);
    let session = client.begin_upload("team/app").await.unwrap();
    let half = large.bytes.slice(..100_000);
    client.patch(&session.location).body(half).expect(202).await;
    (Pushed { image, index, signature, large }, session.id)
}

async fn everything_is_there(client: &Client, pushed: &Pushed) {
    for tag in ["latest", "v1"] {
        client.pull("team/app", tag, &pushed.image).await.unwrap();
    }
    client.pull_index("team/app", "multi", &pushed.index).await.unwrap();
    for number in 11..30 {
        client.pull(&format!("many/r{number}"), "latest", &Image::random(number)).await.unwrap();
    }
    client.get("/v2/many/r10/manifests/latest").expect(404).await;
    let referrers = format!("/v2/team/app/referrers/{}", pushed.image.manifest.digest);
    let listed = client.get(&referrers).expect(200).await.json();
    assert_eq!(listed["manifests"][0]["digest"], pushed.signature.manifest.digest.to_string());
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_and_nothing_else_changes() {
    let options = ServerOptions::new();
    let mut server = options.start().await;
    let (pushed, upload) = fill(&server.client()).await;
    let url = PostgresServer::shared().database();
    let root = options.data().display().to_string();
    let variables = [
        ("REGISTRY_METADATA_POSTGRESQL_URL", url.as_str()),
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &root),
    ];
    let migrate = || run_binary(&["migrate"], &variables);

    let refused = migrate();
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && message.contains("serves"), "{message}");

    server.terminate();
    server.ended().await;
    let moved = migrate();
    let message = String::from_utf8_lossy(&moved.stderr).into_owned();
    assert!(moved.status.success(), "{message}");
    for table in ["repositories", "manifests", "manifest_children", "tag_history", "uploads", "trash_tags"] {
        assert!(message.contains(&format!("compared {table}: ")), "{table}: {message}");
    }
    assert!(String::from_utf8_lossy(&moved.stdout).contains("moved "));

    let again = migrate();
    let message = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && message.contains("not empty"), "{message}");

    let server = options.variable("REGISTRY_METADATA_POSTGRESQL_URL", &url).start().await;
    let client = server.client();
    everything_is_there(&client, &pushed).await;
    // The upload goes on where it was.
    let location = format!("/v2/team/app/blobs/uploads/{upload}");
    let status = client.get(&location).expect(204).await;
    assert_eq!(status.must_have("range"), "0-99999");
    let closing = format!("{location}?digest={}", pushed.large.digest);
    client.put(&closing).body(pushed.large.bytes.slice(100_000..)).expect(201).await;
    client.pull_blob("team/app", &pushed.large).await.unwrap();
    // New rows have new numbers.
    for number in 40..45 {
        let image = Image::random(number);
        client.push("new/app", &format!("v{number}"), &image).await.unwrap();
        client.pull("new/app", &format!("v{number}"), &image).await.unwrap();
    }
}

#[tokio::test]
async fn what_can_not_be_moved_is_named() {
    let url = PostgresServer::shared().database();
    let target = ("REGISTRY_METADATA_POSTGRESQL_URL", url.as_str());
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("nothing.sqlite").display().to_string();
    for (variables, named) in [(vec![target], "nothing.sqlite"), (vec![], "metadata.postgresql.url")] {
        let refused = run_binary(&["migrate", "--from", &from], &variables);
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && message.contains(named), "{message}");
    }
    assert!(!folder.path().join("nothing.sqlite").exists(), "nothing is made by looking");
}
