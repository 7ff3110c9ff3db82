//! What a Go registry stored, taken over in place and given back. Both versions are filled by a client, and serve beside ours.

use std::{fs, path::Path, process::Output};

use bytes::Bytes;
use registry_core::types::MediaType;
use registry_testing::{Client, Content, Image, ImageOptions, ObjectServer, Program, ServerOptions};
use serde_json::{Value, json};

use crate::go_registry::GoRegistry;

const VERSIONS: [&str; 2] = ["go-registry", "docker-registry"];

const REPOSITORIES: &str = "docker/registry/v2/repositories";

/// Its client, which takes every manifest: the Go registry has no OCI image for a client that does not say so.
fn client_of(go: &GoRegistry) -> Client {
    let accepted = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ];
    Client::new(go.url()).header(http::header::ACCEPT, &accepted.join(", "))
}

/// Runs `registry import` with these flags and answers its report.
async fn import(options: &ServerOptions, flags: &[&str], expected_code: i32) -> Value {
    let output = run(options, &[&["import", "--report", "json"], flags].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected_code), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn run(options: &ServerOptions, arguments: &[&str]) -> Output {
    options.run(Program::Registry, arguments).await
}

fn docker_image(seed: u64) -> Image {
    ImageOptions { docker: true, ..ImageOptions::seeded(seed) }.build()
}

async fn put_manifest(client: &Client, path: &str, media_type: &str, body: &Bytes) {
    client.put(path).header("content-type", media_type).body(body.clone()).expect(201).await;
}

/// An index of one image.
fn index_of(image: &Image) -> Content {
    let media_type = "application/vnd.oci.image.index.v1+json".parse().unwrap();
    let text = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [image.manifest.descriptor()],
    });
    Content::new(media_type, text.to_string())
}

/// What the tests push: an image by two tags, one of Docker's types in another repository with a layer that is mounted, and an
/// index.
struct Filled {
    image: Image,
    docker: Image,
    index: Content,
}

async fn fill(client: &Client) -> Filled {
    let (image, docker) = (Image::random(1), docker_image(2));
    client.push("team/app", "v1", &image).await.unwrap();
    client.push("team/app", "latest", &image).await.unwrap();
    client.push("single", "v1", &docker).await.unwrap();
    let mount = format!("/v2/deep/er/name/blobs/uploads/?mount={}&from=team/app", image.blobs[1].digest);
    client.post(&mount).expect(201).await;
    let index = index_of(&image);
    let path = "/v2/team/app/manifests/multi";
    put_manifest(client, path, index.media_type.as_str(), &index.bytes).await;
    Filled { image, docker, index }
}

