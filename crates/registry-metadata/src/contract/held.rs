//! What is held beside what manifests use: by sessions, by blobs without an image, by the trash; and what of it is refused.

use std::time::Duration;

use registry_digest::Algorithm;
use registry_types::{Cause, Location};

use super::{
    Backend,
    fixture::{Fixture, digest, finish, image, put, repo},
};
use crate::{
    COUNTED_UNTOUCHED_MAX, ClaimedUpload, CollectRules, MetadataError, NewUpload, Options, Quota,
    QuotaExceeded, QuotaKind,
};

/// How often two saves are let loose.
const ROUNDS: usize = 10;

/// Each byte that is stored for a prefix is used or held, from the moment that it is saved until it is given up.
pub async fn all(backend: &dyn Backend) {
    a_blob_is_held_until_a_manifest_uses_it(backend).await;
    a_session_holds_what_it_has_saved(backend).await;
    a_session_that_nobody_goes_on_with_is_over_after_a_day(backend).await;
    the_trash_holds_until_its_window_is_over(backend).await;
    what_can_not_be_held_is_refused_and_changes_nothing(backend).await;
    pushing_and_deleting_in_circles_is_refused(backend).await;
    an_upload_is_told_its_room(backend).await;
    a_repository_deleted_and_comes_with_what_it_holds(backend).await;
    what_is_there_is_counted_from_the_start(backend).await;
    two_saves_at_once_under_a_limit_for_one(backend).await;
}

fn quota(prefix: &str, held_max: u64) -> Quota {
    Quota { prefix: prefix.to_owned(), held_max: Some(held_max), ..Quota::default() }
}

async fn open(backend: &dyn Backend, quotas: &[Quota]) -> Fixture {
    let options = Options { quotas: quotas.to_vec(), ..Options::default() };
    let f = Fixture::new(backend, options).await;
    f.store().begin_quotas().await.unwrap();
    f
}

/// What the first quota's prefix holds and uses; what is counted must be what is there.
async fn held_and_used(f: &Fixture) -> (u64, u64) {
    assert_eq!(f.store().verify().await.unwrap(), [""; 0]);
    let usage = f.store().quota_usage().await.unwrap()[0].usage.unwrap();
    (usage.held, usage.bytes)
}

async fn held(f: &Fixture) -> u64 {
    held_and_used(f).await.0
}

async fn save(f: &Fixture, new: &NewUpload, claim: &ClaimedUpload, offset: u64) -> Result<(), MetadataError> {
    f.store().save_upload(&new.id, claim.epoch, offset, b"state").await
}

async fn collect(f: &Fixture) {
    while !f.store().collect(&CollectRules::default(), 100).await.unwrap().is_empty() {}
}

fn exceeded<T: std::fmt::Debug>(result: Result<T, MetadataError>) -> QuotaExceeded {
    match result.unwrap_err() {
        MetadataError::QuotaExceeded(exceeded) => exceeded,
        other => panic!("{other:?}"),
    }
}

async fn a_blob_is_held_until_a_manifest_uses_it(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", 1000)]).await;
    let layer = f.push_blob("team/a", "layer").await;
    f.push_blob("team/a", "layer").await;
    f.store().mount_blob(&repo("team/a"), &repo("team/b"), &layer).await.unwrap();
    f.push_blob("elsewhere", "not of the team").await;
    assert_eq!(held(&f).await, 5, "once, however many have it");
    let config = f.push_blob("team/a", "config").await;
    let manifest = image(&config, &[layer]);
    f.put("team/a", &manifest, &["v1"]).await.unwrap();
    assert_eq!(held_and_used(&f).await, (0, 11 + manifest.bytes().len() as u64));
    f.store().delete_blob(&repo("team/b"), &layer).await.unwrap();
    assert_eq!(held(&f).await, 0);

    let other = f.push_blob("team/b", "other").await;
    f.push_blob("team/b", "left").await;
    f.store().delete_blob(&repo("team/b"), &other).await.unwrap();
    assert_eq!(held(&f).await, 4);
    f.advance_leases(2.0).await;
    collect(&f).await;
    assert_eq!(held(&f).await, 0, "its lease is over");
}

