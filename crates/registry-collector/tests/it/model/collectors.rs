//! What collectors and sweeps do. A transaction of a collector is several steps, between which others go on as far as its
//! locks let them; nothing of it is there before its commit.

use super::{
    protocol::{Arrival, Protocol, replace_collector},
    state::{Collector, GRACE, SWEEP_AGE, State, Verdict},
};

impl Protocol {
    fn idle(&self, state: &State) -> bool {
        let idle = state.collectors.iter().filter(|collector| **collector == Collector::Idle).count();
        idle + usize::from(self.scope.collectors) > state.collectors.len()
    }

    /// An entry of the queue whose time has come, for one collector alone.
    pub(super) fn take(&self, state: &State, repository: u8) -> Option<State> {
        let at = usize::from(repository);
        let is_taken = state.collectors.iter().any(|collector| match collector {
            Collector::Took { repository: taken }
            | Collector::Locked { repository: taken, .. }
            | Collector::Decided { repository: taken, .. } => *taken == repository,
            _ => false,
        });
        if is_taken || state.queue[at] != Some(0) || !self.idle(state) {
            return None;
        }
        let mut next = replace_collector(state, Collector::Idle, Collector::Took { repository })?;
        if !self.rules.dequeues_at_the_end {
            next.queue[at] = None;
        }
        Some(next)
    }

    /// Locks the link and reads its lease.
    pub(super) fn lock(&self, state: &State, collector: Collector) -> Option<State> {
        let Collector::Took { repository } = collector else { return None };
        let Some(lease) = state.links[usize::from(repository)] else {
            return self.dequeue(state, collector, repository);
        };
        replace_collector(state, collector, Collector::Locked { repository, lease })
    }

    /// In a new statement: does something refer to it?
    pub(super) fn examine(&self, state: &State, collector: Collector) -> Option<State> {
        let Collector::Locked { repository, lease } = collector else { return None };
        let verdict = match lease {
            _ if !self.rules.looks_again => Verdict::Take,
            _ if state.manifests[usize::from(repository)] => Verdict::Leave,
            0 => Verdict::Take,
            lease => Verdict::LookAgain(lease),
        };
        replace_collector(state, collector, Collector::Decided { repository, verdict })
    }

    pub(super) fn commit(&self, state: &State, collector: Collector) -> Option<State> {
        let Collector::Decided { repository, verdict } = collector else { return None };
        let at = usize::from(repository);
        match verdict {
            Verdict::Leave => self.dequeue(state, collector, repository),
            Verdict::LookAgain(lease) => {
                let mut next = replace_collector(state, collector, Collector::Idle)?;
                next.queue[at] = Some(lease);
                Some(next)
            }
            Verdict::Take => {
                let holds = state.links[at] == Some(0) && !state.manifests[at];
                let is_refused = state.manifests[at] && self.rules.foreign_keys;
                if is_refused || (self.rules.conditions && !holds) {
                    // Rolled back, and looked at some other time.
                    return replace_collector(state, collector, Collector::Idle);
                }
                if self.is_digest_taken(state) {
                    return None;
                }
                let mut next = self.dequeue(state, collector, repository)?;
                next.links[at] = None;
                next.queue_digest = true;
                Some(next)
            }
        }
    }

    fn dequeue(&self, state: &State, collector: Collector, repository: u8) -> Option<State> {
        let mut next = replace_collector(state, collector, Collector::Idle)?;
        next.queue[usize::from(repository)] = None;
        Some(next)
    }

    pub(super) fn take_digest(&self, state: &State) -> Option<State> {
        let has_entry = |collector: &Collector| {
            matches!(collector, Collector::TookDigest | Collector::DecidedDigest { .. })
        };
        if !state.queue_digest || state.collectors.iter().any(has_entry) || !self.idle(state) {
            return None;
        }
        let mut next = replace_collector(state, Collector::Idle, Collector::TookDigest)?;
        next.queue_digest = self.rules.dequeues_at_the_end;
        Some(next)
    }

    pub(super) fn look_at_digest(&self, state: &State) -> Option<State> {
        let take = state.digest.is_some() && (!self.rules.looks_again || !state.is_linked());
        let mut next = replace_collector(state, Collector::TookDigest, Collector::DecidedDigest { take })?;
        if take && !self.rules.rows_go_first {
            next.delete(usize::from(state.digest?));
        }
        Some(next)
    }

    /// Digest and object go, and the object's key is remembered, in one transaction.
    pub(super) fn commit_digest(&self, state: &State, collector: Collector) -> Option<State> {
        let Collector::DecidedDigest { take } = collector else { return None };
        let mut next = replace_collector(state, collector, Collector::Idle)?;
        let is_kept = state.is_linked() && (self.rules.conditions || self.rules.foreign_keys);
        next.queue_digest = false;
        if take
            && !is_kept
            && let Some(key) = next.digest.take()
        {
            let grace = if self.rules.waits_for_readers { GRACE } else { 0 };
            next.reclaim[usize::from(key)] = Some(grace);
        }
        Some(next)
    }

    pub(super) fn take_bytes(&self, state: &State, key: u8) -> Option<State> {
        if state.reclaim[usize::from(key)] != Some(0) || !self.idle(state) {
            return None;
        }
        let mut next = replace_collector(state, Collector::Idle, Collector::Deletes { key })?;
        if !self.rules.remembers_what_to_delete {
            next.reclaim[usize::from(key)] = None;
        }
        Some(next)
    }

    pub(super) fn delete(&self, state: &State, collector: Collector, arrival: Arrival) -> Option<State> {
        let Collector::Deletes { key } = collector else { return None };
        let is_told = arrival != Arrival::Late;
        let to = if is_told { Collector::Deleted { key } } else { Collector::Idle };
        let mut next = replace_collector(state, collector, to)?;
        if is_told {
            next.delete(key.into());
        }
        next.late_delete[usize::from(key)] |= arrival != Arrival::Done;
        Some(next)
    }

    pub(super) fn forget(&self, state: &State, collector: Collector) -> Option<State> {
        let Collector::Deleted { key } = collector else { return None };
        let mut next = replace_collector(state, collector, Collector::Idle)?;
        next.reclaim[usize::from(key)] = None;
        Some(next)
    }

    pub(super) fn list(&self, state: &State, key: u8) -> Option<State> {
        let mut next = *state;
        next.sweeper = Some(key);
        (state.sweeper.is_none() && state.bytes[usize::from(key)]).then_some(next)
    }

    /// Whether a row leads there is asked after the store was listed; and again before anything is given up, which is one
    /// transaction here.
    pub(super) fn sweep(&self, state: &State) -> Option<State> {
        let mut next = *state;
        let key = usize::from(next.sweeper.take()?);
        next.unknown[key] = match state.unknown[key] {
            _ if state.leads_to(key) => None,
            None => Some(SWEEP_AGE),
            Some(0) => {
                next.reclaim[key] = Some(0);
                None
            }
            waits => waits,
        };
        Some(next)
    }
}
