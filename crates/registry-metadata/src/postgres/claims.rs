//! Which upload sessions this process works on. Between processes the row decides; this is what the row can not say: that
//! something asked for under a claim is still on its way, and that a claim is being given back.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use registry_types::UploadId;
use tokio::{
    sync::Notify,
    time::{sleep, timeout_at},
};

use super::{fault::Fault, pool::Pool, row::signed, sql};
use crate::{MetadataError, Result, clock::millis};

/// How long a claim lasts if its node does not renew it. Longer than any store waits for one answer, so that a node which
/// is cut off has given up before another one goes on.
pub(super) const CLAIM: Duration = Duration::from_secs(60);

/// How often claims are renewed: three attempts may fail.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// How long to wait after claims could not be given back.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How many are renewed or given back in one statement.
const BATCH_MAX: usize = 1000;

/// No claim has this epoch.
pub(super) const NO_EPOCH: i64 = -1;

#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    claims: Mutex<HashMap<UploadId, Claim>>,
    released: Notify,
}

#[derive(Debug)]
struct Claim {
    epoch: i64,
    in_flight: usize,
    /// When it was released, if it was. It stays until the row says so too.
    released: Option<Instant>,
}

impl Claim {
    fn is_over(&self) -> bool {
        self.released.is_some() && self.in_flight == 0
    }
}

impl Claims {
    /// Keeps everybody else in this process from a session while its row is asked. Comes with the epoch of a claim that
    /// is on its way back, or [`NO_EPOCH`].
    pub(super) fn claim(&self, id: &UploadId) -> Result<(Hold, i64)> {
        let mut claims = self.0.claims.lock();
        let epoch = match claims.entry(*id) {
            Entry::Occupied(mut entry) if entry.get().is_over() => {
                entry.get_mut().in_flight = 1;
                entry.get().epoch
            }
            Entry::Occupied(_) => return Err(MetadataError::UploadBusy { id: *id }),
            Entry::Vacant(entry) => {
                entry.insert(Claim { epoch: NO_EPOCH, in_flight: 1, released: Some(Instant::now()) });
                NO_EPOCH
            }
        };
        Ok((Hold { claims: self.clone(), id: *id }, epoch))
    }

    /// The row was claimed with this epoch. The claim lasts until it is released.
    pub(super) fn number(&self, hold: Hold, epoch: i64) {
        if let Some(claim) = self.0.claims.lock().get_mut(&hold.id) {
            claim.epoch = epoch;
            claim.released = None;
        }
    }

    /// Keeps a current claim from ending while something is done under it.
    pub(super) fn hold(&self, id: &UploadId, epoch: i64) -> Result<Hold> {
        match self.0.claims.lock().get_mut(id) {
            Some(claim) if claim.epoch == epoch && claim.released.is_none() => {
                claim.in_flight += 1;
                Ok(Hold { claims: self.clone(), id: *id })
            }
            _ => Err(MetadataError::UploadStale { id: *id }),
        }
    }

    /// Ends a claim, now or when nothing holds it any more; the row is told of it soon.
    pub(super) fn release(&self, id: &UploadId, epoch: i64) {
        if let Some(claim) = self.0.claims.lock().get_mut(id)
            && claim.epoch == epoch
            && claim.released.is_none()
        {
            claim.released = Some(Instant::now());
        }
        self.0.released.notify_one();
    }

    /// Tells the rows of all claims that are over.
    pub(super) async fn give_back(&self, pool: &Arc<Pool>) -> std::result::Result<(), Fault> {
        loop {
            let (ids, epochs) = self.some(Claim::is_over);
            if ids.is_empty() {
                return Ok(());
            }
            let connection = pool.connection().await?;
            connection.of_process(connection.execute(sql::RELEASE_CLAIMS, &[&texts(&ids), &epochs])).await?;
            let mut claims = self.0.claims.lock();
            for (id, epoch) in ids.into_iter().zip(epochs) {
                if let Entry::Occupied(entry) = claims.entry(id)
                    && entry.get().is_over()
                    && entry.get().epoch == epoch
                {
                    entry.remove();
                }
            }
        }
    }

