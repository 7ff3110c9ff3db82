//! Namespaces, and transactions that are stopped in their middle.

use super::{
    backend::{PostgresProbe, open},
    images::{new_upload, repo},
    races::{against, store, subject},
};
use crate::{CollectRules, Options, contract::Subject, traits::*};

const PLACED: &str =
    "SELECT r.name FROM repositories r JOIN namespaces n ON n.id = r.namespace ORDER BY r.name";

/// Repositories of one namespace in which nothing is, as the collector finds them.
async fn with_empty_repositories() -> (Subject, PostgresProbe) {
    let (subject, probe) = subject().await;
    for name in ["team/a", "team/b"] {
        let new = new_upload(name);
        subject.store.start_upload(&new).await.unwrap();
        subject.store.cancel_upload(&repo(name), &new.id).await.unwrap();
    }
    (subject, probe)
}

async fn url(subject: &Subject) -> String {
    let name = subject.probe.rows("SELECT current_database()").await.remove(0);
    registry_testing_postgres::PostgresServer::shared().url(&name)
}

#[tokio::test]
async fn of_two_collectors_that_remove_the_last_repositories_the_later_one_removes_the_namespace() {
    let (subject, probe) = with_empty_repositories().await;
    subject.probe.advance(Options::default().lease).await;
    let other = "BEGIN; DELETE FROM repositories WHERE name = 'team/a'; SELECT 1 FROM namespaces FOR UPDATE";
    probe.run(other).await;
    let store = store(&subject);
    let collect = async move { store.collect(&CollectRules::default(), 10).await };
    assert_eq!(against(&subject, &probe, collect).await.unwrap().len(), 1);
    assert_eq!(subject.probe.rows("SELECT name FROM namespaces").await, [""; 0]);
}

#[tokio::test]
async fn a_repository_that_is_locked_keeps_no_other_from_its_namespace() {
    let (subject, probe) = with_empty_repositories().await;
    probe.run("UPDATE repositories SET namespace = NULL").await;
    probe.run("BEGIN; SELECT 1 FROM repositories WHERE name = 'team/a' FOR UPDATE").await;
    drop(open(&url(&subject).await, &Options::default()).await);
    assert_eq!(subject.probe.rows(PLACED).await, ["team/b"]);
    probe.run("COMMIT").await;
    subject.store.collect(&CollectRules::default(), 10).await.unwrap();
    assert_eq!(subject.probe.rows(PLACED).await, ["team/a", "team/b"]);
}

#[tokio::test]
async fn repositories_that_can_not_be_placed_stop_no_start_and_no_collection() {
    let (subject, probe) = with_empty_repositories().await;
    subject.probe.advance(Options::default().lease).await;
    probe
        .run(
            "UPDATE repositories SET namespace = NULL;
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
            CREATE TRIGGER refuse BEFORE UPDATE OF namespace ON repositories FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    open(&url(&subject).await, &Options::default()).await.check().await.unwrap();
    let collected = subject.store.collect(&CollectRules::default(), 10).await.unwrap();
    assert_eq!(collected.len(), 2, "{collected:?}");
}
