//! Namespaces come with their first repository and go with their last.

use std::{collections::BTreeSet, time::Duration};

use registry_types::Cause;

use super::{
    Backend,
    collecting::collect,
    fixture::{Fixture, repo},
    open,
};
use crate::Options;

/// What a repository is in.
pub async fn all(backend: &dyn Backend) {
    a_repository_is_in_the_namespace_of_its_first_component(backend).await;
    a_namespace_goes_with_its_last_repository_unless_it_is_kept(backend).await;
    a_deleted_repository_holds_its_namespace(backend).await;
    a_namespace_is_there_until_nothing_of_it_can_be_restored(backend).await;
    namespaces_that_nothing_is_in_go_some_with_each_collection(backend).await;
    what_an_earlier_program_makes_is_placed_by_the_collector(backend).await;
    several_that_make_a_namespace_at_once_make_one(backend).await;
    a_repository_that_is_made_while_the_last_one_goes_is_in_a_namespace(backend).await;
}

/// Each repository that is not deleted, and its namespace.
async fn placed(f: &Fixture) -> Vec<String> {
    let sql = "SELECT r.name, n.name FROM repositories r JOIN namespaces n ON n.id = r.namespace
        WHERE r.purge_at IS NULL ORDER BY r.name";
    f.rows(sql).await
}

async fn namespaces(f: &Fixture) -> Vec<String> {
    f.rows("SELECT name FROM namespaces ORDER BY name").await
}

async fn a_repository_is_in_the_namespace_of_its_first_component(backend: &dyn Backend) {
    let f = open(backend).await;
    f.start("team/upload").await;
    let blob = f.push_blob("team/a/b", "content").await;
    f.store().mount_blob(&repo("team/a/b"), &repo("other/mounted"), &blob).await.unwrap();
    f.put_sparse("app", &super::fixture::image(&blob, &[]), &["v1"]).await;
    let expected = ["app|_", "other/mounted|other", "team/a/b|team", "team/upload|team"];
    assert_eq!(placed(&f).await, expected);
    assert_eq!(namespaces(&f).await, ["_", "other", "team"]);
    assert_eq!(f.rows("SELECT DISTINCT public FROM repositories").await, ["0"]);
}

async fn a_namespace_is_there_until_nothing_of_it_can_be_restored(backend: &dyn Backend) {
    let f = open(backend).await;
    let is_there = async |name: &str| f.store().has_namespace_of(&repo(name)).await.unwrap();
    for name in ["team/app", "team/other", "app", "other"] {
        assert!(!is_there(name).await, "{name}");
    }
    for name in ["team/app", "app"] {
        let blob = f.push_blob(name, "content").await;
        f.put_sparse(name, &super::fixture::image(&blob, &[]), &["v1"]).await;
    }
    let expected =
        [("team/app", true), ("team/other", true), ("team", false), ("app", true), ("other", false)];
    for (name, expected) in expected {
        assert_eq!(is_there(name).await, expected, "{name}");
    }
    for name in ["team/app", "app"] {
        f.store().delete_repository(&repo(name), &Cause::default()).await.unwrap();
    }
    for (name, expected) in expected {
        assert_eq!(is_there(name).await, expected, "{name}, after everything was deleted");
    }
}

async fn a_namespace_goes_with_its_last_repository_unless_it_is_kept(backend: &dyn Backend) {
    let f = open(backend).await;
    for name in ["kept/a", "team/a", "team/b"] {
        let new = f.start(name).await;
        f.store().cancel_upload(&new.repository, &new.id).await.unwrap();
    }
    f.run("UPDATE namespaces SET kept = 1 WHERE name = 'kept'").await;
    f.advance_leases(0.9).await;
    f.start("team/b").await;
    f.advance_leases(0.1).await;
    collect(&f).await;
    assert_eq!(placed(&f).await, ["team/b|team"]);
    assert_eq!(namespaces(&f).await, ["kept", "team"]);
    f.store().delete_repository(&repo("team/b"), &Cause::UNKNOWN).await.unwrap();
    f.advance(f.options.undelete_window).await;
    collect(&f).await;
    assert_eq!(namespaces(&f).await, ["kept"]);
}