    /// Renews the claims that are being worked under.
    pub(super) async fn renew(&self, pool: &Arc<Pool>) -> std::result::Result<(), Fault> {
        let (ids, epochs) = self.some(|claim| !claim.is_over() && claim.epoch != NO_EPOCH);
        for (ids, epochs) in ids.chunks(BATCH_MAX).zip(epochs.chunks(BATCH_MAX)) {
            let connection = pool.connection().await?;
            let claim_ms = signed(millis(CLAIM));
            connection
                .of_process(connection.execute(sql::RENEW_CLAIMS, &[&claim_ms, &texts(ids), &epochs]))
                .await?;
        }
        Ok(())
    }

    fn some(&self, is_meant: impl Fn(&Claim) -> bool) -> (Vec<UploadId>, Vec<i64>) {
        let claims = self.0.claims.lock();
        claims.iter().filter(|(_, claim)| is_meant(claim)).map(|(id, claim)| (*id, claim.epoch)).unzip()
    }

    /// What could not be given back for so long ended by itself.
    fn forget_expired(&self) {
        let is_kept =
            |claim: &Claim| !claim.is_over() || claim.released.is_none_or(|at| at.elapsed() < 2 * CLAIM);
        self.0.claims.lock().retain(|_, claim| is_kept(claim));
    }
}

/// Gives claims back as they are released and renews the others, until it is dropped.
pub(super) async fn keep(claims: Claims, pool: Arc<Pool>) {
    let mut renew_at = tokio::time::Instant::now() + RENEW_EVERY;
    loop {
        if timeout_at(renew_at, claims.0.released.notified()).await.is_err() {
            renew_at += RENEW_EVERY;
            if let Err(fault) = claims.renew(&pool).await {
                let error = fault.explain("renew the claims of uploads");
                tracing::warn!(error = &error as &dyn std::error::Error, "running uploads may be taken over");
            }
        }
        if let Err(fault) = claims.give_back(&pool).await {
            let error = fault.explain("give back the claims of uploads");
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "they end by themselves after {CLAIM:?}"
            );
            claims.forget_expired();
            sleep(RETRY_AFTER).await;
            claims.0.released.notify_one();
        }
    }
}

fn texts(ids: &[UploadId]) -> Vec<String> {
    ids.iter().map(UploadId::to_string).collect()
}

/// Something that is being done under a claim, or to get one.
#[derive(Debug)]
pub(super) struct Hold {
    claims: Claims,
    id: UploadId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.claims.0.claims.lock().entry(self.id) {
            entry.get_mut().in_flight -= 1;
            if entry.get().is_over() {
                if entry.get().epoch == NO_EPOCH {
                    entry.remove();
                }
                self.claims.0.released.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: UploadId = UploadId::from_random([7; 16]);

    #[test]
    fn one_claim_at_a_time() {
        let claims = Claims::default();
        let (hold, epoch) = claims.claim(&ID).unwrap();
        assert_eq!(epoch, NO_EPOCH);
        assert!(matches!(claims.claim(&ID), Err(MetadataError::UploadBusy { .. })));
        claims.number(hold, 5);
        assert!(matches!(claims.claim(&ID), Err(MetadataError::UploadBusy { .. })));
        claims.release(&ID, 4);
        assert!(
            matches!(claims.claim(&ID), Err(MetadataError::UploadBusy { .. })),
            "another one was released"
        );
        claims.release(&ID, 5);
        assert_eq!(claims.claim(&ID).unwrap().1, 5, "the row does not know yet that it was given back");
    }

    #[test]
    fn a_claim_lasts_as_long_as_something_is_done_under_it() {
        let claims = Claims::default();
        claims.number(claims.claim(&ID).unwrap().0, 1);
        let hold = claims.hold(&ID, 1).unwrap();
        claims.release(&ID, 1);
        assert!(matches!(claims.claim(&ID), Err(MetadataError::UploadBusy { .. })));
        assert!(matches!(claims.hold(&ID, 1), Err(MetadataError::UploadStale { .. })));
        drop(hold);
        claims.claim(&ID).unwrap();
    }

    #[test]
    fn an_attempt_that_fails_leaves_nothing_of_its_own() {
        let claims = Claims::default();
        drop(claims.claim(&ID).unwrap());
        assert!(claims.0.claims.lock().is_empty());
        claims.number(claims.claim(&ID).unwrap().0, 1);
        claims.release(&ID, 1);
        drop(claims.claim(&ID).unwrap());
        assert_eq!(claims.claim(&ID).unwrap().1, 1, "what is on its way back stays so");
    }
}