async fn pull_all(client: &Client, filled: &Filled) {
    for (name, tag, image) in [
        ("team/app", "v1", &filled.image),
        ("team/app", "latest", &filled.image),
        ("single", "v1", &filled.docker),
    ] {
        client.pull(name, tag, image).await.unwrap();
    }
    let accepted = filled.index.media_type.as_str();
    let index = client.get("/v2/team/app/manifests/multi").header("accept", accepted).expect(200).await;
    assert_eq!(index.body, filled.index.bytes);
    client.pull_blob("deep/er/name", &filled.image.blobs[1]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_either_version_is_served_as_it_is() {
    for version in VERSIONS {
        let options = ServerOptions::new();
        let go = GoRegistry::start_in(version, options.data()).await;
        let theirs = client_of(&go);
        let filled = fill(&theirs).await;

        let (_, log) = options.try_start().await.unwrap_err();
        assert!(log.contains("registry import"), "{version}: {log}");
        let dry = import(&options, &["--dry-run"], 0).await;
        assert_eq!((&dry["tags"], &dry["repositories"]), (&json!(4), &json!(3)), "{version}");
        assert!(!options.data().join("metadata.sqlite").exists() && !options.data().join("store").exists());

        let report = import(&options, &[], 0).await;
        assert_eq!((&report["tags"], &report["manifests_added"]), (&json!(4), &json!(3)), "{version}");
        let ours = options.start().await;
        pull_all(&ours.client(), &filled).await;
        pull_all(&theirs, &filled).await;
        let again = import(&options, &[], 0).await;
        assert_eq!((&again["tags"], &again["tags_set"]), (&json!(4), &json!(0)), "{version}");
        assert_eq!((&again["manifests_added"], &again["blobs_added"]), (&json!(0), &json!(0)), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_run_follows_what_came_moved_and_went() {
    for version in VERSIONS {
        let options = ServerOptions::new();
        let go = GoRegistry::start_in(version, options.data()).await;
        let theirs = client_of(&go);
        let filled = fill(&theirs).await;
        import(&options, &[], 0).await;
        let ours = options.start().await;

        let new = Image::random(7);
        theirs.push("team/app", "latest", &new).await.unwrap();
        theirs.push("came", "v1", &new).await.unwrap();
        let path = format!("/v2/single/manifests/{}", filled.docker.manifest.digest);
        theirs.delete(&path).expect(202).await;
        let report = import(&options, &[], 0).await;
        let client = ours.client();
        client.pull("team/app", "latest", &new).await.unwrap();
        client.pull("team/app", "v1", &filled.image).await.unwrap();
        client.pull("came", "v1", &new).await.unwrap();
        client.get("/v2/single/manifests/v1").expect(404).await;
        assert_eq!(
            (&report["tags_removed"], &report["manifests_removed"]),
            (&json!(1), &json!(1)),
            "{version}"
        );
        assert_eq!(report["tags_set"], json!(2), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn until_it_is_finished_clients_can_pull_and_not_change() {
    let options = ServerOptions::new();
    let go = GoRegistry::start_in("go-registry", options.data()).await;
    let filled = fill(&client_of(&go)).await;
    import(&options, &[], 0).await;
    let ours = options.start().await;
    let client = ours.client();
    let image = &filled.image;
    let manifest = format!("/v2/team/app/manifests/{}", image.manifest.digest);
    let blob = format!("/v2/team/app/blobs/{}", image.blobs[1].digest);
    let mount = format!("/v2/team/app/blobs/uploads/?mount={}&from=single", filled.docker.blobs[1].digest);
    for refused in [
        client.post("/v2/team/app/blobs/uploads/"),
        client.post(&mount),
        client
            .put("/v2/team/app/manifests/new")
            .header("content-type", image.manifest.media_type.as_str())
            .body(image.manifest.bytes.clone()),
        client.delete("/v2/team/app/manifests/v1"),
        client.delete(&manifest),
        client.delete(&blob),
    ] {
        let answer = refused.expect(403).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["errors"][0]["code"], "DENIED");
        assert!(
            body["errors"][0]["message"].as_str().unwrap().contains("registry import --finish"),
            "{body}"
        );
    }
    // What is new here is ours.
    client.push("elsewhere", "v1", &Image::random(3)).await.unwrap();

    let finished = import(&options, &["--finish"], 0).await;
    assert_eq!(finished["hidden"], json!(0));
    client.push("team/app", "new", &Image::random(4)).await.unwrap();
    client.delete("/v2/team/app/manifests/v1").expect(202).await;
    let refused = run(&options, &["import"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is finished"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_named_and_stops_nothing() {
    let options = ServerOptions::new();
    let go = GoRegistry::start_in("go-registry", options.data()).await;
    let theirs = client_of(&go);
    let filled = fill(&theirs).await;
    let (lost, wrong) = (Image::random(20), Image::random(21));
    for (tag, image) in
        [("lost", &lost), ("wrong", &wrong), ("empty", &filled.image), ("line", &filled.image)]
    {
        theirs.push("broken", tag, image).await.unwrap();
    }
    theirs.post("/v2/broken/blobs/uploads/").expect(202).await;
    let root = options.data();
    fs::remove_file(root.join(blob_path(&lost.blobs[2]))).unwrap();
    fs::write(root.join(blob_path(&wrong.manifest)), b"{}").unwrap();
    let tags = root.join(REPOSITORIES).join("broken/_manifests/tags");
    fs::write(tags.join("empty/current/link"), b"").unwrap();
    fs::write(tags.join("line/current/link"), format!("{}\n", filled.image.manifest.digest)).unwrap();
    let upper = root.join(REPOSITORIES).join("Upper/_manifests/tags/v1/current");
    fs::create_dir_all(&upper).unwrap();
    fs::write(upper.join("link"), filled.image.manifest.digest.to_string()).unwrap();

    let report = import(&options, &[], 2).await;
    let problems: Vec<String> = report["problems"].as_array().unwrap().iter().map(Value::to_string).collect();
    for (entry, reason) in [
        (lost.blobs[2].digest.to_string(), "bytes are missing"),
        (lost.manifest.digest.to_string(), "which it refers to, is missing"),
        (wrong.manifest.digest.to_string(), "another digest"),
        ("empty".to_owned(), "link is empty"),
        ("line".to_owned(), "no digest"),
        ("lost".to_owned(), "not here"),
        ("wrong".to_owned(), "not here"),
        ("Upper".to_owned(), "can not hold"),
    ] {
        let is_named = problems.iter().any(|problem| problem.contains(&entry) && problem.contains(reason));
        assert!(is_named, "{entry}: {reason} is not in {problems:#?}");
    }
    assert_eq!(report["unfinished_uploads"], json!(1));
    let ours = options.start().await;
    pull_all(&ours.client(), &filled).await;
    ours.client().get("/v2/broken/manifests/lost").expect(404).await;
}

fn blob_path(content: &Content) -> String {
    let hex = content.digest.hex();
    format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_waits_for_bytes_that_are_missing() {
    let options = ServerOptions::new();
    let go = GoRegistry::start_in("go-registry", options.data()).await;
    let filled = fill(&client_of(&go)).await;
    let refused = run(&options, &["import", "--finish"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no import came to its end"), "{refused:?}");
    import(&options, &[], 0).await;
    fs::remove_file(options.data().join(blob_path(&filled.docker.blobs[1]))).unwrap();
    let refused = run(&options, &["import", "--finish"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--accept-missing"), "{refused:?}");
    let finished = import(&options, &["--finish", "--accept-missing"], 0).await;
    assert_eq!(finished["hidden"], json!(1));
    let ours = options.start().await;
    // A push brings them back.
    ours.client().push("single", "v1", &filled.docker).await.unwrap();
    pull_all(&ours.client(), &filled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_imports_serves_at_once() {
    let options = ServerOptions::new();
    let go = GoRegistry::start_in("go-registry", options.data()).await;
    let filled = fill(&client_of(&go)).await;
    drop(go);
    let options = options.variable("REGISTRY_STORAGE_IMPORT", "true");
    for _ in 0..2 {
        let ours = options.start().await;
        pull_all(&ours.client(), &filled).await;
        ours.client().push("team/app", "v2", &Image::random(9)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_registry_serves_everything_again_after_an_export() {
    for version in VERSIONS {
        let options = ServerOptions::new();
        let go = GoRegistry::start_in(version, options.data()).await;
        let filled = fill(&client_of(&go)).await;
        let old = leave_what_is_not_taken_over(options.data());
        import(&options, &[], 2).await;
        import(&options, &["--finish"], 0).await;
        drop(go);
        let mut ours = options.start().await;
        let (new, other) = (Image::random(30), docker_image(31));
        ours.client().push("team/app", "new", &new).await.unwrap();
        ours.client().push("team/app", "v1", &other).await.unwrap();
        ours.client().push("fresh/app", "v1", &new).await.unwrap();
        ours.client().delete("/v2/single/manifests/v1").expect(202).await;
        ours.terminate();
        ours.ended().await;
        let exported = run(&options, &["export"]).await;
        assert!(exported.status.success(), "{exported:?}");

        let go = GoRegistry::start_in(version, options.data()).await;
        let theirs = client_of(&go);
        for (name, tag, image) in [
            ("team/app", "latest", &filled.image),
            ("team/app", "new", &new),
            ("team/app", "v1", &other),
            ("fresh/app", "v1", &new),
        ] {
            theirs.pull(name, tag, image).await.unwrap();
        }
        theirs.get("/v2/single/manifests/v1").expect(404).await;
        assert!(!tag_folder(options.data(), "single", "v1").exists());
        for path in old {
            assert!(path.exists(), "{} was never taken over, and is gone", path.display());
        }
    }
}

/// A manifest of schema 1 with its tag, and a tag whose link is empty: the files that lead to them.
fn leave_what_is_not_taken_over(root: &Path) -> Vec<std::path::PathBuf> {
    let manifest = Content::new(
        MediaType::DOCKER_SCHEMA1,
        br#"{"schemaVersion": 1, "name": "team/app", "tag": "old"}"#.to_vec(),
    );
    let hex = manifest.digest.hex();
    let bytes = root.join(blob_path(&manifest));
    let revision =
        root.join(format!("docker/registry/v2/repositories/team/app/_manifests/revisions/sha256/{hex}/link"));
    let current = tag_folder(root, "team/app", "old").join("current/link");
    let empty = tag_folder(root, "team/app", "empty").join("current/link");
    let link = manifest.digest.to_string();
    for (path, text) in [
        (&bytes, &manifest.bytes[..]),
        (&revision, link.as_bytes()),
        (&current, link.as_bytes()),
        (&empty, b""),
    ] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    vec![bytes, revision, current, empty]
}

fn tag_folder(root: &Path, name: &str, tag: &str) -> std::path::PathBuf {
    root.join(REPOSITORIES).join(name).join("_manifests/tags").join(tag)
}

/// A run that is killed at some moment is completed by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_completed_by_the_next_one() {
    let options = ServerOptions::new();
    let go = GoRegistry::start_in("go-registry", options.data()).await;
    let theirs = client_of(&go);
    let images: Vec<Image> = (0..20).map(|seed| Image::random(100 + seed)).collect();
    for (number, image) in images.iter().enumerate() {
        theirs.push(&format!("app-{number}"), "v1", image).await.unwrap();
    }
    for rows in [1, 5, 10, 15] {
        let mut child = options.spawn_command(Program::Registry, &["import"]);
        // Killed when so many repositories are there, or at its end.
        let counts = || count_tags(options.data()) >= rows;
        while !counts() && child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    let report = import(&options, &[], 0).await;
    assert_eq!(report["tags"], json!(20));
    let checked = run(&options, &["fsck", "--deep"]).await;
    assert!(checked.status.success(), "{checked:?}");
    let ours = options.start().await;
    for (number, image) in images.iter().enumerate() {
        ours.client().pull(&format!("app-{number}"), "v1", image).await.unwrap();
    }
}

/// How large the log of the database is, in pages: a measure of what a run has done that needs no connection.
fn count_tags(root: &Path) -> u64 {
    fs::metadata(root.join("metadata.sqlite-wal")).map_or(0, |log| log.len() / 40_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_taken_over_and_given_back() {
    let server = ObjectServer::versitygw();
    let storage = format!(
        "s3: {{region: us-east-1, bucket: {}, regionendpoint: \"http://127.0.0.1:{}\", accesskey: {}, secretkey: {}, \
         forcepathstyle: true, secure: false, rootdirectory: /some/where}}, redirect: {{disable: true}}",
        ObjectServer::BUCKET,
        server.port(),
        ObjectServer::KEY_ID,
        ObjectServer::SECRET,
    );
    let go = GoRegistry::start_over("go-registry", &storage, "").await;
    let theirs = client_of(&go);
    let filled = fill(&theirs).await;
    let options = ServerOptions::new()
        .in_bucket(server.port())
        .variable("REGISTRY_STORAGE_S3_ROOTDIRECTORY", "/some/where")
        .variable("REGISTRY_STORAGE_REDIRECT_DISABLE", "true");
    let report = import(&options, &[], 0).await;
    assert_eq!((&report["tags"], &report["manifests_added"]), (&json!(4), &json!(3)));
    let ours = options.start().await;
    pull_all(&ours.client(), &filled).await;
    import(&options, &["--finish"], 0).await;
    let new = Image::random(40);
    ours.client().push("team/app", "new", &new).await.unwrap();
    let exported = run(&options, &["export"]).await;
    assert!(exported.status.success(), "{exported:?}");
    theirs.pull("team/app", "new", &new).await.unwrap();
    pull_all(&theirs, &filled).await;
}
