//! What a collection would take, without taking it.

use registry_digest::Digest;

use super::{
    Backend,
    collecting::{LIMIT, collect, count, removed, texts},
    fixture::index,
    open,
};
use crate::{CandidateKind, CollectRules, Collected, Kept, QueuePosition, Verdict};

/// A preview says what a collection would do, and does nothing.
pub async fn all(backend: &dyn Backend) {
    a_preview_says_what_would_be_and_does_nothing(backend).await;
    a_preview_finds_untagged_manifests_too(backend).await;
    pages_of_a_preview_cover_the_queue(backend).await;
}

async fn a_preview_says_what_would_be_and_does_nothing(backend: &dyn Backend) {
    let f = open(backend).await;
    let used = f.push_image("a", "used", &["v1"]).await;
    let fresh = f.push_blob("b", "fresh").await;
    f.advance_leases(2.0).await;
    f.promised("b", &fresh).await.unwrap();
    let old = f.push_blob("b", "old").await;
    f.advance_leases(1.49).await;
    f.promised("b", &fresh).await.unwrap();
    f.advance_leases(0.02).await;
    let before = f.rows("SELECT * FROM gc_queue ORDER BY kind, repository, digest").await;
    let preview = f.store().preview_collect(&CollectRules::default(), None, LIMIT).await.unwrap();
    assert_eq!(preview.next, None);
    assert_eq!(removed(&preview.collected, CandidateKind::Blob), texts(&[old]));
    let kept = |digest: &Digest| {
        let of = |it: &&Collected| it.candidate.digest == digest.to_string();
        preview.collected.iter().find(of).map(|it| it.verdict.clone())
    };
    assert!(matches!(kept(&fresh), Some(Verdict::Kept(Kept::Leased { .. }))));
    assert_eq!(f.rows("SELECT * FROM gc_queue ORDER BY kind, repository, digest").await, before);
    assert_eq!(f.resolve("a", "v1").await, Some(used));
    assert!(f.blob("b", &old).await.is_some());
}

async fn a_preview_finds_untagged_manifests_too(backend: &dyn Backend) {
    let f = open(backend).await;
    let loose = f.push_image("a", "one", &[]).await;
    let child = f.push_image("a", "child", &[]).await;
    f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    f.advance_leases(2.0).await;
    collect(&f).await;
    f.push_image("b", "fresh", &[]).await;
    let (mut next, mut seen) = (Some(QueuePosition::before_untagged()), Vec::new());
    while next.is_some() {
        let page = f.store().preview_collect(&CollectRules::default(), next.as_ref(), 2).await.unwrap();
        seen.extend(page.collected);
        next = page.next;
    }
    assert_eq!(removed(&seen, CandidateKind::Manifest), texts(&[loose]));
    assert_eq!(seen.len(), 3, "the child and the fresh one stay: {seen:?}");
    assert_eq!(count(&f, "gc_queue WHERE kind <> 'label'").await, "3", "what was pushed to b");
}

async fn pages_of_a_preview_cover_the_queue(backend: &dyn Backend) {
    let f = open(backend).await;
    for number in 0..7 {
        f.push_blob(["a", "b"][number % 2], &format!("content {number}")).await;
    }
    let (mut next, mut seen) = (None, Vec::new());
    loop {
        let page = f.store().preview_collect(&CollectRules::default(), next.as_ref(), 3).await.unwrap();
        seen.extend(page.collected);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 7);
}
