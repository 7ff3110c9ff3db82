//! Images go by policies: after a preview, by hand or in the server, and come back.

use std::fs;

use registry_testing::{Content, Image, Index, Program, Server, ServerOptions, eventually};
use serde_json::Value;

const POLICIES: &str = "[{repositories: team/**, rules: [
    {name: releases, action: keep, semver: '*'},
    {name: old builds, action: expire, tags: 'dev-*', beyond: 1},
    {name: leftovers, action: expire, state: untagged}]}]";

fn options() -> ServerOptions {
    ServerOptions::new().variable("REGISTRY_RETENTION_POLICIES", POLICIES)
}

async fn run(options: &ServerOptions, arguments: &[&str]) -> String {
    let output = options.run(Program::Registry, arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn report(options: &ServerOptions, verb: &str) -> Value {
    serde_json::from_str(&run(options, &["retention", verb, "--report", "json"]).await).unwrap()
}

/// Of a tag, or of a manifest without one.
fn image<'a>(report: &'a Value, tag: &str) -> &'a Value {
    let images = report["images"].as_array().unwrap();
    let is_meant = |image: &&Value| image["tag"].as_str().unwrap_or_default() == tag;
    images.iter().find(is_meant).unwrap_or_else(|| panic!("{tag} is not in {report}"))
}

fn verdict(report: &Value, tag: &str) -> (String, String) {
    let text = |key: &str| image(report, tag)[key].as_str().unwrap_or_default().to_owned();
    (text("verdict"), text("rule"))
}

/// The same options with the line that the preview printed.
async fn approved(options: &ServerOptions) -> ServerOptions {
    let said = run(options, &["retention", "preview"]).await;
    let (_, fingerprint) = said.trim_end().rsplit_once("retention.approved: ").unwrap();
    options.clone().variable("REGISTRY_RETENTION_APPROVED", fingerprint)
}

async fn with_images(server: &Server) {
    let client = server.client();
    for (seed, tag) in [(1, "v1.0.0"), (2, "dev-1"), (3, "dev-2"), (4, "main")] {
        client.push("team/app", tag, &Image::random(seed)).await.unwrap();
    }
    let alone = Image::random(5);
    client.push("team/app", &alone.manifest.digest.to_string(), &alone).await.unwrap();
    client.push("other", "dev-1", &Image::random(2)).await.unwrap();
    client.push("other", "dev-2", &Image::random(3)).await.unwrap();
}

#[tokio::test]
async fn a_preview_tells_what_would_go_by_which_rule_and_does_nothing() {
    let server = options().start().await;
    with_images(&server).await;
    let before = report(server.options(), "preview").await;
    let said = |verdict: &str, rule: &str| (verdict.to_owned(), rule.to_owned());
    assert_eq!(verdict(&before, "v1.0.0"), said("keep", "releases"));
    assert_eq!(verdict(&before, "dev-1"), said("expire", "old builds"));
    assert_eq!(verdict(&before, "dev-2"), said("keep", ""));
    assert_eq!(verdict(&before, "main"), said("keep", ""));
    assert_eq!(verdict(&before, ""), said("keep", ""), "somebody pushed it just now, to use it");
    assert!(image(&before, "")["reason"].as_str().unwrap().starts_with("a client may rely on it"));
    assert!(before["images"].as_array().unwrap().iter().all(|image| image["repository"] == "team/app"));
    assert_eq!((&before["summary"]["expired"], &before["summary"]["kept"]), (&1.into(), &4.into()));

    let text = run(server.options(), &["retention", "preview", "--repository", "team/*"]).await;
    let line = text.lines().find(|line| line.contains("team/app:dev-1")).unwrap();
    assert!(line.starts_with("expire") && line.contains("by old builds; pushed 20"), "{line}");
    let none = run(server.options(), &["retention", "preview", "--repository", "other"]).await;
    assert!(none.starts_with("0 repositories: 0 images expired"), "{none}");
    assert_eq!(report(server.options(), "preview").await, before);
}

