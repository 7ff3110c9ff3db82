//! Background work holds one manifest at a time, however many wait.

use std::collections::BTreeMap;

use registry_testing::{ImageOptions, Program, ServerOptions, eventually};

/// How many manifests there are, and how long the text is that makes each as large as one may be.
const MANIFESTS: usize = 40;
const NOTE_BYTES: usize = (4 << 20) - 4096;

/// What reading them may cost: some of them at once, and by far not all.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

#[tokio::test]
async fn many_large_manifests_are_collected_and_checked_one_at_a_time() {
    let options = ServerOptions::new()
        .variable("REGISTRY_GC_ENABLED", "false")
        .variable("REGISTRY_GC_INTERVAL", "20ms");
    let server = options.start().await;
    // Of the same program without work, counted as what is compared with it: the pages of a program are not what reading costs.
    let before = server.memory_peak_bytes();
    let client = server.client();
    let image = |annotations: BTreeMap<String, String>| {
        ImageOptions { annotations, layers_bytes: vec![10], ..ImageOptions::seeded(1) }.build()
    };
    let small = image(BTreeMap::new());
    client.push("app", "small", &small).await.unwrap();
    for number in 0..MANIFESTS {
        let note = format!("{number} {}", "x".repeat(NOTE_BYTES));
        let large = image(BTreeMap::from([("note".to_owned(), note)]));
        client.push_manifest("app", &format!("large{number}"), &large.manifest).await.unwrap();
    }
    // Labels are read in the order of repositories: when this tag is gone, those of all others were read.
    let last = image(BTreeMap::from([("quay.expires-after".to_owned(), "0s".to_owned())]));
    client.push("last", "short", &last).await.unwrap();
    drop(server);

    let server = options.variable("REGISTRY_GC_ENABLED", "true").start().await;
    eventually("all labels are read", async || {
        let response = server.client().get("/v2/last/manifests/short").send().await.unwrap();
        (response.status == 404).then_some(())
    })
    .await;
    let growth = server.memory_peak_bytes().saturating_sub(before);
    eprintln!("the collector took {growth} bytes");
    assert!(growth < GROWTH_BYTES_MAX, "the collector took {growth} bytes");
    let fsck = server.options().run(Program::Registry, &["fsck"]).await;
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}
