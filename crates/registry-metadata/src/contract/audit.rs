//! What comparing rows with bytes relies on.

use std::time::Duration;

use registry_digest::{Algorithm, Digest};
use registry_types::Location;

use super::{
    Backend,
    fixture::{digest, referrer},
    open,
};
use crate::{MANIFESTS_BYTES_MAX, UnknownObject};

/// Marks grow, objects are listed, and what no row leads to is told from what an upload is writing.
pub async fn all(backend: &dyn Backend) {
    marks_only_grow(backend).await;
    one_of_many_sweeps(backend).await;
    objects_are_listed_with_their_digests(backend).await;
    what_is_hidden_can_be_shown_again(backend).await;
    an_object_is_unknown_if_no_row_leads_to_it(backend).await;
    unknown_objects_can_be_given_up(backend).await;
    manifests_are_listed_with_their_bytes(backend).await;
    a_page_of_manifests_has_so_many_bytes(backend).await;
    a_database_finds_nothing_wrong_with_itself(backend).await;
}

async fn marks_only_grow(backend: &dyn Backend) {
    let f = open(backend).await;
    assert_eq!(f.store().mark().await.unwrap(), 0);
    let now: i64 = f.rows("SELECT now_ms()").await[0].parse().unwrap();
    let first = f.store().raise_mark(0).await.unwrap();
    assert_eq!(first, now);
    assert_eq!(f.other().raise_mark(0).await.unwrap(), now + 1, "the clock stands still, the mark does not");
    assert_eq!(f.store().raise_mark(now + 100).await.unwrap(), now + 101);
    assert_eq!(f.store().raise_mark(5).await.unwrap(), now + 102);
    f.advance(Duration::from_secs(1)).await;
    assert_eq!(f.store().raise_mark(0).await.unwrap(), now + 1000);
    assert_eq!(f.other().mark().await.unwrap(), now + 1000);
}

async fn one_of_many_sweeps(backend: &dyn Backend) {
    let f = open(backend).await;
    let hour = Duration::from_secs(3600);
    assert!(f.store().claim_sweep(hour).await.unwrap(), "nobody ever did");
    assert!(!f.other().claim_sweep(hour).await.unwrap());
    f.advance(hour - Duration::from_secs(1)).await;
    assert!(!f.store().claim_sweep(hour).await.unwrap());
    f.advance(Duration::from_secs(1)).await;
    let (one, two) = (f.store().claim_sweep(hour), f.other().claim_sweep(hour));
    let claimed = [one.await.unwrap(), two.await.unwrap()];
    assert_eq!(claimed, [true, false]);
}

