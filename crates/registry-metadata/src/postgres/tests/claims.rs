//! Sessions between two nodes.

use std::time::{Duration, Instant};

use registry_testing_postgres::PostgresServer;

use super::{
    super::claims::CLAIM,
    backend::{OnServer, PostgresProbe, open},
    images::{finished, new_upload},
};
use crate::{
    MetadataError, Options,
    contract::{Backend, Probe},
    traits::*,
};

#[tokio::test]
async fn a_session_goes_on_at_another_node_at_once() {
    let subject = OnServer.open(Options::default()).await;
    let new = new_upload("a");
    subject.store.start_upload(&new).await.unwrap();
    let nodes = [&subject.store, &subject.other];
    for round in 0..20 {
        let node = nodes[round % 2];
        let claim = node.claim_upload(&new.repository, &new.id).await.unwrap();
        assert_eq!(claim.offset, round as u64);
        node.save_upload(&new.id, claim.epoch, round as u64 + 1, b"state").await.unwrap();
        // The next request may reach the other node before this one has told the row.
        node.release_upload(&new.id, claim.epoch);
    }
}

#[tokio::test]
async fn one_of_two_nodes_claims_a_session() {
    let subject = OnServer.open(Options::default()).await;
    for _ in 0..3 {
        let new = new_upload("a");
        subject.store.start_upload(&new).await.unwrap();
        let claims = tokio::join!(
            subject.store.claim_upload(&new.repository, &new.id),
            subject.other.claim_upload(&new.repository, &new.id)
        );
        assert!(matches!(
            claims,
            (Ok(_), Err(MetadataError::UploadBusy { .. })) | (Err(MetadataError::UploadBusy { .. }), Ok(_))
        ));
        let cancelled = subject.other.cancel_upload(&new.repository, &new.id).await;
        assert!(matches!(cancelled, Err(MetadataError::UploadBusy { .. })));
    }
}

#[tokio::test]
async fn the_claim_of_a_node_that_died_ends_by_time() {
    let subject = OnServer.open(Options::default()).await;
    let new = new_upload("a");
    subject.store.start_upload(&new).await.unwrap();
    let dead = subject.other.claim_upload(&new.repository, &new.id).await.unwrap();
    subject.probe.advance(CLAIM - Duration::from_millis(1)).await;
    let busy = subject.store.claim_upload(&new.repository, &new.id).await;
    assert!(matches!(busy, Err(MetadataError::UploadBusy { .. })));
    subject.probe.advance(Duration::from_millis(1)).await;
    let claim = subject.store.claim_upload(&new.repository, &new.id).await.unwrap();
    assert!(claim.epoch > dead.epoch);

    // It was not dead but cut off.
    let late = subject.other.save_upload(&new.id, dead.epoch, 5, b"late").await;
    assert!(matches!(late, Err(MetadataError::UploadStale { .. })));
    let late = subject.other.finish_upload(&finished(&new, dead.epoch, "late")).await;
    assert!(matches!(late, Err(MetadataError::UploadStale { .. })));
    subject.other.release_upload(&new.id, dead.epoch);
    subject.store.save_upload(&new.id, claim.epoch, 7, b"state").await.unwrap();
    subject.store.finish_upload(&finished(&new, claim.epoch, "content")).await.unwrap();
}

#[tokio::test]
async fn a_claim_that_is_worked_under_is_renewed() {
    let url = PostgresServer::shared().database();
    let store = open(&url, &Options::default()).await;
    let probe = PostgresProbe::connect(&url).await;
    let new = new_upload("a");
    store.start_upload(&new).await.unwrap();
    let claim = store.claim_upload(&new.repository, &new.id).await.unwrap();
    probe.run("UPDATE uploads SET claimed_until = now_ms() + 1000").await;
    store.claims.renew(&store.pool).await.unwrap();
    let left = "SELECT (claimed_until - now_ms()) / 1000 FROM uploads";
    assert!(probe.rows(left).await[0].parse::<u64>().unwrap() >= CLAIM.as_secs() - 5);

    store.release_upload(&new.id, claim.epoch);
    let until = Instant::now() + Duration::from_secs(10);
    while probe.rows("SELECT claimed_until FROM uploads").await != ["0"] {
        assert!(Instant::now() < until, "it is given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn background_work_is_given_to_one_node() {
    let subject = OnServer.open(Options::default()).await;
    let day = Duration::from_secs(24 * 60 * 60);
    for _ in 0..40 {
        subject.store.start_upload(&new_upload("a")).await.unwrap();
    }
    subject.probe.advance(day).await;
    let expired =
        tokio::join!(subject.store.expire_uploads(day, 100), subject.other.expire_uploads(day, 100));
    assert_eq!(expired.0.unwrap() + expired.1.unwrap(), 40);

    for _ in 0..2 {
        assert_eq!(subject.store.reclaimable_count(100).await.unwrap(), 40, "counting takes nothing");
    }
    assert_eq!(subject.store.reclaimable_count(7).await.unwrap(), 7);
    let (one, two) = tokio::join!(subject.store.reclaimable(30), subject.other.reclaimable(30));
    let mut taken: Vec<String> =
        one.unwrap().iter().chain(&two.unwrap()).map(|bytes| bytes.location.to_string()).collect();
    taken.sort();
    taken.dedup();
    assert!(taken.len() >= 30, "{}", taken.len());
    let rest = subject.store.reclaimable(100).await.unwrap().len();
    assert_eq!(taken.len() + rest, 40, "each to one node");
    assert_eq!(subject.store.reclaimable_count(100).await.unwrap(), 0);
    subject.probe.advance(Duration::from_secs(11 * 60)).await;
    assert_eq!(subject.other.reclaimable(100).await.unwrap().len(), 40, "nobody did it: again");
}