async fn a_deleted_repository_holds_its_namespace(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("team/a", "content", &["v1"]).await;
    let before = f.rows("SELECT id FROM namespaces").await;
    f.store().delete_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    collect(&f).await;
    f.start("team/a").await;
    let both = [before.clone(), before.clone()].concat();
    assert_eq!(f.rows("SELECT namespace FROM repositories").await, both);
    f.store().delete_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    f.store().restore_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(f.rows("SELECT id FROM namespaces").await, before);
}

/// A program that knows of no namespaces removes the last repository of one and leaves it.
async fn namespaces_that_nothing_is_in_go_some_with_each_collection(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("team/a", "content", &["v1"]).await;
    f.run(
        "INSERT INTO namespaces (name, created_at, kept)
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
            SELECT 'left-' || i, 0, CASE WHEN i = 70 THEN 1 ELSE 0 END FROM n",
    )
    .await;
    collect(&f).await;
    assert_eq!(f.rows("SELECT COUNT(*) FROM namespaces").await, ["53"], "a hundred are looked at");
    collect(&f).await;
    assert_eq!(namespaces(&f).await, ["left-70", "team"]);
    f.run("INSERT INTO namespaces (name, created_at) VALUES ('later', 0)").await;
    collect(&f).await;
    assert_eq!(namespaces(&f).await, ["left-70", "team"], "it begins again");
}

async fn what_an_earlier_program_makes_is_placed_by_the_collector(backend: &dyn Backend) {
    let f = open(backend).await;
    for name in ["app", "team/a", "team/b"] {
        f.push_image(name, "content", &["v1"]).await;
    }
    f.store().delete_repository(&repo("team/b"), &Cause::UNKNOWN).await.unwrap();
    let before =
        f.rows("SELECT r.name, n.name FROM repositories r JOIN namespaces n ON n.id = r.namespace").await;
    f.run("UPDATE repositories SET namespace = NULL; DELETE FROM namespaces").await;
    collect(&f).await;
    let after =
        f.rows("SELECT r.name, n.name FROM repositories r JOIN namespaces n ON n.id = r.namespace").await;
    let [before, after] = [before, after].map(BTreeSet::from_iter);
    assert_eq!((after.len(), after), (3, before));
}

async fn several_that_make_a_namespace_at_once_make_one(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..20 {
        let names = ["a", "b", "c", "d"].map(|name| format!("team{round}/{name}"));
        let [a, b, c, d] = &names;
        tokio::join!(f.start(a), f.start(b), f.start(c), f.start(d));
        let count = format!(
            "SELECT COUNT(*) FROM repositories r JOIN namespaces n ON n.id = r.namespace
                WHERE n.name = 'team{round}'"
        );
        assert_eq!(f.rows(&count).await, ["4"], "round {round}");
    }
}

async fn a_repository_that_is_made_while_the_last_one_goes_is_in_a_namespace(backend: &dyn Backend) {
    let options = Options { lease: Duration::from_secs(10), ..Options::default() };
    let f = Fixture::new(backend, options).await;
    for round in 0..20 {
        let old = f.start(&format!("team/old{round}")).await;
        f.store().cancel_upload(&old.repository, &old.id).await.unwrap();
        f.advance_leases(1.0).await;
        let new = format!("team/new{round}");
        let (_, started) = tokio::join!(collect(&f), f.start(&new));
        let unplaced = "SELECT COUNT(*) FROM repositories WHERE namespace IS NULL";
        assert_eq!(f.rows(unplaced).await, ["0"], "round {round}");
        f.store().cancel_upload(&started.repository, &started.id).await.unwrap();
        f.advance_leases(1.0).await;
        collect(&f).await;
        assert_eq!(namespaces(&f).await, [""; 0], "round {round}");
    }
}
