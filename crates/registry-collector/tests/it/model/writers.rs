//! What clients do, each step one transaction or one request to the store.

use super::{
    protocol::{Arrival, Protocol, replace_writer},
    state::{Collector, GRACE, GRANT, LEASE, State, Writer},
};

impl Protocol {
    /// `POST uploads/`.
    pub(super) fn begin(&self, state: &State, repository: u8) -> Option<State> {
        let idle = state.writers.iter().filter(|writer| **writer == Writer::Idle).count();
        let has_room = idle + usize::from(self.scope.writers) > state.writers.len();
        if !has_room || state.begun >= self.scope.uploads {
            return None;
        }
        let key = if self.rules.keys_are_new { state.begun } else { 0 };
        if state.uploads[usize::from(key)] {
            return None;
        }
        let mut next = replace_writer(state, Writer::Idle, Writer::Begun { repository, key })?;
        next.begun += 1;
        next.uploads[usize::from(key)] = self.rules.row_before_bytes;
        Some(next)
    }

    /// `PATCH`, `PUT`: the bytes.
    pub(super) fn write(&self, state: &State, writer: Writer, arrival: Arrival) -> Option<State> {
        let Writer::Begun { repository, key } = writer else { return None };
        let is_told = arrival != Arrival::Late;
        let to = if is_told { Writer::Written { repository, key } } else { Writer::Idle };
        let mut next = replace_writer(state, writer, to)?;
        if is_told {
            next.write(key.into());
        }
        next.late_write[usize::from(key)] |= arrival != Arrival::Done;
        Some(next)
    }

    /// Whether the digest has bytes already.
    pub(super) fn ask_for_twin(&self, state: &State, writer: Writer) -> Option<State> {
        let Writer::Written { repository, key } = writer else { return None };
        let to = match state.digest {
            Some(twin) if twin != key => Writer::Compares { repository, key, twin },
            _ => Writer::Finishes { repository, key, replaces: None },
        };
        replace_writer(state, writer, to)
    }

    pub(super) fn compare(&self, state: &State, writer: Writer) -> Option<State> {
        let Writer::Compares { repository, key, twin } = writer else { return None };
        let replaces = (!state.bytes[usize::from(twin)]).then_some(twin);
        replace_writer(state, writer, Writer::Finishes { repository, key, replaces })
    }

    /// The session becomes a blob: 201.
    pub(super) fn finish(&self, state: &State, writer: Writer) -> Option<State> {
        let Writer::Finishes { repository, key, replaces } = writer else { return None };
        let (repository, ours) = (usize::from(repository), usize::from(key));
        if !self.may_write(state, repository) {
            return None;
        }
        let mut next = replace_writer(state, writer, Writer::Idle)?;
        if self.rules.row_before_bytes && !std::mem::take(&mut next.uploads[ours]) {
            // The session is unknown by now, and the client hears so.
            return Some(next);
        }
        match next.digest {
            None => next.digest = Some(key),
            Some(theirs) if theirs == key => {}
            Some(theirs) if replaces == Some(theirs) => {
                next.digest = Some(key);
                next.reclaim[usize::from(theirs)] = Some(GRACE);
            }
            Some(_) => next.reclaim[ours] = Some(0),
        }
        if !self.rules.keys_are_new {
            // The best that can be done for a key that comes back.
            next.reclaim[ours] = None;
        }
        self.link(&mut next, repository);
        Some(next)
    }

    /// `HEAD`: at once, if nothing is to be written.
    pub(super) fn head(&self, state: &State, repository: usize) -> Option<State> {
        let lease = state.links[repository]?;
        if lease >= LEASE || state.manifests[repository] || !self.rules.head_renews {
            let mut next = *state;
            next.promised[repository] = LEASE;
            return Some(next);
        }
        let idle = state.writers.iter().filter(|writer| **writer == Writer::Idle).count();
        let has_room = idle + usize::from(self.scope.writers) > state.writers.len();
        let renews = Writer::Renews { repository: repository as u8 };
        has_room.then(|| replace_writer(state, Writer::Idle, renews)).flatten()
    }

    pub(super) fn renew(&self, state: &State, writer: Writer) -> Option<State> {
        let Writer::Renews { repository } = writer else { return None };
        let repository = usize::from(repository);
        if !self.may_write(state, repository) {
            return None;
        }
        let mut next = replace_writer(state, writer, Writer::Idle)?;
        if next.links[repository].is_some() {
            self.grant(&mut next, repository);
        } else if !self.rules.answers_after_the_write {
            next.promised[repository] = LEASE;
        }
        Some(next)
    }

