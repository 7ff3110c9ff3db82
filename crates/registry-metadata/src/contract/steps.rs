//! Steps of other owners: they run in the transactions of content, and what they refuse is not kept.

use std::{sync::Arc, time::Duration};

use registry_database::{Fault, Migration, Owners, Schema, Session, Statement, Step, params, step};
use registry_types::Cause;

use super::{
    Backend,
    fixture::{Fixture, image, put, repo, tag},
};
use crate::{
    Changes, CollectRules, GoneNamespace, GoneRepository, MetadataError, Options, Quota, SCHEMA, Steps,
};

/// Notes on repositories, which hold them: a repository goes only if its notes do. And a diary.
const NOTES: Schema = Schema {
    owner: "notes",
    migrations: &[Migration {
        number: registry_events::SCHEMA.migrations[registry_events::SCHEMA.migrations.len() - 1].number + 1,
        oldest_binary: 1,
        sql: "CREATE TABLE notes (
                repository BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
                text       {text} NOT NULL
            );
            CREATE INDEX notes_repository ON notes (repository);
            CREATE TABLE diary (text {text} NOT NULL);",
    }],
    volatile: &[],
    content: &[],
};

const OWNERS: Owners = Owners::new(&[&SCHEMA, &registry_events::SCHEMA, &NOTES, &registry_database::SCHEMA]);

const NOTE: Statement = Statement::same("INSERT INTO notes (repository, text) VALUES ($1, $2)");
const FORGET: Statement = Statement::same("DELETE FROM notes WHERE repository = $1");
const WRITE: Statement = Statement::same("INSERT INTO diary (text) VALUES ($1)");

/// Other owners take part in transactions of content.
pub async fn all(backend: &dyn Backend) {
    a_step_runs_before_the_commit(backend).await;
    a_step_that_refuses_or_fails_leaves_nothing(backend).await;
    a_step_that_panics_costs_its_transaction_alone(backend).await;
    a_refused_push_runs_no_step(backend).await;
    what_hangs_on_a_repository_goes_with_it(backend).await;
    what_hangs_on_an_empty_repository_goes_with_it(backend).await;
    a_step_that_fails_stops_no_collection(backend).await;
}

/// Notes what happens; refuses, fails or panics over some tags.
struct Note;

