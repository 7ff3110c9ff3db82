//! Immutable tags, by every way that the program has to move or remove a tag.

use registry_testing::{Client, Content, Image, Program, Server, ServerOptions, eventually};

fn options() -> ServerOptions {
    ServerOptions::new()
        .variable("REGISTRY_TAGS_IMMUTABLE", "[{repositories: team/**, tags: v*}]")
        .variable("REGISTRY_GC_INTERVAL", "20ms")
        .variable(
            "REGISTRY_RETENTION_POLICIES",
            "[{repositories: '**', rules: [{action: expire, tags: '**'}]}]",
        )
}

/// Whether a command succeeds, and what it prints, or what it complains of.
async fn run(options: &ServerOptions, arguments: &[&str]) -> (bool, String) {
    let output = options.run(Program::Registry, arguments).await;
    let is_done = output.status.success();
    (is_done, String::from_utf8(if is_done { output.stdout } else { output.stderr }).unwrap())
}

/// An image that says that its tags expire at once.
async fn push_short(client: &Client, repository: &str, tags: &[&str]) -> Content {
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [],
        "annotations": { "quay.expires-after": "0s" },
    });
    let manifest =
        Content::new("application/vnd.oci.image.index.v1+json".parse().unwrap(), manifest.to_string());
    for tag in tags {
        client.push_manifest(repository, tag, &manifest).await.unwrap();
    }
    manifest
}

async fn leads_to(server: &Server, tag: &str) -> Option<String> {
    let response = server.client().get(&format!("/v2/team/app/manifests/{tag}")).send().await.unwrap();
    let digest = response.header("docker-content-digest").map(str::to_owned);
    digest.filter(|_| response.status == 200)
}

#[tokio::test]
async fn no_way_moves_or_removes_an_immutable_tag() {
    let server = options().start().await;
    let client = server.client();
    let (first, other) = (push_short(&client, "team/app", &["v1", "latest"]).await, Image::random(1));
    let digest = first.digest.to_string();

    // Its label says that it expires: the tag beside it does.
    eventually("the other tag expires", async || leads_to(&server, "latest").await.is_none().then_some(()))
        .await;
    assert_eq!(leads_to(&server, "v1").await.as_deref(), Some(&*digest));

    client.push("team/app", "other", &other).await.unwrap();
    let other_digest = other.manifest.digest.to_string();
    let refused = client.push("team/app", "v1", &other).await.unwrap_err();
    assert_eq!(refused.status(), Some(409), "a push");
    let by_digest = format!("/v2/team/app/manifests/{other_digest}?tag=v1");
    let put = client.put(&by_digest).content_type(&other.manifest.media_type);
    put.body(other.manifest.bytes.clone()).expect(409).await;
    for reference in ["v1", &digest] {
        client.delete(&format!("/v2/team/app/manifests/{reference}")).expect(409).await;
    }

    for arguments in
        [&["tag", "revert", "team/app:v1", "--to", &other_digest][..], &["repository", "delete", "team/app"]]
    {
        let (succeeded, said) = run(server.options(), arguments).await;
        assert!(!succeeded && said.contains("tag `v1` is immutable"), "{arguments:?}: {said}");
    }
    let (_, preview) = run(server.options(), &["retention", "preview"]).await;
    let line = preview.lines().find(|line| line.contains("team/app:v1")).unwrap();
    assert!(line.starts_with("keep") && line.contains("the tag is immutable"), "{line}");
    let (_, fingerprint) = preview.trim_end().rsplit_once("retention.approved: ").unwrap();
    let approved = server.options().clone().variable("REGISTRY_RETENTION_APPROVED", fingerprint);
    let (succeeded, said) = run(&approved, &["retention", "apply"]).await;
    assert!(succeeded, "{said}");
    assert!(leads_to(&server, "other").await.is_none(), "what is not immutable goes");

    assert_eq!(leads_to(&server, "v1").await.as_deref(), Some(&*digest));
    let (_, history) = run(server.options(), &["tag", "history", "team/app:v1"]).await;
    assert_eq!(history.lines().count(), 1, "{history}");
    // Without the rule it is a tag as any other.
    let free = server.options().clone().without("REGISTRY_TAGS_IMMUTABLE");
    let (succeeded, said) = run(&free, &["repository", "delete", "team/app"]).await;
    assert!(succeeded, "{said}");
}
