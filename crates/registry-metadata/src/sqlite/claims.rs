//! Which upload sessions are being worked on. One process serves a SQLite database, so this needs no transaction.
//!
//! A claim ends when it is released *and* nothing that was asked for under it is still on its way through the writer:
//! otherwise the next claim could write into an object that the last one is just about to make a blob.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use registry_types::UploadId;

use crate::{MetadataError, Result};

#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    claims: HashMap<UploadId, Claim>,
    /// The highest epoch that was given out, over all sessions: none is given out twice.
    last_epoch: i64,
}

#[derive(Debug, Default)]
struct Claim {
    epoch: i64,
    in_flight: usize,
    is_released: bool,
}

impl Claims {
    /// Claims a session. The row is to be read after this, and its epoch told to [`Claims::number`].
    pub(super) fn claim(&self, id: &UploadId) -> Result<Hold> {
        match self.0.lock().claims.entry(*id) {
            Entry::Occupied(_) => Err(MetadataError::UploadBusy { id: *id }),
            Entry::Vacant(entry) => {
                // The hold is all that keeps the claim, until it is numbered and somebody else releases it.
                entry.insert(Claim { epoch: 0, in_flight: 1, is_released: true });
                Ok(Hold { claims: self.clone(), id: *id })
            }
        }
    }

    /// Numbers a claim, higher than any before and than the row's epoch. It lasts until it is released.
    pub(super) fn number(&self, hold: Hold, row_epoch: i64) -> i64 {
        let mut table = self.0.lock();
        let epoch = table.last_epoch.max(row_epoch) + 1;
        table.last_epoch = epoch;
        if let Some(claim) = table.claims.get_mut(&hold.id) {
            claim.epoch = epoch;
            claim.is_released = false;
        }
        drop(table);
        drop(hold);
        epoch
    }

    /// Keeps a current claim from ending while something is done under it.
    pub(super) fn hold(&self, id: &UploadId, epoch: i64) -> Result<Hold> {
        match self.0.lock().claims.get_mut(id) {
            Some(claim) if claim.epoch == epoch && !claim.is_released => {
                claim.in_flight += 1;
                Ok(Hold { claims: self.clone(), id: *id })
            }
            _ => Err(MetadataError::UploadStale { id: *id }),
        }
    }

    /// Ends a claim, now or when nothing holds it any more.
    pub(super) fn release(&self, id: &UploadId, epoch: i64) {
        if let Entry::Occupied(mut entry) = self.0.lock().claims.entry(*id)
            && entry.get().epoch == epoch
        {
            entry.get_mut().is_released = true;
            remove_if_over(entry);
        }
    }
}

/// Something that is being done under a claim.
#[derive(Debug)]
pub(super) struct Hold {
    claims: Claims,
    id: UploadId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.claims.0.lock().claims.entry(self.id) {
            entry.get_mut().in_flight -= 1;
            remove_if_over(entry);
        }
    }
}

fn remove_if_over(entry: std::collections::hash_map::OccupiedEntry<'_, UploadId, Claim>) {
    if entry.get().is_released && entry.get().in_flight == 0 {
        entry.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: UploadId = UploadId::from_random([7; 16]);

    fn claimed(claims: &Claims, row_epoch: i64) -> i64 {
        claims.number(claims.claim(&ID).unwrap(), row_epoch)
    }

    #[test]
    fn one_claim_at_a_time_and_each_with_a_higher_epoch() {
        let claims = Claims::default();
        let first = claimed(&claims, 4);
        assert_eq!(first, 5);
        assert!(matches!(claims.claim(&ID), Err(MetadataError::UploadBusy { .. })));
        claims.release(&ID, first);
        assert_eq!(claimed(&claims, 4), 6, "though the first claim never saved");
    }

    #[test]
    fn a_claim_lasts_as_long_as_something_is_done_under_it() {
        let claims = Claims::default();
        let epoch = claimed(&claims, 0);
        let hold = claims.hold(&ID, epoch).unwrap();
        claims.release(&ID, epoch);
        assert!(matches!(claims.claim(&ID), Err(MetadataError::UploadBusy { .. })));
        assert!(matches!(claims.hold(&ID, epoch), Err(MetadataError::UploadStale { .. })));
        drop(hold);
        claims.claim(&ID).unwrap();
    }

    #[test]
    fn a_claim_that_is_not_numbered_ends_with_its_hold() {
        let claims = Claims::default();
        drop(claims.claim(&ID).unwrap());
        assert!(claims.0.lock().claims.is_empty());
    }

    #[test]
    fn releasing_what_is_not_current_does_nothing() {
        let claims = Claims::default();
        let first = claimed(&claims, 0);
        claims.release(&ID, first);
        let second = claimed(&claims, 0);
        claims.release(&ID, first);
        claims.hold(&ID, second).unwrap();
        claims.release(&ID, second);
        claims.release(&ID, second);
        assert!(claims.0.lock().claims.is_empty());
    }
}
