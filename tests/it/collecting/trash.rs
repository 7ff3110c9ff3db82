//! What was deleted, and comes back.

use super::*;

#[tokio::test]
async fn what_was_deleted_comes_back_with_a_command() {
    let server = ServerOptions::new()
        .variable("REGISTRY_GC_LEASE", "50ms")
        .variable("REGISTRY_GC_GRACE", "0s")
        .variable("REGISTRY_GC_ENABLED", "false")
        .start()
        .await;
    let client = server.client();
    let (old, new) = (Image::random(30), Image::random(31));
    let (old_digest, new_digest) = (old.manifest.digest.to_string(), new.manifest.digest.to_string());
    client.push("app", "v1", &old).await.unwrap();
    client.push("app", "v1", &new).await.unwrap();

    let history = command(&server, &["tag", "history", "app:v1"]).await.unwrap();
    let lines: Vec<&str> = history.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains(&new_digest) && lines[1].contains(&old_digest),
        "{history}"
    );
    let said = command(&server, &["tag", "revert", "app:v1"]).await.unwrap();
    assert!(said.contains(&old_digest), "{said}");
    client.pull("app", "v1", &old).await.unwrap();

    delete(&client, "app", &old_digest).await;
    // Nothing but the trash holds it any more. The wait reads reports: an answer that a blob is there is a lease on it.
    let mut unlinked = 0;
    eventually("its blobs are unlinked", async || {
        unlinked += collect_once(&server).await["removed"]["blob"].as_u64().unwrap_or(0);
        (unlinked == old.blobs.len() as u64).then_some(())
    })
    .await;
    for blob in &old.blobs {
        client.head(&format!("/v2/app/blobs/{}", blob.digest)).expect(404).await;
    }
    let listed = command(&server, &["undelete", "--list", "app"]).await.unwrap();
    assert!(listed.contains(&format!("app:v1@{old_digest} deleted ")), "{listed}");
    let said = command(&server, &["undelete", "app:v1"]).await.unwrap();
    assert!(said.contains("set app:v1"), "{said}");
    client.pull("app", "v1", &old).await.unwrap();
    // A digest is of no one repository.
    let said = command(&server, &["garbage-collect"]).await.unwrap();
    assert!(said.lines().any(|line| line.starts_with("marking blob sha256:")), "{said}");
    assert!(!said.lines().any(|line| line.starts_with(':')), "{said}");
    // What is there is not deleted; what never was is not known.
    for there in ["app:v1".to_owned(), format!("app@{old_digest}"), "app".to_owned()] {
        let refused = command(&server, &["undelete", &there]).await.unwrap_err();
        assert!(refused.contains(&format!("{there} is not deleted")), "{refused}");
    }
    for absent in ["app:v9", "elsewhere"] {
        let refused = command(&server, &["undelete", absent]).await.unwrap_err();
        assert!(refused.contains("not known"), "{refused}");
    }
    assert_eq!(fsck(&server, &["--deep"]).await.0, Some(0));
}

#[tokio::test]
async fn a_repository_is_deleted_comes_back_and_goes_for_good() {
    let server = not_collecting().variable("REGISTRY_GC_UNDELETE_WINDOW", "1h").start().await;
    let client = server.client();
    let (kept, gone) = (Image::random(32), Image::random(33));
    client.push("team/kept", "v1", &kept).await.unwrap();
    client.push("team/gone", "v1", &gone).await.unwrap();
    command(&server, &["repository", "delete", "team/gone"]).await.unwrap();
    client.get("/v2/team/gone/tags/list").expect(404).await;
    let catalog = client.get("/v2/_catalog").expect(200).await.text();
    assert!(catalog.contains("team/kept") && !catalog.contains("gone"), "{catalog}");
    assert!(command(&server, &["undelete", "--list"]).await.unwrap().starts_with("team/gone kept until 2"));
    command(&server, &["undelete", "team/gone"]).await.unwrap();
    client.pull("team/gone", "v1", &gone).await.unwrap();

    // The same data, and nothing that is deleted is kept.
    let options = server.options().clone().variable("REGISTRY_GC_UNDELETE_WINDOW", "0s");
    drop(server);
    let server = options.start().await;
    let client = server.client();
    command(&server, &["repository", "delete", "team/gone"]).await.unwrap();
    collect_until(&server, bytes_of(&[&kept])).await;
    assert!(command(&server, &["undelete", "team/gone"]).await.unwrap_err().contains("not known"));
    client.pull("team/kept", "v1", &kept).await.unwrap();
    client.push("team/gone", "v1", &gone).await.unwrap();
    client.pull("team/gone", "v1", &gone).await.unwrap();
}

#[tokio::test]
async fn the_trash_is_emptied_when_the_operator_says_so_twice() {
    let server = not_collecting().variable("REGISTRY_GC_UNDELETE_WINDOW", "168h").start().await;
    let client = server.client();
    let (kept, gone) = (Image::random(34), Image::random(35));
    client.push("team/app", "kept", &kept).await.unwrap();
    client.push("team/app", "gone", &gone).await.unwrap();
    let digest = gone.manifest.digest.to_string();
    delete(&client, "team/app", &digest).await;
    let refused = command(&server, &["trash", "empty"]).await.unwrap_err();
    assert!(refused.contains("--yes"), "{refused}");
    assert!(command(&server, &["undelete", "--list", "team/app"]).await.unwrap().contains(&digest));
    let said = command(&server, &["trash", "empty", "--repository", "team/other", "--yes"]).await.unwrap();
    assert!(said.contains("0 deleted tags, 0 deleted manifests and 0 deleted repositories"), "{said}");
    let said = command(&server, &["trash", "empty", "--yes"]).await.unwrap();
    assert!(said.contains("1 deleted tags, 1 deleted manifests and 0 deleted repositories"), "{said}");
    collect_until(&server, bytes_of(&[&kept])).await;
    assert_eq!(command(&server, &["undelete", "--list", "team/app"]).await.unwrap(), "");
    client.pull("team/app", "kept", &kept).await.unwrap();
}