    pub(super) fn mount(&self, state: &State, from: usize, to: usize) -> Option<State> {
        if state.links[from].is_none() || !self.may_write(state, to) {
            return None;
        }
        let mut next = *state;
        if next.links[to].is_some() && !self.rules.mount_renews {
            next.promised[to] = LEASE;
        } else {
            self.link(&mut next, to);
        }
        Some(next)
    }

    /// The manifest's row and its reference, whose foreign key takes a lock on the link.
    pub(super) fn put_manifest(&self, state: &State, repository: usize) -> Option<State> {
        if state.manifests[repository]
            || state.links[repository].is_none()
            || self.is_locked(state, repository)
        {
            return None;
        }
        let mut next = *state;
        next.manifests[repository] = true;
        Some(next)
    }

    pub(super) fn delete_manifest(&self, state: &State, repository: usize) -> Option<State> {
        if !state.manifests[repository] || !self.may_write(state, repository) {
            return None;
        }
        let mut next = *state;
        next.manifests[repository] = false;
        if self.rules.last_reference_grants {
            next.links[repository] = Some(GRANT);
        }
        let left = next.links[repository]?;
        self.enqueue(&mut next, repository, left);
        Some(next)
    }

    /// What a client deletes is not promised to it any more.
    pub(super) fn delete_blob(&self, state: &State, repository: usize) -> Option<State> {
        let is_refused = state.manifests[repository] || !self.may_write(state, repository);
        if is_refused || self.is_digest_taken(state) {
            return None;
        }
        let mut next = *state;
        next.links[repository].take()?;
        next.promised[repository] = 0;
        next.queue_digest = true;
        Some(next)
    }

    pub(super) fn expire(&self, state: &State, key: usize) -> Option<State> {
        let mut next = *state;
        if !std::mem::take(&mut next.uploads[key]) {
            return None;
        }
        next.reclaim[key] = Some(0);
        Some(next)
    }

    /// Somebody looks where the bytes lie, and reads for as long as the grace lasts.
    pub(super) fn read(&self, state: &State) -> Option<State> {
        let key = usize::from(state.digest.filter(|_| state.is_linked())?);
        let mut next = *state;
        next.reading[key] = GRACE;
        Some(next)
    }

    pub(super) fn set_down_for_any_reason(&self, state: &State, repository: usize) -> Option<State> {
        if state.links[repository].is_none() || !self.may_write(state, repository) || !self.rules.sets_down {
            return None;
        }
        let mut next = *state;
        next.queue[repository] = Some(0);
        Some(next)
    }

    fn link(&self, next: &mut State, repository: usize) {
        next.links[repository] = Some(0);
        self.grant(next, repository);
    }

    /// A new lease, and somebody is told that it is there.
    fn grant(&self, next: &mut State, repository: usize) {
        next.links[repository] = Some(GRANT);
        next.promised[repository] = LEASE;
        self.enqueue(next, repository, GRANT);
    }

    fn enqueue(&self, next: &mut State, repository: usize, in_ticks: u8) {
        if self.rules.sets_down {
            next.queue[repository] = Some(in_ticks);
        }
    }

    /// Whether a collector has the link's row.
    fn is_locked(&self, state: &State, at: usize) -> bool {
        let has = |collector: &Collector| match collector {
            Collector::Locked { repository, .. } | Collector::Decided { repository, .. } => {
                usize::from(*repository) == at
            }
            _ => false,
        };
        self.rules.locks && state.collectors.iter().any(has)
    }

    /// Whether neither the link's row nor its entry on the queue is a collector's.
    fn may_write(&self, state: &State, at: usize) -> bool {
        let has_entry = |collector: &Collector| match collector {
            Collector::Took { repository } => usize::from(*repository) == at,
            _ => false,
        };
        let is_taken = self.rules.locks && state.collectors.iter().any(has_entry);
        !is_taken && !self.is_locked(state, at)
    }

    /// Whether a collector has the digest's entry on the queue.
    pub(super) fn is_digest_taken(&self, state: &State) -> bool {
        let has_entry = |collector: &Collector| {
            matches!(collector, Collector::TookDigest | Collector::DecidedDigest { .. })
        };
        self.rules.locks && state.collectors.iter().any(has_entry)
    }
}
