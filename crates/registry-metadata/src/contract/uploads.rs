//! Upload sessions.

use std::time::Duration;

use registry_digest::Algorithm;
use registry_types::{Location, UploadId};

use super::{
    Backend,
    fixture::{digest, finish, repo},
    open,
};
use crate::{MetadataError, NewUpload, UPLOADS_MAX, UploadStatus};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A session is somebody's alone, goes on where it was saved, and leaves either a blob or bytes to give back.
pub async fn all(backend: &dyn Backend) {
    a_session_tells_how_far_it_is(backend).await;
    a_session_goes_on_where_it_was_saved(backend).await;
    a_session_is_known_in_its_repository_only(backend).await;
    one_request_claims_a_session(backend).await;
    a_stale_claim_neither_saves_nor_finishes(backend).await;
    a_finished_session_is_gone(backend).await;
    a_cancelled_session_gives_its_bytes_back_with_their_state(backend).await;
    a_claimed_session_can_not_be_cancelled(backend).await;
    untouched_sessions_expire(backend).await;
    claimed_sessions_do_not_expire(backend).await;
    at_most_so_many_sessions_expire_at_once(backend).await;
    a_repository_has_no_more_sessions_than_it_may(backend).await;
}

async fn a_repository_has_no_more_sessions_than_it_may(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = |number: usize, repository: &str| {
        let id = UploadId::from_random(std::array::from_fn(|byte| (number >> (8 * (byte % 8))) as u8));
        let location = Location::of_upload(&id);
        NewUpload { id, repository: repo(repository), location, algorithm: Algorithm::Sha256 }
    };
    for number in 0..UPLOADS_MAX {
        f.store().start_upload(&new(number, "a")).await.unwrap();
    }
    let refused = f.store().start_upload(&new(UPLOADS_MAX, "a")).await.unwrap_err();
    assert!(matches!(refused, MetadataError::TooManyUploads { limit: UPLOADS_MAX }), "{refused:?}");
    f.store().start_upload(&new(UPLOADS_MAX, "b")).await.unwrap();
    f.store().cancel_upload(&repo("a"), &new(0, "a").id).await.unwrap();
    f.store().start_upload(&new(0, "a")).await.unwrap();
}

async fn a_session_tells_how_far_it_is(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    let begun = f.store().upload(&new.repository, &new.id).await.unwrap().unwrap();
    assert_eq!((begun.offset, begun.algorithm), (0, new.algorithm));
    let claim = f.claim(&new).await;
    f.advance(DAY).await;
    f.store().save_upload(&new.id, claim.epoch, 7, b"state").await.unwrap();
    let saved = f.other().upload(&new.repository, &new.id).await.unwrap();
    assert_eq!(saved, Some(UploadStatus { offset: 7, ..begun }));
}

async fn a_session_goes_on_where_it_was_saved(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    let first = f.claim(&new).await;
    assert_eq!((first.offset, &first.state, &first.location), (0, &None, &new.location));
    f.store().save_upload(&new.id, first.epoch, 5, b"five").await.unwrap();
    f.store().save_upload(&new.id, first.epoch, 9, b"nine").await.unwrap();
    f.store().release_upload(&new.id, first.epoch);
    let second = f.claim(&new).await;
    assert!(second.epoch > first.epoch);
    assert_eq!((second.offset, second.state.as_deref()), (9, Some(&b"nine"[..])));
}

async fn a_session_is_known_in_its_repository_only(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    let elsewhere = repo("b");
    assert_eq!(f.store().upload(&elsewhere, &new.id).await.unwrap(), None);
    let claim = f.store().claim_upload(&elsewhere, &new.id).await;
    assert!(matches!(claim, Err(MetadataError::UploadUnknown { .. })));
    let cancel = f.store().cancel_upload(&elsewhere, &new.id).await;
    assert!(matches!(cancel, Err(MetadataError::UploadUnknown { .. })));
    let claim = f.claim(&new).await;
    let elsewhere = crate::FinishUpload { repository: elsewhere, ..finish(&new, &claim, "content", None) };
    let finished = f.store().finish_upload(&elsewhere).await;
    assert!(matches!(finished, Err(MetadataError::UploadUnknown { .. })));
}

async fn one_request_claims_a_session(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    let claim = f.claim(&new).await;
    let second = f.store().claim_upload(&new.repository, &new.id).await;
    assert!(matches!(second, Err(MetadataError::UploadBusy { .. })));
    f.store().release_upload(&new.id, claim.epoch - 1);
    let second = f.store().claim_upload(&new.repository, &new.id).await;
    assert!(matches!(second, Err(MetadataError::UploadBusy { .. })), "another claim was given back");
    f.store().release_upload(&new.id, claim.epoch);
    f.claim(&new).await;
}

