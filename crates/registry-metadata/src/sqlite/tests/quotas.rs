//! A counter that is wrong, which only somebody can bring about who does not know of the quota.

use std::sync::Arc;

use super::backend::place;
use bytes::Bytes;
use registry_digest::Algorithm;
use registry_types::{Cause, Manifest};

use crate::{Options, PutManifest, Quota, SqliteStore, SystemClock, schema::SCHEMA, traits::*};

const INDEX: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

async fn push(store: &SqliteStore, repository: &str) {
    let manifest = Manifest::parse(None, Bytes::from(INDEX)).unwrap();
    let put = PutManifest {
        repository: &repository.parse().unwrap(),
        digest: manifest.digest(Algorithm::Sha256),
        manifest: &manifest,
        tags: &["v1".parse().unwrap()],
        required: &[],
        required_children: &[],
        cause: &Cause::UNKNOWN,
    };
    store.put_manifest(&put).await.unwrap();
}

#[tokio::test]
async fn a_wrong_counter_is_found_and_counted_again() {
    let (_folder, path) = place();
    let open = |quotas: Vec<Quota>| {
        let options = Options { quotas, ..Options::default() };
        SqliteStore::open(&path, options, Arc::new(SystemClock)).unwrap()
    };
    let quota = Quota { prefix: "team/".to_owned(), bytes_max: Some(1000), ..Quota::default() };
    let (knows, does_not) = (open(vec![quota]), open(Vec::new()));
    knows.begin_quotas().await.unwrap();
    push(&knows, "team/a").await;
    assert_eq!(knows.verify().await.unwrap(), [""; 0]);

    push(&does_not, "team/b").await;
    let said = does_not.verify().await.unwrap();
    let size = INDEX.len();
    let expected = format!(
        "the quota of `team/` counts {size} bytes and 1 tags, there are {size} and 2; 0 bytes held \
         beside and 0 in uploads, there are 0 and 0; digests not counted as they are used: 1 (`registry quota --recount` counts again)"
    );
    assert_eq!(said, [expected]);

    knows.recount_quotas().await.unwrap();
    assert_eq!(knows.verify().await.unwrap(), [""; 0]);
    does_not.begin_quotas().await.unwrap();
    assert_eq!(super::backend::rows(&knows, "SELECT COUNT(*) FROM quotas"), ["0"], "nobody asks for it");
}

/// A database of the schema before bytes were held, with a blob, an upload and something in the trash.
const BEFORE: &str = "
    INSERT INTO store (one, format, oldest_binary, created_at) VALUES (1, 4, 1, 1);
    INSERT INTO repositories (id, name, listed, created_at) VALUES (1, 'team/a', 1, 1);
    INSERT INTO objects (id, location, size, created_at) VALUES (1, 'store/blobs/00/a', 100, 1);
    INSERT INTO digests (digest, object) VALUES ('sha256:aa', 1);
    INSERT INTO repository_blobs (repository, digest, lease_until, created_at) VALUES (1, 'sha256:aa', 0, 1);
    INSERT INTO uploads (id, repository, location, algorithm, offset_bytes, started_at, touched_at)
        VALUES ('a', 1, 'store/blobs/00/b', 'sha256', 30, 1, 1);
    INSERT INTO trash_manifests (repository, digest, media_type, size, pushed_at, deleted_at, purge_at, bytes)
        VALUES (1, 'sha256:bb', 'x', 5, 1, 1, 1, 'bytes');
    INSERT INTO trash_blobs (repository, manifest, digest) VALUES (1, 'sha256:bb', 'sha256:aa');
    INSERT INTO quotas (prefix, bytes, tags) VALUES ('team/', 0, 0);
";

#[tokio::test]
async fn what_an_older_database_holds_is_counted_at_the_first_start() {
    let (_folder, path) = place();
    let older = rusqlite::Connection::open(&path).unwrap();
    older.pragma_update(None, "application_id", 0x5247_4d44).unwrap();
    for migration in SCHEMA.migrations.iter().filter(|migration| migration.number <= 4) {
        older.execute_batch(&registry_database::SQLITE.render(migration.sql)).unwrap();
    }
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let before = BEFORE.replace("sha256:aa", &digest("a")).replace("sha256:bb", &digest("b"));
    older.execute_batch(&before).unwrap();
    drop(older);
    let quotas = vec![Quota { prefix: "team/".to_owned(), ..Quota::default() }];
    let options = Options { quotas, ..Options::default() };
    let store = SqliteStore::open(&path, options, Arc::new(SystemClock)).unwrap();
    assert_eq!(store.quota_usage().await.unwrap()[0].usage, None, "not before somebody serves");
    store.begin_quotas().await.unwrap();
    assert_eq!(store.verify().await.unwrap(), [""; 0]);
    let usage = store.quota_usage().await.unwrap()[0].usage.unwrap();
    assert_eq!((usage.held, usage.bytes), (135, 0));
}
