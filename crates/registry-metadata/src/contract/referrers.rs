//! Manifests that say something about others.

use registry_digest::{Algorithm, Digest};
use registry_types::MediaType;

use super::{
    Backend,
    fixture::{Fixture, digest, referrer, repo},
    open,
};
use crate::REFERRERS_BYTES_MAX;

/// Referrers are found by their subject, whether or not it is there.
pub async fn all(backend: &dyn Backend) {
    referrers_are_described(backend).await;
    referrers_are_paged_and_filtered_by_type(backend).await;
    a_page_is_cut_by_the_size_of_its_annotations(backend).await;
    nothing_refers_to_the_unknown(backend).await;
}

async fn list(
    f: &Fixture,
    subject: &Digest,
    artifact_type: Option<&str>,
    after: Option<&Digest>,
) -> Vec<Digest> {
    let page = f.store().referrers(&repo("a"), subject, artifact_type, after, 2).await.unwrap();
    page.iter().map(|descriptor| descriptor.digest).collect()
}

async fn referrers_are_described(backend: &dyn Backend) {
    let f = open(backend).await;
    let empty = f.push_blob("a", "{}").await;
    let subject = digest("not here yet");
    let manifest = referrer(&empty, &subject, "application/x.sbom", "hello \"quoted\"");
    f.put("a", &manifest, &[]).await.unwrap();
    let page = f.other().referrers(&repo("a"), &subject, None, None, 10).await.unwrap();
    assert_eq!(page.len(), 1);
    let descriptor = &page[0];
    assert_eq!(descriptor.digest, manifest.digest(Algorithm::Sha256));
    assert_eq!(descriptor.size, manifest.bytes().len() as u64);
    assert_eq!(descriptor.media_type, MediaType::OCI_MANIFEST);
    assert_eq!(descriptor.artifact_type.as_deref(), Some("application/x.sbom"));
    assert_eq!(&descriptor.annotations, manifest.annotations());
}

async fn referrers_are_paged_and_filtered_by_type(backend: &dyn Backend) {
    let f = open(backend).await;
    let empty = f.push_blob("a", "{}").await;
    let subject = f.push_image("a", "content", &["v1"]).await;
    let (mut all, mut signatures) = (Vec::new(), Vec::new());
    for number in 0..6 {
        let kind = ["application/x.sbom", "application/x.signature"][number % 2];
        let manifest = referrer(&empty, &subject, kind, &number.to_string());
        let digest = f.put("a", &manifest, &[]).await.unwrap();
        all.push(digest);
        if kind == "application/x.signature" {
            signatures.push(digest);
        }
    }
    all.sort();
    signatures.sort();
    for (artifact_type, expected) in [(None, &all), (Some("application/x.signature"), &signatures)] {
        let mut paged: Vec<Digest> = Vec::new();
        loop {
            let page = list(&f, &subject, artifact_type, paged.last()).await;
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(&paged, expected);
    }
    assert!(list(&f, &subject, Some("application/x.other"), None).await.is_empty());
}

async fn a_page_is_cut_by_the_size_of_its_annotations(backend: &dyn Backend) {
    let f = open(backend).await;
    let empty = f.push_blob("a", "{}").await;
    let subject = f.push_image("a", "content", &["v1"]).await;
    let mut expected = Vec::new();
    for number in 0..3 {
        let note = number.to_string().repeat(REFERRERS_BYTES_MAX * 2 / 3);
        expected.push(f.put("a", &referrer(&empty, &subject, "a/b", &note), &[]).await.unwrap());
    }
    expected.sort();
    let mut pages: Vec<Vec<Digest>> = Vec::new();
    loop {
        let after = pages.last().and_then(|page| page.last());
        let page = f.store().referrers(&repo("a"), &subject, None, after, 10).await.unwrap();
        if page.is_empty() {
            break;
        }
        pages.push(page.iter().map(|descriptor| descriptor.digest).collect());
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(pages.concat(), expected);
}

async fn nothing_refers_to_the_unknown(backend: &dyn Backend) {
    let f = open(backend).await;
    assert!(list(&f, &digest("unknown"), None, None).await.is_empty());
    let subject = f.push_image("a", "content", &["v1"]).await;
    assert!(list(&f, &subject, None, None).await.is_empty());
    let elsewhere = f.push_blob("b", "{}").await;
    f.put("b", &referrer(&elsewhere, &subject, "a/b", ""), &[]).await.unwrap();
    assert!(list(&f, &subject, None, None).await.is_empty(), "it refers to its own repository");
}