async fn a_stale_claim_neither_saves_nor_finishes(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    let stale = f.claim(&new).await;
    f.store().release_upload(&new.id, stale.epoch);
    let current = f.claim(&new).await;
    let saved = f.store().save_upload(&new.id, stale.epoch, 3, b"late").await;
    assert!(matches!(saved, Err(MetadataError::UploadStale { .. })));
    let finished = f.store().finish_upload(&finish(&new, &stale, "content", None)).await;
    assert!(matches!(finished, Err(MetadataError::UploadStale { .. })));
    assert_eq!(f.blob("a", &digest("content")).await, None);
    f.store().finish_upload(&finish(&new, &current, "content", None)).await.unwrap();
}

async fn a_finished_session_is_gone(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    let claim = f.claim(&new).await;
    let done = finish(&new, &claim, "content", None);
    f.store().finish_upload(&done).await.unwrap();
    assert_eq!(f.store().upload(&new.repository, &new.id).await.unwrap(), None);
    let again = f.store().finish_upload(&done).await;
    assert!(matches!(again, Err(MetadataError::UploadUnknown { .. })));
    let saved = f.store().save_upload(&new.id, claim.epoch, 3, b"late").await;
    assert!(matches!(saved, Err(MetadataError::UploadUnknown { .. })));
    f.store().release_upload(&new.id, claim.epoch);
    let claim = f.store().claim_upload(&new.repository, &new.id).await;
    assert!(matches!(claim, Err(MetadataError::UploadUnknown { .. })));
    assert!(f.reclaimable().await.is_empty(), "its bytes are a blob's now");
}

async fn a_cancelled_session_gives_its_bytes_back_with_their_state(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    let claim = f.claim(&new).await;
    f.store().save_upload(&new.id, claim.epoch, 3, b"parts").await.unwrap();
    f.store().release_upload(&new.id, claim.epoch);
    f.store().cancel_upload(&new.repository, &new.id).await.unwrap();
    let again = f.store().cancel_upload(&new.repository, &new.id).await;
    assert!(matches!(again, Err(MetadataError::UploadUnknown { .. })));

    let due = f.other().reclaimable(10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((&due[0].location, due[0].upload_state.as_deref()), (&new.location, Some(&b"parts"[..])));
    f.store().reclaimed(&new.location).await.unwrap();
    f.store().reclaimed(&new.location).await.unwrap();
    assert!(f.reclaimable().await.is_empty());
}

async fn a_claimed_session_can_not_be_cancelled(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    let claim = f.claim(&new).await;
    let cancel = f.store().cancel_upload(&new.repository, &new.id).await;
    assert!(matches!(cancel, Err(MetadataError::UploadBusy { .. })));
    f.store().save_upload(&new.id, claim.epoch, 3, b"goes on").await.unwrap();
}

async fn untouched_sessions_expire(backend: &dyn Backend) {
    let f = open(backend).await;
    let old = f.start("a").await;
    let saved = f.start("a").await;
    f.advance(DAY).await;
    let claim = f.claim(&saved).await;
    f.store().save_upload(&saved.id, claim.epoch, 3, b"state").await.unwrap();
    f.store().release_upload(&saved.id, claim.epoch);
    let young = f.start("a").await;
    assert_eq!(f.other().expire_uploads(DAY, 10).await.unwrap(), 1);
    assert_eq!(f.store().upload(&old.repository, &old.id).await.unwrap(), None);
    for kept in [&saved, &young] {
        assert!(f.store().upload(&kept.repository, &kept.id).await.unwrap().is_some());
    }
    assert_eq!(f.reclaimable().await, [old.location.to_string()]);
    assert_eq!(f.store().expire_uploads(DAY, 10).await.unwrap(), 0);
}

async fn claimed_sessions_do_not_expire(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    let claim = f.claim(&new).await;
    f.advance(DAY).await;
    assert_eq!(f.store().expire_uploads(DAY, 10).await.unwrap(), 0);
    f.store().release_upload(&new.id, claim.epoch);
    assert_eq!(f.store().expire_uploads(DAY, 10).await.unwrap(), 1);
}

async fn at_most_so_many_sessions_expire_at_once(backend: &dyn Backend) {
    let f = open(backend).await;
    for _ in 0..5 {
        f.start("a").await;
    }
    f.advance(DAY).await;
    let mut expired = Vec::new();
    for _ in 0..4 {
        expired.push(f.store().expire_uploads(DAY, 2).await.unwrap());
    }
    assert_eq!(expired, [2, 2, 1, 0]);
}