impl Step for Note {
    type Of = Changes;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, changes: &Changes) -> Result<(), Fault> {
        for change in changes.iter() {
            let text = format!("{} {}", change.kind, change.tag.unwrap_or("-"));
            session.execute(NOTE, params![change.repository.unwrap_or(0), &text]).await?;
            match change.tag {
                Some("refused") => return Err(Fault::refused("not this one")),
                Some("failing") => drop(session.execute(NOTE, params![-1, "of no repository"]).await?),
                Some("panics") => panic!("a test of a step that panics"),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Removes the notes on a repository that goes.
struct Forget;

impl Step for Forget {
    type Of = GoneRepository;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, gone: &GoneRepository) -> Result<(), Fault> {
        if gone.name.ends_with("/held") {
            return Err(Fault::refused("this one is held"));
        }
        session.execute(FORGET, params![gone.id]).await?;
        session.execute(WRITE, params![&format!("repository {}", gone.name)]).await.map(drop)
    }
}

/// Writes down which namespaces go.
struct Farewell;

impl Step for Farewell {
    type Of = GoneNamespace;
    type Output = ();

    async fn run<S: Session>(&self, session: &S, gone: &GoneNamespace) -> Result<(), Fault> {
        session.execute(WRITE, params![&format!("namespace {}", gone.name)]).await.map(drop)
    }
}

step!(Note, Forget, Farewell);

async fn open(backend: &dyn Backend) -> Fixture {
    let steps = Steps {
        before_commit: vec![Arc::new(Note)],
        repository_goes: vec![Arc::new(Forget)],
        namespace_goes: vec![Arc::new(Farewell)],
    };
    Fixture::new(backend, Options { owners: OWNERS, steps, ..Options::default() }).await
}

async fn notes(f: &Fixture) -> Vec<String> {
    f.rows("SELECT n.text FROM notes n JOIN repositories r ON r.id = n.repository ORDER BY n.text").await
}

async fn diary(f: &Fixture) -> Vec<String> {
    f.rows("SELECT text FROM diary ORDER BY text").await
}

async fn push(f: &Fixture, name: &str) -> Result<(), MetadataError> {
    let config = f.push_blob("team/a", "config").await;
    let layer = f.push_blob("team/a", name).await;
    put(f.store(), "team/a", &image(&config, &[layer]), &[name], true).await.map(drop)
}

async fn collect(f: &Fixture) {
    while !f.store().collect(&CollectRules::default(), 7).await.unwrap().is_empty() {}
}

async fn a_step_runs_before_the_commit(backend: &dyn Backend) {
    let f = open(backend).await;
    push(&f, "v1").await.unwrap();
    assert_eq!(notes(&f).await, ["manifest.pushed v1", "repository.created -", "tag.moved v1"]);
    f.run("DELETE FROM notes").await;
    f.store().delete_tag(&repo("team/a"), &tag("v1"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(notes(&f).await, ["tag.deleted v1"]);
    assert_eq!(f.rows("SELECT id FROM events").await, Vec::<String>::new(), "nothing listens to events");
}

async fn a_step_that_refuses_or_fails_leaves_nothing(backend: &dyn Backend) {
    let f = open(backend).await;
    for name in ["refused", "failing"] {
        let error = push(&f, name).await.unwrap_err();
        assert!(!matches!(error, MetadataError::MissingReferences { .. }), "{error:?}");
        assert_eq!(f.resolve("team/a", name).await, None);
        assert_eq!(f.rows("SELECT digest FROM manifests").await, Vec::<String>::new(), "{name}");
        assert_eq!(notes(&f).await, Vec::<String>::new(), "{name}");
    }
}

async fn a_step_that_panics_costs_its_transaction_alone(backend: &dyn Backend) {
    let f = open(backend).await;
    let error = push(&f, "panics").await.unwrap_err();
    assert!(matches!(error, MetadataError::Backend { .. }), "{error:?}");
    assert_eq!(f.rows("SELECT digest FROM manifests").await, Vec::<String>::new());
    push(&f, "v1").await.unwrap();
    assert_eq!(notes(&f).await.len(), 3);
}

async fn a_refused_push_runs_no_step(backend: &dyn Backend) {
    let f = open(backend).await;
    let quota = Quota { prefix: "team/".into(), bytes_max: Some(1), ..Quota::default() };
    let options = Options { quotas: vec![quota], ..f.options.clone() };
    let f = Fixture::new(backend, options).await;
    f.store().begin_quotas().await.unwrap();
    let manifest = image(&super::fixture::digest("config"), &[]);
    let refused = put(f.store(), "team/a", &manifest, &["panics"], false).await;
    assert!(matches!(refused, Err(MetadataError::QuotaExceeded(_))), "{refused:?}");
}

async fn what_hangs_on_a_repository_goes_with_it(backend: &dyn Backend) {
    let f = open(backend).await;
    push(&f, "v1").await.unwrap();
    f.push_image("team/b", "other", &["v1"]).await;
    f.store().delete_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(diary(&f).await, Vec::<String>::new(), "it can be restored");
    f.advance(f.options.undelete_window).await;
    collect(&f).await;
    assert_eq!(diary(&f).await, ["repository team/a"], "the namespace has another one");
    f.store().delete_repository(&repo("team/b"), &Cause::UNKNOWN).await.unwrap();
    f.advance(f.options.undelete_window).await;
    collect(&f).await;
    assert_eq!(diary(&f).await, ["namespace team", "repository team/a", "repository team/b"]);
    assert_eq!(f.rows("SELECT repository FROM notes").await, Vec::<String>::new());
    assert_eq!(f.rows("SELECT name FROM namespaces").await, Vec::<String>::new());
}

async fn what_hangs_on_an_empty_repository_goes_with_it(backend: &dyn Backend) {
    let f = open(backend).await;
    let upload = f.start("team/a").await;
    f.run("INSERT INTO notes (repository, text) SELECT id, 'by hand' FROM repositories").await;
    f.store().cancel_upload(&upload.repository, &upload.id).await.unwrap();
    f.advance_leases(2.0).await;
    collect(&f).await;
    assert_eq!(diary(&f).await, ["namespace team", "repository team/a"]);
    assert_eq!(f.rows("SELECT name FROM repositories").await, Vec::<String>::new());
}

async fn a_step_that_fails_stops_no_collection(backend: &dyn Backend) {
    let f = open(backend).await;
    for name in ["team/held", "team/b"] {
        f.push_image(name, "content", &["v1"]).await;
        f.store().delete_repository(&repo(name), &Cause::UNKNOWN).await.unwrap();
        f.advance(Duration::from_secs(60)).await;
    }
    f.advance(f.options.undelete_window).await;
    collect(&f).await;
    assert_eq!(diary(&f).await, ["repository team/b"]);
    let left = f.store().deleted_repositories().await.unwrap();
    assert_eq!(left.iter().map(|left| left.name.as_str()).collect::<Vec<_>>(), ["team/held"]);
}
