//! Garbage is collected by the server, by `registry-gc` beside it, and by `registry garbage-collect`.

mod trash;

use std::{fs, io, path::Path};

use registry_testing::{
    Client, Content, Image, ImageOptions, Index, Program, Server, ServerOptions, eventually,
};
use serde_json::Value;

/// A server that collects all the time and keeps nothing that was deleted. A push has to be done within the lease.
fn hurried() -> ServerOptions {
    ServerOptions::new()
        .variable("REGISTRY_GC_LEASE", "2s")
        .variable("REGISTRY_GC_GRACE", "0s")
        .variable("REGISTRY_GC_UNDELETE_WINDOW", "0s")
        .variable("REGISTRY_GC_INTERVAL", "20ms")
}

/// The same, and it does not collect by itself: leases can be as short as one likes.
fn not_collecting() -> ServerOptions {
    hurried().variable("REGISTRY_GC_ENABLED", "false").variable("REGISTRY_GC_LEASE", "100ms")
}

/// How many objects there are on disk, and their bytes. One that goes while it is looked at is gone.
fn objects(data: &Path) -> (usize, u64) {
    let shards = fs::read_dir(data.join("store/blobs")).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    files.fold((0, 0), |(count, bytes), file| match file.unwrap().metadata() {
        Ok(metadata) => (count + 1, bytes + metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (count, bytes),
        Err(error) => panic!("look at an object: {error}"),
    })
}

fn bytes_of(images: &[&Image]) -> u64 {
    images.iter().flat_map(|image| &image.blobs).map(|blob| blob.bytes.len() as u64).sum()
}

async fn delete(client: &Client, repository: &str, reference: &str) {
    client.delete(&format!("/v2/{repository}/manifests/{reference}")).expect(202).await;
}

async fn collect_once(server: &Server) -> Value {
    let output = server.options().run(Program::Gc, &["--report", "json"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Collects until what is on disk is as it should be.
async fn collect_until(server: &Server, bytes: u64) {
    eventually("all garbage is gone", async || {
        collect_once(server).await;
        (objects(server.data()).1 == bytes).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deleted_image_gives_its_space_back_and_leaves_what_others_use() {
    let server = hurried().start().await;
    let client = server.client();
    let (kept, gone) = (Image::random(1), Image::random(2));
    client.push("kept", "v1", &kept).await.unwrap();
    client.push("gone", "v1", &gone).await.unwrap();
    client.push("gone", "v2", &kept).await.unwrap();
    delete(&client, "gone", &gone.manifest.digest.to_string()).await;
    delete(&client, "gone", &kept.manifest.digest.to_string()).await;
    eventually("the space is back", async || {
        (objects(server.data()) == (kept.blobs.len(), bytes_of(&[&kept]))).then_some(())
    })
    .await;
    client.pull("kept", "v1", &kept).await.unwrap();
    for blob in &gone.blobs {
        client.head(&format!("/v2/gone/blobs/{}", blob.digest)).expect(404).await;
    }
    client.push("gone", "v1", &gone).await.unwrap();
    client.pull("gone", "v1", &gone).await.unwrap();
}

#[tokio::test]
async fn registry_gc_works_beside_a_server_and_reports_in_json() {
    let server = not_collecting().start().await;
    let client = server.client();
    let (kept, gone) = (Image::random(3), Image::random(4));
    client.push("app", "kept", &kept).await.unwrap();
    client.push("app", "gone", &gone).await.unwrap();
    delete(&client, "app", &gone.manifest.digest.to_string()).await;

    let dry = server.options().run(Program::Gc, &["--dry-run", "--report", "json"]).await;
    let dry: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(dry["dry_run"], true);
    assert_eq!(objects(server.data()).1, bytes_of(&[&kept, &gone]), "a dry run does nothing");

    let mut removed = 0;
    eventually("all garbage is gone", async || {
        let report = collect_once(&server).await;
        assert_eq!(report["failed"], 0);
        removed += report["removed"]["digest"].as_u64().unwrap_or(0);
        (objects(server.data()).1 == bytes_of(&[&kept])).then_some(())
    })
    .await;
    assert_eq!(removed, gone.blobs.len() as u64);
    client.pull("app", "kept", &kept).await.unwrap();
    let text = server.options().run(Program::Gc, &[]).await;
    assert!(String::from_utf8_lossy(&text.stdout).contains("looked at 0 candidates"), "{text:?}");
}

#[tokio::test]
async fn garbage_collect_speaks_as_scripts_expect() {
    let server = not_collecting().start().await;
    let client = server.client();
    let (old, new) = (Image::random(5), Image::random(6));
    client.push("app", "latest", &old).await.unwrap();
    client.push("app", "latest", &new).await.unwrap();
    let run = async |arguments: &[&str]| {
        let arguments = [&["garbage-collect"], arguments].concat();
        let output = server.options().run(Program::Registry, &arguments).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let digest = old.manifest.digest;
    eventually("the lease is over", async || {
        let said = run(&["--dry-run", "--delete-untagged"]).await;
        said.contains(&format!("manifest eligible for deletion: {{app {digest} []}}")).then_some(())
    })
    .await;
    run(&[]).await;
    client.get(&format!("/v2/app/manifests/{digest}")).expect(200).await;
    let said = run(&["-m"]).await;
    assert!(said.contains("0 blobs and 1 manifests eligible for deletion"), "{said}");
    client.get(&format!("/v2/app/manifests/{digest}")).expect(404).await;
    eventually("its blobs go after their lease", async || {
        let said = run(&[]).await;
        let line = format!("blob eligible for deletion: {}", old.blobs[0].digest);
        said.contains(&line).then_some(())
    })
    .await;
    assert_eq!(run(&["--quiet"]).await, "");
    collect_until(&server, bytes_of(&[&new])).await;
    client.pull("app", "latest", &new).await.unwrap();
}

#[tokio::test]
async fn a_command_makes_nothing_where_nothing_is() {
    let options = ServerOptions::new();
    for (program, arguments) in
        [(Program::Gc, &[][..]), (Program::Registry, &["garbage-collect"]), (Program::Gc, &["--dry-run"])]
    {
        let output = options.run(program, arguments).await;
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("no database"), "{said}");
    }
    assert!(!options.data().exists());
}

#[tokio::test]
async fn an_index_takes_its_images_along_but_not_those_that_are_tagged() {
    let server = hurried().start().await;
    let client = server.client();
    let (one, two) = (Image::random(7), Image::random(8));
    let index = Index::of(vec![one.clone(), two.clone()]);
    client.push_index("app", "v1", &index).await.unwrap();
    client.push("app", "two", &two).await.unwrap();
    delete(&client, "app", &index.manifest.digest.to_string()).await;
    eventually("the image is gone", async || (objects(server.data()).1 == bytes_of(&[&two])).then_some(()))
        .await;
    client.pull("app", "two", &two).await.unwrap();
    client.get(&format!("/v2/app/manifests/{}", one.manifest.digest)).expect(404).await;
}

#[tokio::test]
async fn many_collectors_at_once_take_everything_and_nothing_else() {
    let server = hurried().variable("REGISTRY_GC_LEASE", "1s").start().await;
    let client = server.client();
    let image = |seed| ImageOptions { layers_bytes: vec![2000; 3], ..ImageOptions::seeded(seed) }.build();
    let (kept, gone): (Vec<_>, Vec<_>) = ((0..5).map(image).collect(), (5..30).map(image).collect());
    for image in &kept {
        client.push("kept", &format!("t-{}", image.manifest.digest.hex()), image).await.unwrap();
    }
    for image in &gone {
        client.push("gone", "latest", image).await.unwrap();
        delete(&client, "gone", &image.manifest.digest.to_string()).await;
    }
    let expected = bytes_of(&kept.iter().collect::<Vec<_>>());
    eventually("all garbage is gone", async || {
        let run = || server.options().run(Program::Gc, &[]);
        for output in <[_; 3]>::from(tokio::join!(run(), run(), run())) {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        (objects(server.data()).1 == expected).then_some(())
    })
    .await;
    for image in &kept {
        client.pull("kept", &image.manifest.digest.to_string(), image).await.unwrap();
    }
}

#[tokio::test]
async fn counters_tell_what_was_collected() {
    let server = hurried()
        .variable("REGISTRY_HTTP_DEBUG_ADDR", "127.0.0.1:0")
        .variable("REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED", "true")
        .start()
        .await;
    let client = server.client();
    let image = Image::random(9);
    client.push("app", "v1", &image).await.unwrap();
    delete(&client, "app", &image.manifest.digest.to_string()).await;
    eventually("the space is back", async || (objects(server.data()).0 == 0).then_some(())).await;
    let log = server.log().text();
    let (_, after) = log.split_once("health and metrics at http://").unwrap();
    let address = after.split(|c: char| c == '"' || c.is_whitespace()).next().unwrap();
    let debug = Client::new(&format!("http://{address}"));
    let count = image.blobs.len();
    for line in [
        format!("registry_gc_candidates_total{{kind=\"digest\",outcome=\"removed\"}} {count}"),
        format!("registry_gc_deleted_objects_total {count}"),
        "registry_gc_failures_total 0".to_owned(),
    ] {
        // An object is counted once its deletion is crossed out, a moment after it is gone.
        eventually(&line, async || {
            debug.get("/metrics").expect(200).await.text().contains(&line).then_some(())
        })
        .await;
    }
}

async fn fsck(server: &Server, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["fsck", "--report", "json"], arguments].concat();
    let output = server.options().run(Program::Registry, &arguments).await;
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

#[tokio::test]
async fn fsck_finds_what_a_disk_has_lost_and_clients_push_it_again() {
    let server = ServerOptions::new().start().await;
    let client = server.client();
    let (lost, changed) = (Image::random(20), Image::random(21));
    client.push("team/lost", "v1", &lost).await.unwrap();
    client.push("team/changed", "v1", &changed).await.unwrap();
    assert_eq!(fsck(&server, &["--deep"]).await.0, Some(0));
    for how in [["--sample", "5"], ["--rate", "50"]] {
        let refused = command(&server, &[&["fsck"][..], &how].concat()).await.unwrap_err();
        assert!(refused.contains("--deep"), "{refused}");
    }

    let files: Vec<_> = fs::read_dir(server.data().join("store/blobs"))
        .unwrap()
        .flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    let file_of =
        |bytes: &[u8]| files.iter().find(|file| fs::read(file).is_ok_and(|found| found == bytes)).unwrap();
    fs::remove_file(file_of(&lost.layers()[0].bytes)).unwrap();
    let file = file_of(&changed.layers()[0].bytes);
    let mut bytes = fs::read(file).unwrap();
    bytes[7] ^= 1;
    fs::write(file, bytes).unwrap();

    let (code, report) = fsck(&server, &[]).await;
    assert_eq!((code, &report["found"]), (Some(1), &1.into()), "{report}");
    assert_eq!(report["findings"][0]["problem"], "missing");
    assert_eq!(report["findings"][0]["repositories"][0], "team/lost");
    let (code, report) = fsck(&server, &["--deep", "--repair", "--rate", "100"]).await;
    assert_eq!((code, &report["repaired"]), (Some(1), &2.into()), "{report}");
    client.push("team/lost", "v1", &lost).await.unwrap();
    client.push("team/changed", "v1", &changed).await.unwrap();
    client.pull("team/lost", "v1", &lost).await.unwrap();
    client.pull("team/changed", "v1", &changed).await.unwrap();
    let (code, report) = fsck(&server, &["--deep"]).await;
    assert_eq!(code, Some(0), "{report}");
}

#[tokio::test]
async fn a_sweep_finds_bytes_that_no_row_leads_to() {
    let server = not_collecting().variable("REGISTRY_GC_SWEEP_AGE", "0s").start().await;
    let client = server.client();
    let image = Image::random(22);
    client.push("app", "v1", &image).await.unwrap();
    let stray = server.data().join("store/blobs/00/12345678-1234-4234-8234-123456789000");
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, "stray").unwrap();
    let (code, report) = fsck(&server, &[]).await;
    assert_eq!((code, &report["sweep"]["unknown"]), (Some(0), &1.into()), "{report}");
    assert!(stray.exists());
    let (code, report) = fsck(&server, &["--repair"]).await;
    assert_eq!((code, &report["sweep"]["given_up"]), (Some(0), &1.into()), "{report}");
    collect_once(&server).await;
    assert!(!stray.exists());
    client.pull("app", "v1", &image).await.unwrap();
}

#[tokio::test]
async fn an_image_says_when_its_tags_expire() {
    let server = not_collecting().variable("REGISTRY_GC_UNDELETE_WINDOW", "1h").start().await;
    let client = server.client();
    let lasting = Image::random(34);
    client.push("app", "lasting", &lasting).await.unwrap();
    let config = Content::new(
        "application/vnd.oci.image.config.v1+json".parse().unwrap(),
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":{"quay.expires-after":"1s"}}}"#,
    );
    client.push_blob("app", &config).await.unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": config.media_type, "digest": config.digest, "size": config.bytes.len() },
        "layers": [],
    });
    let manifest =
        Content::new("application/vnd.oci.image.manifest.v1+json".parse().unwrap(), manifest.to_string());
    client.push_manifest("app", "nightly", &manifest).await.unwrap();
    collect_once(&server).await;
    eventually("the tag expires", async || {
        collect_once(&server).await;
        let tags = client.get("/v2/app/tags/list").expect(200).await.json();
        (tags["tags"] == serde_json::json!(["lasting"])).then_some(())
    })
    .await;
    let history = command(&server, &["tag", "history", "app:nightly"]).await.unwrap();
    assert!(
        history.starts_with("20") && history.lines().next().unwrap().ends_with("deleted expired"),
        "{history}"
    );
    client.pull("app", "lasting", &lasting).await.unwrap();
}

#[tokio::test]
async fn an_immutable_tag_can_not_be_pushed_over() {
    let server =
        ServerOptions::new().variable("REGISTRY_TAGS_IMMUTABLE", "[{repositories: team/**, tags: v*}]");
    let server = server.start().await;
    let client = server.client();
    let (first, second) = (Image::random(40), Image::random(41));
    client.push("team/app", "v1", &first).await.unwrap();
    client.push("team/app", "v1", &first).await.unwrap();
    let refused = client.push("team/app", "v1", &second).await.unwrap_err();
    assert_eq!(refused.status(), Some(409));
    assert!(refused.to_string().contains("tag `v1` is immutable"), "{refused}");
    for reference in ["v1".to_owned(), first.manifest.digest.to_string()] {
        client.delete(&format!("/v2/team/app/manifests/{reference}")).expect(409).await;
    }
    client.pull("team/app", "v1", &first).await.unwrap();
    client.push("team/app", "latest", &first).await.unwrap();
    client.push("team/app", "latest", &second).await.unwrap();
    client.push("other", "v1", &first).await.unwrap();
    client.push("other", "v1", &second).await.unwrap();
}

#[tokio::test]
async fn what_registry_gc_does_goes_into_the_journal() {
    let options = not_collecting().variable("REGISTRY_METADATA_SQLITE_JOURNAL_ENABLED", "true");
    let server = options.start().await;
    let client = server.client();
    let (kept, gone) = (Image::random(42), Image::random(43));
    client.push("app", "kept", &kept).await.unwrap();
    client.push("app", "gone", &gone).await.unwrap();
    delete(&client, "app", &gone.manifest.digest.to_string()).await;
    collect_until(&server, bytes_of(&[&kept])).await;
    command(&server, &["journal", "verify"]).await.unwrap();
    drop(server);

    // The disk is lost, and the journal is not: what was collected stays so.
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(options.data().join(format!("metadata.sqlite{suffix}")));
    }
    let server = options.start().await;
    server.client().pull("app", "kept", &kept).await.unwrap();
    server.client().head(&format!("/v2/app/blobs/{}", gone.blobs[0].digest)).expect(404).await;
    assert_eq!(fsck(&server, &["--deep"]).await.0, Some(0));
}

/// Runs a command beside the server; what it said, and on which channel if it failed.
async fn command(server: &Server, arguments: &[&str]) -> Result<String, String> {
    let output = server.options().run(Program::Registry, arguments).await;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}