#[tokio::test]
async fn what_was_previewed_can_be_applied_and_comes_back() {
    let server = options().start().await;
    with_images(&server).await;
    let refused = server.options().run(Program::Registry, &["retention", "apply"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("registry retention preview"), "{said}");

    let approved = approved(server.options()).await;
    let applied = report(&approved, "apply").await;
    assert_eq!(verdict(&applied, "dev-1"), ("expired".to_owned(), "old builds".to_owned()));
    assert_eq!(applied["summary"]["expired"], 1);
    let client = server.client();
    client.get("/v2/team/app/manifests/dev-1").expect(404).await;
    for kept in ["team/app/manifests/dev-2", "team/app/manifests/v1.0.0", "other/manifests/dev-1"] {
        client.get(&format!("/v2/{kept}")).expect(200).await;
    }
    let history = run(&approved, &["tag", "history", "team/app:dev-1"]).await;
    assert!(history.lines().next().unwrap().contains(" deleted retention"), "{history}");

    run(&approved, &["undelete", "team/app:dev-1"]).await;
    client.pull("team/app", "dev-1", &Image::random(2)).await.unwrap();
    let after = report(&approved, "preview").await;
    assert_eq!(verdict(&after, "dev-1").0, "keep", "what was brought back is the newest now");
    let changed =
        approved.variable("REGISTRY_RETENTION_POLICIES", "[{repositories: '**', rules: [{action: keep}]}]");
    assert_eq!(changed.run(Program::Registry, &["retention", "apply"]).await.status.code(), Some(1));
}

#[tokio::test]
async fn the_server_applies_what_was_approved_and_nothing_else() {
    let options = options()
        .variable("REGISTRY_RETENTION_ENABLED", "true")
        .variable("REGISTRY_RETENTION_INTERVAL", "50ms")
        .variable("REGISTRY_GC_LEASE", "1s")
        .variable("REGISTRY_GC_INTERVAL", "50ms")
        .variable("REGISTRY_GC_UNDELETE_WINDOW", "0s")
        .variable("REGISTRY_GC_GRACE", "0s");
    // Nothing is collected while images are pushed, however long that takes.
    let mut server = options.variable("REGISTRY_GC_ENABLED", "false").start().await;
    server.log().wait_for("retention.approved: does not stand for these policies").await;
    with_images(&server).await;
    let index = Index::random(20, 2);
    server.client().push_index("team/app", "dev-0", &index).await.unwrap();
    server.client().push("team/app", "dev-9", &Image::random(9)).await.unwrap();
    let approved = approved(server.options()).await;
    for tag in ["dev-0", "dev-1", "dev-2", "dev-9"] {
        server.client().get(&format!("/v2/team/app/manifests/{tag}")).expect(200).await;
    }
    server.kill().await;

    let server = approved.variable("REGISTRY_GC_ENABLED", "true").start().await;
    let client = server.client();
    eventually("old builds are gone, with what hangs on them", async || {
        let mut gone = true;
        for reference in ["dev-0", "dev-1", "dev-2", &index.images[0].manifest.digest.to_string()] {
            // Not by HEAD, which is a promise, and keeps what it finds for a lease.
            let answer = client.get(&format!("/v2/team/app/manifests/{reference}")).send().await.unwrap();
            gone &= answer.status == 404;
        }
        gone.then_some(())
    })
    .await;
    server.log().wait_for("by old builds").await;
    for kept in ["team/app/manifests/dev-9", "team/app/manifests/v1.0.0", "other/manifests/dev-1"] {
        client.get(&format!("/v2/{kept}")).expect(200).await;
    }
}

#[tokio::test]
async fn last_pulls_are_known_after_a_restart() {
    let mut server = options().start().await;
    let client = server.client();
    with_images(&server).await;
    let index = Index::random(30, 2);
    client.push_index("team/app", "v2.0.0", &index).await.unwrap();
    client.get("/v2/team/app/manifests/v1.0.0").expect(200).await;
    client.get(&format!("/v2/team/app/manifests/{}", index.images[1].manifest.digest)).expect(200).await;
    client.head("/v2/team/app/manifests/dev-1").expect(200).await;
    client.get("/v2/team/app/manifests/unknown").expect(404).await;
    server.terminate();
    server.ended().await;
    let server = server.options().start().await;
    let said = report(server.options(), "preview").await;
    let pulled = |tag: &str| image(&said, tag)["pulled_at_ms"].as_i64();
    assert!(pulled("v1.0.0").is_some_and(|pulled| pulled > 1_700_000_000_000), "{said}");
    assert!(pulled("v2.0.0").is_some(), "an image of the index was pulled");
    assert_eq!((pulled("dev-1"), pulled("dev-2")), (None, None), "to look is not to pull");
}

#[tokio::test]
async fn policies_of_other_registries_are_translated_into_what_the_registry_reads() {
    let options = ServerOptions::new();
    let cases = [
        (
            "ecr",
            r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}, "action": {"type": "expire"}}]}"#,
        ),
        ("gar", r#"[{"name": "old", "action": {"type": "Delete"}, "condition": {"olderThan": "30d"}}]"#),
        (
            "harbor",
            r#"{"algorithm": "or", "rules": [{"template": "latestPushedK", "params": {"latestPushedK": 10}, "tag_selectors": []}]}"#,
        ),
        ("gitlab", r#"{"name_regex_delete": ".*", "keep_n": 10, "older_than": "90d"}"#),
    ];
    let path = options.folder().join("policies.json");
    let path = path.to_str().unwrap();
    for (source, json) in cases {
        fs::write(path, json).unwrap();
        let import = ["retention", "import", "--from", source, "--repositories", "team/**", path];
        let said = run(&options, &import).await;
        let config = options.folder().join(format!("{source}.yml"));
        fs::write(&config, format!("version: 0.1\n{said}")).unwrap();
        let checked = run(&options, &["check-config", config.to_str().unwrap()]).await;
        assert!(checked.contains("no problems"), "{checked}");
    }
    fs::write(path, r#"{"rules": [], "extra": 1}"#).unwrap();
    let refused = options.run(Program::Registry, &["retention", "import", "--from", "ecr", path]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("extra: is not known"), "{refused:?}");
}

/// A signature's old name keeps it beside its image.
#[tokio::test]
async fn a_signature_stays_with_its_image() {
    let policies = "[{repositories: '**', rules: [{action: expire, tags: 'sha256-*'}]}]";
    let server = ServerOptions::new().variable("REGISTRY_RETENTION_POLICIES", policies).start().await;
    let (signed, signature) = (Image::random(1), Image::random(2));
    let client = server.client();
    client.push("app", "v1", &signed).await.unwrap();
    client.push("app", &format!("sha256-{}.sig", signed.manifest.digest.hex()), &signature).await.unwrap();
    let other = Content::random(9, 10);
    client.push("app", &format!("sha256-{}.sig", other.digest.hex()), &signature).await.unwrap();
    let said = report(server.options(), "preview").await;
    assert_eq!((&said["summary"]["kept"], &said["summary"]["expired"]), (&2.into(), &1.into()), "{said}");
}

#[tokio::test]
async fn the_examples_of_the_manual_are_what_the_registry_reads() {
    let manual = include_str!("../../docs/retention.md");
    let options = ServerOptions::new();
    let blocks: Vec<&str> =
        manual.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5);
    for block in blocks {
        let (before, indented) = match block.starts_with("retention:") {
            true => ("", block.to_owned()),
            false => {
                ("retention:\n  policies:\n", block.lines().map(|line| format!("    {line}\n")).collect())
            }
        };
        let config = options.folder().join("example.yml");
        fs::write(&config, format!("version: 0.1\n{before}{indented}")).unwrap();
        let checked = run(&options, &["check-config", config.to_str().unwrap()]).await;
        assert!(checked.contains("no problems"), "{block}: {checked}");
    }
}
