//! What may happen, one transaction or one request to the store at a time.

use super::{
    explore::Model,
    state::{Collector, KEYS, REPOSITORIES, Rules, Scope, State, Writer},
};

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    Integrity,
    NoSurprise,
    /// A row leads to bytes, and those who read there can read on.
    Bytes,
    NoLeak,
}

/// The protocol, or a mutant of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Protocol {
    pub(super) rules: Rules,
    pub(super) scope: Scope,
    /// Look for this only; for everything if there is none.
    pub(super) only: Option<Promise>,
}

/// How a request to the store goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Done,
    /// Done, and once more later: somebody on the way repeated it.
    AndAgain,
    /// Answered as failed, and done later all the same.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Tick,
    /// A writer begins an upload, its row first.
    Begin {
        repository: u8,
    },
    Write(Writer, Arrival),
    /// A writer asks where the digest's bytes lie already.
    AskForTwin(Writer),
    Compare(Writer),
    Finish(Writer),
    Head {
        repository: u8,
    },
    Renew(Writer),
    Mount {
        from: u8,
        to: u8,
    },
    PutManifest {
        repository: u8,
    },
    DeleteManifest {
        repository: u8,
    },
    DeleteBlob {
        repository: u8,
    },
    /// Nobody goes on with an upload, or so it seems.
    Expire {
        key: u8,
    },
    WriterDies(Writer),
    Read,
    /// The queue protects nothing: an entry may be there for any reason, at any time.
    SetDown {
        repository: u8,
    },
    Take {
        repository: u8,
    },
    Lock(Collector),
    Look(Collector),
    Commit(Collector),
    TakeDigest,
    LookAtDigest,
    CommitDigest(Collector),
    TakeBytes {
        key: u8,
    },
    Delete(Collector, Arrival),
    Forget(Collector),
    CollectorDies(Collector),
    WriteArrives {
        key: u8,
    },
    DeleteArrives {
        key: u8,
    },
    /// A sweep finds bytes in a list of the store.
    List {
        key: u8,
    },
    /// And looks whether a row leads there.
    Sweep,
}

impl Protocol {
    pub(super) fn looks_for(&self, promise: Promise) -> bool {
        self.only.is_none_or(|only| only == promise)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        State::default()
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = vec![Action::Tick, Action::TakeDigest, Action::LookAtDigest];
        for repository in 0..self.scope.repositories {
            actions.extend([
                Action::Begin { repository },
                Action::Head { repository },
                Action::PutManifest { repository },
                Action::DeleteManifest { repository },
                Action::DeleteBlob { repository },
                Action::SetDown { repository },
                Action::Take { repository },
            ]);
            let others = (0..self.scope.repositories).filter(|from| *from != repository);
            actions.extend(others.map(|from| Action::Mount { from, to: repository }));
        }
        for key in 0..self.scope.uploads {
            actions.extend([Action::Expire { key }, Action::TakeBytes { key }]);
            actions.extend([Action::WriteArrives { key }, Action::DeleteArrives { key }]);
            if self.scope.sweep {
                actions.push(Action::List { key });
            }
        }
        if self.scope.readers {
            actions.push(Action::Read);
        }
        if self.scope.sweep {
            actions.push(Action::Sweep);
        }
        actions
    }