async fn a_session_holds_what_it_has_saved(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", 1000), quota("", 1000)]).await;
    let new = f.start("team/a").await;
    let claim = f.claim(&new).await;
    save(&f, &new, &claim, 100).await.unwrap();
    save(&f, &new, &claim, 150).await.unwrap();
    assert_eq!(held(&f).await, 150);
    f.store().finish_upload(&finish(&new, &claim, "layer", None)).await.unwrap();
    f.store().release_upload(&new.id, claim.epoch);
    assert_eq!(held(&f).await, 5);

    let cancelled = f.start("team/a").await;
    let claim = f.claim(&cancelled).await;
    save(&f, &cancelled, &claim, 100).await.unwrap();
    f.store().release_upload(&cancelled.id, claim.epoch);
    f.store().cancel_upload(&cancelled.repository, &cancelled.id).await.unwrap();
    assert_eq!(held(&f).await, 5);

    for repository in ["team/a", "team/b", "elsewhere"] {
        let left = f.start(repository).await;
        let claim = f.claim(&left).await;
        save(&f, &left, &claim, 10).await.unwrap();
        f.store().release_upload(&left.id, claim.epoch);
    }
    assert_eq!(held(&f).await, 25);
    let hour = Duration::from_secs(3600);
    f.advance(hour * 2).await;
    assert_eq!(f.store().expire_uploads(hour, 100).await.unwrap(), 3);
    assert_eq!(held(&f).await, 5);
}

async fn a_session_that_nobody_goes_on_with_is_over_after_a_day(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", 1000)]).await;
    let (left, elsewhere) = (f.start("team/a").await, f.start("elsewhere").await);
    let claim = f.claim(&left).await;
    save(&f, &left, &claim, 100).await.unwrap();
    f.store().release_upload(&left.id, claim.epoch);
    let week = COUNTED_UNTOUCHED_MAX * 7;
    f.advance(COUNTED_UNTOUCHED_MAX - Duration::from_secs(60)).await;
    assert_eq!(f.store().expire_uploads(week, 100).await.unwrap(), 0);
    // A claim may last another minute.
    f.advance(Duration::from_secs(180)).await;
    assert_eq!(f.store().expire_uploads(week, 0).await.unwrap(), 0);
    assert_eq!(f.store().expire_uploads(week, 100).await.unwrap(), 1);
    assert_eq!(held(&f).await, 0);
    assert!(f.store().upload(&elsewhere.repository, &elsewhere.id).await.unwrap().is_some());
}

