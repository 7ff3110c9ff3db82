//! A counter that is wrong, which only somebody can bring about who does not know of the quota.

use std::sync::Arc;

use super::backend::place;
use bytes::Bytes;
use registry_digest::Algorithm;
use registry_types::Manifest;

use crate::{MetadataStore, Options, PutManifest, Quota, SqliteStore, SystemClock};

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
        actor: None,
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
    let quota = Quota { prefix: "team/".to_owned(), bytes_max: Some(1000), tags_max: None };
    let (knows, does_not) = (open(vec![quota]), open(Vec::new()));
    knows.begin_quotas().await.unwrap();
    push(&knows, "team/a").await;
    assert_eq!(knows.verify().await.unwrap(), [""; 0]);

    push(&does_not, "team/b").await;
    let said = does_not.verify().await.unwrap();
    let size = INDEX.len();
    let expected = format!(
        "the quota of `team/` counts {size} bytes and 1 tags, there are {size} and 2; digests not \
         counted as they are used: 1 (`registry quota --recount` counts again)"
    );
    assert_eq!(said, [expected]);

    knows.recount_quotas().await.unwrap();
    assert_eq!(knows.verify().await.unwrap(), [""; 0]);
    does_not.begin_quotas().await.unwrap();
    assert_eq!(super::backend::rows(&knows, "SELECT COUNT(*) FROM quotas"), ["0"], "nobody asks for it");
}