    /// Besides those: what somebody does who is in the middle of something.
    fn more_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let arrivals: &[Arrival] = match self.scope.late {
            true => &[Arrival::Done, Arrival::AndAgain, Arrival::Late],
            false => &[Arrival::Done],
        };
        for writer in state.writers {
            let next = match writer {
                Writer::Idle => continue,
                Writer::Begun { .. } => {
                    actions.extend(arrivals.iter().map(|arrival| Action::Write(writer, *arrival)));
                    Action::WriterDies(writer)
                }
                Writer::Written { .. } => Action::AskForTwin(writer),
                Writer::Compares { .. } => Action::Compare(writer),
                Writer::Finishes { .. } => Action::Finish(writer),
                Writer::Renews { .. } => Action::Renew(writer),
            };
            actions.extend([next, Action::WriterDies(writer)]);
        }
        for collector in state.collectors {
            let next = match collector {
                Collector::Idle | Collector::TookDigest => continue,
                Collector::Took { .. } => Action::Lock(collector),
                Collector::Locked { .. } => Action::Look(collector),
                Collector::Decided { .. } => Action::Commit(collector),
                Collector::DecidedDigest { .. } => Action::CommitDigest(collector),
                Collector::Deletes { .. } => {
                    actions.extend(arrivals.iter().map(|arrival| Action::Delete(collector, *arrival)));
                    Action::CollectorDies(collector)
                }
                Collector::Deleted { .. } => Action::Forget(collector),
            };
            actions.extend([next, Action::CollectorDies(collector)]);
        }
        if state.collectors.contains(&Collector::TookDigest) {
            actions.push(Action::CollectorDies(Collector::TookDigest));
        }
    }

    fn next(&self, state: &State, action: Action) -> Option<State> {
        let next = match action {
            Action::Tick => {
                let mut next = *state;
                next.tick();
                next
            }
            Action::Begin { repository } => self.begin(state, repository)?,
            Action::Write(writer, arrival) => self.write(state, writer, arrival)?,
            Action::AskForTwin(writer) => self.ask_for_twin(state, writer)?,
            Action::Compare(writer) => self.compare(state, writer)?,
            Action::Finish(writer) => self.finish(state, writer)?,
            Action::Head { repository } => self.head(state, repository.into())?,
            Action::Renew(writer) => self.renew(state, writer)?,
            Action::Mount { from, to } => self.mount(state, from.into(), to.into())?,
            Action::PutManifest { repository } => self.put_manifest(state, repository.into())?,
            Action::DeleteManifest { repository } => self.delete_manifest(state, repository.into())?,
            Action::DeleteBlob { repository } => self.delete_blob(state, repository.into())?,
            Action::Expire { key } => self.expire(state, key.into())?,
            Action::WriterDies(writer) => replace_writer(state, writer, Writer::Idle)?,
            Action::Read => self.read(state)?,
            Action::SetDown { repository } => self.set_down_for_any_reason(state, repository.into())?,
            Action::Take { repository } => self.take(state, repository)?,
            Action::Lock(collector) => self.lock(state, collector)?,
            Action::Look(collector) => self.examine(state, collector)?,
            Action::Commit(collector) => self.commit(state, collector)?,
            Action::TakeDigest => self.take_digest(state)?,
            Action::LookAtDigest => self.look_at_digest(state)?,
            Action::CommitDigest(collector) => self.commit_digest(state, collector)?,
            Action::TakeBytes { key } => self.take_bytes(state, key)?,
            Action::Delete(collector, arrival) => self.delete(state, collector, arrival)?,
            Action::Forget(collector) => self.forget(state, collector)?,
            Action::CollectorDies(collector) => replace_collector(state, collector, Collector::Idle)?,
            Action::WriteArrives { key } => arrive(state, key.into(), true)?,
            Action::DeleteArrives { key } => arrive(state, key.into(), false)?,
            Action::List { key } => self.list(state, key)?,
            Action::Sweep => self.sweep(state)?,
        };
        Some(next.sorted())
    }

    /// The promises as they are given.
    fn wrong(&self, state: &State) -> Option<&'static str> {
        for repository in 0..REPOSITORIES {
            let is_whole = state.links[repository].is_some()
                && state.digest.is_some_and(|key| state.bytes[usize::from(key)]);
            if self.looks_for(Promise::Integrity) && state.manifests[repository] && !is_whole {
                return Some("a manifest refers to what is not there");
            }
            if self.looks_for(Promise::NoSurprise) && state.promised[repository] > 0 && !is_whole {
                return Some("what was promised is gone");
            }
        }
        for key in 0..KEYS {
            let is_live = state.digest == Some(key as u8);
            if self.looks_for(Promise::Bytes) && is_live && !state.bytes[key] {
                return Some("a row leads to bytes that are not there");
            }
            if self.looks_for(Promise::Bytes) && is_live && state.reclaim[key].is_some() {
                return Some("bytes that are in use are to be deleted");
            }
            if self.looks_for(Promise::Bytes) && state.reading[key] > 0 && !state.bytes[key] {
                return Some("bytes went while they were read");
            }
            let is_left = state.bytes[key] && !is_live && !state.stray[key];
            if self.looks_for(Promise::NoLeak) && state.is_at_rest() && is_left {
                return Some("bytes are left that nobody will delete");
            }
        }
        let is_unused = |repository: usize| state.links[repository].is_some() && !state.manifests[repository];
        let has_garbage = (0..REPOSITORIES).any(is_unused) || (state.digest.is_some() && !state.is_linked());
        if self.looks_for(Promise::NoLeak) && state.is_at_rest() && has_garbage {
            return Some("rows are left that nobody will look at");
        }
        None
    }
}

pub(super) fn replace_writer(state: &State, from: Writer, to: Writer) -> Option<State> {
    let mut next = *state;
    *next.writers.iter_mut().find(|writer| **writer == from)? = to;
    Some(next)
}

pub(super) fn replace_collector(state: &State, from: Collector, to: Collector) -> Option<State> {
    let mut next = *state;
    *next.collectors.iter_mut().find(|collector| **collector == from)? = to;
    Some(next)
}

/// What was asked of the store some time ago reaches it.
fn arrive(state: &State, key: usize, is_write: bool) -> Option<State> {
    let mut next = *state;
    let late = if is_write { &mut next.late_write } else { &mut next.late_delete };
    if !std::mem::take(&mut late[key]) {
        return None;
    }
    if is_write {
        next.write(key);
    } else {
        next.delete(key);
    }
    Some(next)
}