async fn the_trash_holds_until_its_window_is_over(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", 10_000)]).await;
    let pushed = f.push_image("team/a", "layer", &["v1"]).await;
    let (held_before, size) = held_and_used(&f).await;
    assert_eq!(held_before, 0);
    f.store().delete_manifest(&repo("team/a"), &pushed, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(held_and_used(&f).await, (size, 0));
    f.store().restore(&repo("team/a"), &pushed.into(), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(held_and_used(&f).await, (0, size));
    f.store().delete_manifest(&repo("team/a"), &pushed, &Cause::UNKNOWN).await.unwrap();
    f.push_image("team/a", "layer", &["v1"]).await;
    f.store().delete_manifest(&repo("team/a"), &pushed, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(held_and_used(&f).await, (size, 0), "in the trash again, and once");
    f.advance_leases(2.0).await;
    collect(&f).await;
    assert_eq!(held(&f).await, size, "the blobs' leases are over, the window is not");
    f.advance(f.options.undelete_window).await;
    collect(&f).await;
    assert_eq!(held(&f).await, 0);
    assert_eq!(f.rows("SELECT COUNT(*) FROM quota_digests").await, ["0"]);
}

async fn what_can_not_be_held_is_refused_and_changes_nothing(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", 20)]).await;
    f.push_blob("team/a", "layer").await;
    f.push_blob("elsewhere", "sixteen bytes...").await;
    let new = f.start("team/a").await;
    let claim = f.claim(&new).await;
    save(&f, &new, &claim, 10).await.unwrap();
    let error = exceeded(save(&f, &new, &claim, 16).await);
    let expected = QuotaExceeded {
        prefix: "team/".to_owned(),
        kind: QuotaKind::Held,
        limit: 20,
        usage: 15,
        requested: 6,
    };
    assert_eq!(error, expected);
    let status = f.store().upload(&new.repository, &new.id).await.unwrap().unwrap();
    assert_eq!(status.offset, 10, "as it was");
    let error = exceeded(f.store().finish_upload(&finish(&new, &claim, "twenty-one bytes.....", None)).await);
    assert_eq!((error.kind, error.requested), (QuotaKind::Held, 11));
    let mounted =
        f.store().mount_blob(&repo("elsewhere"), &repo("team/b"), &digest("sixteen bytes...")).await;
    assert_eq!(exceeded(mounted).kind, QuotaKind::Held);
    assert_eq!(held(&f).await, 15);
    save(&f, &new, &claim, 15).await.unwrap();
    f.store().release_upload(&new.id, claim.epoch);

    let id = f.upload_id();
    let next =
        NewUpload { id, repository: repo("team/b"), location: Location::of_upload(&id), ..new.clone() };
    let error = exceeded(f.store().start_upload(&next).await);
    assert_eq!((error.kind, error.requested), (QuotaKind::Held, 0), "there is not a byte left");
    f.store().cancel_upload(&new.repository, &new.id).await.unwrap();
    f.store().start_upload(&next).await.unwrap();
    f.store().cancel_upload(&next.repository, &next.id).await.unwrap();
}

async fn pushing_and_deleting_in_circles_is_refused(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", 3000)]).await;
    let mut refused = None;
    for round in 0..100 {
        let content = format!("config {round}");
        if let Err(error) = try_push_blob(&f, "team/a", &content).await {
            refused = Some(exceeded::<()>(Err(error)));
            break;
        }
        let manifest = image(&digest(&content), &[]);
        f.put("team/a", &manifest, &["v1"]).await.unwrap();
        let pushed = manifest.digest(Algorithm::Sha256);
        f.store().delete_manifest(&repo("team/a"), &pushed, &Cause::UNKNOWN).await.unwrap();
    }
    let refused = refused.expect("it goes on for ever");
    assert_eq!(refused.kind, QuotaKind::Held);
    let said = refused.to_string();
    assert!(said.contains("`gc.undelete_window`") && said.contains("`quotas[].held`"), "{said}");
    f.advance(f.options.undelete_window).await;
    collect(&f).await;
    f.push_image("team/a", "layer", &["v1"]).await;
}

async fn try_push_blob(f: &Fixture, repository: &str, content: &str) -> Result<(), MetadataError> {
    let (id, repository) = (f.upload_id(), repo(repository));
    let new = NewUpload { id, repository, location: Location::of_upload(&id), algorithm: Algorithm::Sha256 };
    f.store().start_upload(&new).await?;
    let claim = f.claim(&new).await;
    let finished = f.store().finish_upload(&finish(&new, &claim, content, None)).await;
    f.store().release_upload(&new.id, claim.epoch);
    finished
}

async fn an_upload_is_told_its_room(backend: &dyn Backend) {
    let both = Quota { bytes_max: Some(1000), ..quota("team/", 100) };
    let f = open(backend, &[both, quota("team/small/", 30)]).await;
    let room = async |repository: &str, saved, digest: Option<_>| {
        let room = f.store().upload_room(&repo(repository), saved, digest.as_ref()).await.unwrap();
        room.map(|room| (room.size_bytes_max, room.exceeded(saved, 2000)))
    };
    assert!(room("elsewhere", 0, None).await.is_none());
    assert_eq!(room("team/a", 0, None).await.unwrap().0, 100);
    assert_eq!(room("team/small/a", 0, None).await.unwrap().0, 30);
    let new = f.start("team/small/a").await;
    let claim = f.claim(&new).await;
    save(&f, &new, &claim, 20).await.unwrap();
    let (max, error) = room("team/small/a", 20, None).await.unwrap();
    assert_eq!((max, error.usage, error.requested), (30, 20, 1980), "10 more");
    f.store().release_upload(&new.id, claim.epoch);

    // What images use already adds nothing, but while it is sent.
    let f = open(backend, &[Quota { bytes_max: Some(3000), ..Quota::default() }]).await;
    f.push_image("a", &"x".repeat(400), &["v1"]).await;
    let used = held_and_used(&f).await.1;
    let room = async |digest: Option<_>| {
        let room = f.store().upload_room(&repo("a"), 0, digest.as_ref()).await.unwrap();
        room.map(|room| room.size_bytes_max)
    };
    assert_eq!(room(None).await, Some(3000));
    assert_eq!(room(Some(digest("new"))).await, Some(3000 - used));
    assert_eq!(room(Some(digest(&"x".repeat(400)))).await, None);
}

async fn a_repository_deleted_and_comes_with_what_it_holds(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", 10_000)]).await;
    let pushed = f.push_image("team/a", "deleted", &["v1"]).await;
    f.store().delete_manifest(&repo("team/a"), &pushed, &Cause::UNKNOWN).await.unwrap();
    f.push_image("team/a", "layer", &["v1"]).await;
    f.push_blob("team/a", "unused").await;
    f.push_blob("team/b", "unused").await;
    let new = f.start("team/a").await;
    let claim = f.claim(&new).await;
    save(&f, &new, &claim, 100).await.unwrap();
    f.store().release_upload(&new.id, claim.epoch);
    let before = held_and_used(&f).await;
    f.store().delete_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(held_and_used(&f).await, (6, 0));
    f.store().restore_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(held_and_used(&f).await, before);

    f.store().delete_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    f.advance(f.options.undelete_window * 2).await;
    collect(&f).await;
    assert_eq!(held_and_used(&f).await, (0, 0));
    assert_eq!(f.rows("SELECT COUNT(*) FROM uploads").await, ["0"], "it was worked off");
}

async fn what_is_there_is_counted_from_the_start(backend: &dyn Backend) {
    let options = Options { quotas: vec![quota("team/", 100)], ..Options::default() };
    let f = Fixture::new(backend, options).await;
    let pushed = f.push_image("team/a", "layer", &["v1"]).await;
    f.store().delete_manifest(&repo("team/a"), &pushed, &Cause::UNKNOWN).await.unwrap();
    f.push_blob("team/b", "unused").await;
    let new = f.start("team/a").await;
    let claim = f.claim(&new).await;
    save(&f, &new, &claim, 10).await.unwrap();
    f.store().release_upload(&new.id, claim.epoch);
    f.store().begin_quotas().await.unwrap();
    let counted = held_and_used(&f).await;
    assert!(counted.0 > 16 && counted.1 == 0, "{counted:?}");
    f.store().recount_quotas().await.unwrap();
    assert_eq!(held_and_used(&f).await, counted);
    let claim = f.claim(&new).await;
    exceeded(save(&f, &new, &claim, 11).await);
    f.store().release_upload(&new.id, claim.epoch);
    f.store().cancel_upload(&new.repository, &new.id).await.unwrap();
    assert_eq!(held(&f).await, counted.0 - 10);
}

async fn two_saves_at_once_under_a_limit_for_one(backend: &dyn Backend) {
    for _ in 0..ROUNDS {
        let f = open(backend, &[quota("team/", 100)]).await;
        let (left, right) = (f.start("team/a").await, f.start("team/b").await);
        let claims =
            [f.claim(&left).await, f.other().claim_upload(&right.repository, &right.id).await.unwrap()];
        let sparse = image(&digest("a"), &[]);
        let (first, second, pushed) = tokio::join!(
            f.store().save_upload(&left.id, claims[0].epoch, 80, b"state"),
            f.other().save_upload(&right.id, claims[1].epoch, 80, b"state"),
            put(f.store(), "elsewhere", &sparse, &["v1"], false),
        );
        pushed.unwrap();
        exceeded(if first.is_ok() { second } else { first.and(second) });
        assert_eq!(held(&f).await, 80, "exactly one is saved");
    }
}