async fn objects_are_listed_with_their_digests(backend: &dyn Backend) {
    let f = open(backend).await;
    let mut pushed = Vec::new();
    for content in ["one", "two", "three"] {
        pushed.push(f.push_blob_at("a", content, None).await);
    }
    let mut listed = Vec::new();
    loop {
        let after: Option<Location> = listed.last().map(|it: &crate::StoredObject| it.location.clone());
        let page = f.store().objects(after.as_ref(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert!(listed.is_sorted_by_key(|it| it.location.clone()));
    assert_eq!(listed.len(), 3);
    for (digest, location) in pushed {
        let object = listed.iter().find(|it| it.location == location).unwrap();
        assert_eq!((&object.digests[..], object.is_bad), (&[digest][..], false));
    }
    assert_eq!(listed.iter().map(|it| it.size_bytes).sum::<u64>(), 11);
}

async fn what_is_hidden_can_be_shown_again(backend: &dyn Backend) {
    let f = open(backend).await;
    let (digest, location) = f.push_blob_at("a", "content", None).await;
    f.store().mark_bad(&location).await.unwrap();
    assert!(f.blob("a", &digest).await.is_none());
    assert!(f.store().objects(None, 1).await.unwrap()[0].is_bad);
    f.other().mark_good(&location).await.unwrap();
    assert!(f.blob("a", &digest).await.is_some());
}

fn nowhere(letter: char) -> Location {
    format!("store/blobs/00/{letter}").parse().unwrap()
}

async fn an_object_is_unknown_if_no_row_leads_to_it(backend: &dyn Backend) {
    let f = open(backend).await;
    let (_, of_blob) = f.push_blob_at("a", "content", None).await;
    let (_, of_reclaim) = f.push_blob_at("a", "content", None).await;
    let of_upload = f.start("a").await.location;
    let known = [of_blob, of_reclaim, of_upload];
    assert_eq!(f.store().note_unknown(&known).await.unwrap(), []);
    let all = [&known[..], &[nowhere('x')]].concat();
    let noted = f.store().note_unknown(&all).await.unwrap();
    let unknown = |unknown_for| UnknownObject { location: nowhere('x'), unknown_for };
    assert_eq!(noted, [unknown(Duration::ZERO)]);
    let day = Duration::from_secs(24 * 60 * 60);
    f.advance(day).await;
    assert_eq!(f.other().note_unknown(&all).await.unwrap(), [unknown(day)]);
    f.store().forget_unknown(Duration::from_secs(60)).await.unwrap();
    assert_eq!(f.store().note_unknown(&all).await.unwrap(), [unknown(day)], "it was seen just now");
    f.advance(day).await;
    f.store().forget_unknown(Duration::from_secs(60)).await.unwrap();
    assert_eq!(f.store().note_unknown(&all).await.unwrap(), [unknown(Duration::ZERO)]);
}

async fn unknown_objects_can_be_given_up(backend: &dyn Backend) {
    let f = open(backend).await;
    let (_, known) = f.push_blob_at("a", "content", None).await;
    f.store().note_unknown(&[nowhere('x'), nowhere('y')]).await.unwrap();
    let given_up = f.store().reclaim_unknown(&[known, nowhere('x'), nowhere('y')]).await.unwrap();
    assert_eq!(given_up, 2, "what has a row is not given up");
    let mut reclaimable = f.reclaimable().await;
    reclaimable.sort_unstable();
    assert_eq!(reclaimable, [nowhere('x').to_string(), nowhere('y').to_string()]);
    assert_eq!(f.rows("SELECT COUNT(*) FROM unknown_objects").await, ["0"]);
}

async fn manifests_are_listed_with_their_bytes(backend: &dyn Backend) {
    let f = open(backend).await;
    let mut pushed = vec![
        ("a".to_owned(), f.push_image("a", "one", &["v1"]).await),
        ("a".to_owned(), f.push_image("a", "two", &[]).await),
        ("b".to_owned(), f.push_image("b", "one", &["v1"]).await),
    ];
    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let page = f.store().all_manifests(after.as_ref(), 2).await.unwrap();
        for (position, manifest) in &page {
            assert_eq!(Digest::of(Algorithm::Sha256, &manifest.bytes), manifest.digest);
            listed.push((position.name.as_ref().unwrap().to_string(), manifest.digest));
        }
        match page.into_iter().next_back() {
            Some((position, _)) => after = Some(position),
            None => break,
        }
    }
    listed.sort_unstable();
    pushed.sort_unstable();
    assert_eq!(listed, pushed);
}

async fn a_page_of_manifests_has_so_many_bytes(backend: &dyn Backend) {
    let f = open(backend).await;
    // Two fit into a page, three do not.
    let (note, nothing) = ("x".repeat(MANIFESTS_BYTES_MAX / 5 * 2), digest("not here"));
    for number in 0..5 {
        let note = format!("{number}{note}");
        f.put_sparse("a", &referrer(&nothing, &nothing, "application/vnd.example", &note), &[]).await;
    }
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let page = f.store().all_manifests(after.as_ref(), 100).await.unwrap();
        pages.push(page.len());
        match page.into_iter().next_back() {
            Some((position, _)) => after = Some(position),
            None => break,
        }
    }
    assert_eq!(pages, [2, 2, 1, 0]);
    let large = "x".repeat(MANIFESTS_BYTES_MAX - 2000);
    f.put_sparse("b", &referrer(&nothing, &nothing, "application/vnd.example", &large), &[]).await;
    let page = f.store().all_manifests(after.as_ref(), 100).await.unwrap();
    assert_eq!(page.len(), 1, "one at least");
}

async fn a_database_finds_nothing_wrong_with_itself(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("a", "one", &["v1"]).await;
    assert_eq!(f.store().verify().await.unwrap(), [""; 0]);
}
