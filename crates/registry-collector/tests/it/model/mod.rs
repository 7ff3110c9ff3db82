//! The collector's protocol, in every order of its steps.
//!
//! Queue, look again, link, digest and object, what is to be deleted, bytes: with two writers and two collectors, of which
//! each may die before each step; a store to which writes and deletions come late or twice; and a clock. A transaction of
//! a collector is several steps here, between which everybody else goes on as far as its locks let them: that is more than
//! SQLite allows, and what PostgreSQL does.
//!
//! What is checked in each state are the [promises](protocol::Promise) as they are given. That the model can tell is shown
//! by its mutants: protocols in which one thing is left out. What is not in here (several contents, tags, indexes, the
//! trash, sessions that go on) is in the simulation, which drives the real code.

mod collectors;
mod explore;
mod protocol;
mod state;
mod writers;

use self::{
    explore::explore,
    protocol::{Promise, Protocol},
    state::{Rules, Scope, State},
};

/// Two of everything that makes a race, in one repository.
const RACES: Scope = Scope {
    repositories: 1,
    uploads: 2,
    writers: 2,
    collectors: 2,
    late: true,
    readers: false,
    sweep: false,
};

/// A second repository, into which is mounted.
const MOUNTS: Scope = Scope {
    repositories: 2,
    uploads: 1,
    writers: 1,
    collectors: 2,
    late: true,
    readers: false,
    sweep: false,
};

/// Readers, and a sweep that looks for what nobody knows.
const SWEEPS: Scope =
    Scope { repositories: 1, uploads: 2, writers: 1, collectors: 1, late: true, readers: true, sweep: true };

/// Something that must be seen, or the rest is worth nothing.
type Sight = (&'static str, fn(&State) -> bool);

/// Goes to every state.
fn holds(rules: Rules, scope: Scope, only: Option<Promise>, sights: &[Sight]) {
    let explored = explore(&Protocol { rules, scope, only });
    if let Some((wrong, way)) = explored.wrong {
        panic!("{wrong}:\n{way}");
    }
    for (sight, is_seen) in sights {
        assert!(explored.states.iter().any(is_seen), "{sight}: never seen in {scope:?}");
    }
    eprintln!("{} states: {scope:?}", explored.states.len());
}

/// A mutant breaks this promise, and the model can tell.
fn breaks(rules: Rules, scope: Scope, promise: Promise) {
    let explored = explore(&Protocol { rules, scope, only: Some(promise) });
    let (wrong, way) = explored.wrong.unwrap_or_else(|| panic!("{rules:?} keeps {promise:?} in {scope:?}"));
    eprintln!("{wrong}:\n{way}");
}

fn everything_is_gone(state: &State) -> bool {
    state.begun == 2 && state.digest.is_none() && !state.bytes[0] && !state.bytes[1] && state.is_at_rest()
}

fn a_late_delete_meets_a_new_push(state: &State) -> bool {
    state.late_delete[0] && state.digest == Some(1) && state.manifests[0]
}

#[test]
fn no_order_of_steps_breaks_a_promise() {
    holds(
        Rules::PROTOCOL,
        RACES,
        None,
        &[
            ("everything is gone", everything_is_gone),
            ("a delete that comes late meets what was pushed since", a_late_delete_meets_a_new_push),
        ],
    );
}

#[test]
fn nor_with_mounts() {
    let outlives: fn(&State) -> bool =
        |state| state.links[0].is_none() && state.manifests[1] && state.is_at_rest();
    holds(Rules::PROTOCOL, MOUNTS, None, &[("a mount outlives its source", outlives)]);
}

#[test]
fn nor_with_readers_and_sweeps() {
    let swept: fn(&State) -> bool = |state| state.stray[0] && state.reclaim[0].is_some();
    holds(
        Rules::PROTOCOL,
        SWEEPS,
        None,
        &[("everything is gone", everything_is_gone), ("a sweep finds what was lost", swept)],
    );
}

#[test]
fn foreign_keys_alone_keep_integrity() {
    let rules = Rules { looks_again: false, locks: false, conditions: false, ..Rules::PROTOCOL };
    for scope in [Scope { late: false, ..RACES }, Scope { late: false, ..MOUNTS }] {
        holds(rules, scope, Some(Promise::Integrity), &[]);
    }
}

#[test]
fn without_foreign_keys_a_collector_that_does_not_look_again_breaks_images() {
    let rules = Rules { looks_again: false, conditions: false, foreign_keys: false, ..Rules::PROTOCOL };
    breaks(rules, RACES, Promise::Integrity);
    breaks(Rules { looks_again: true, locks: false, ..rules }, RACES, Promise::Integrity);
}

#[test]
fn the_queue_is_no_protection() {
    let rules = Rules { looks_again: false, conditions: false, ..Rules::PROTOCOL };
    breaks(rules, RACES, Promise::NoSurprise);
}

#[test]
fn a_look_without_a_lock_is_not_enough() {
    let rules = Rules { locks: false, conditions: false, ..Rules::PROTOCOL };
    breaks(rules, RACES, Promise::NoSurprise);
}

#[test]
fn whoever_says_that_something_is_there_must_see_to_it() {
    breaks(Rules { head_renews: false, ..Rules::PROTOCOL }, RACES, Promise::NoSurprise);
    breaks(Rules { answers_after_the_write: false, ..Rules::PROTOCOL }, RACES, Promise::NoSurprise);
    breaks(Rules { last_reference_grants: false, ..Rules::PROTOCOL }, RACES, Promise::NoSurprise);
    breaks(Rules { mount_renews: false, ..Rules::PROTOCOL }, MOUNTS, Promise::NoSurprise);
}

#[test]
fn keys_that_come_back_lose_bytes() {
    let rules = Rules { keys_are_new: false, ..Rules::PROTOCOL };
    breaks(rules, RACES, Promise::Integrity);
    breaks(rules, RACES, Promise::Bytes);
}

#[test]
fn an_entry_that_is_dequeued_before_it_is_dealt_with_leaks() {
    breaks(Rules { dequeues_at_the_end: false, ..Rules::PROTOCOL }, RACES, Promise::NoLeak);
}

#[test]
fn a_lease_that_nobody_sets_down_leaks() {
    breaks(Rules { sets_down: false, ..Rules::PROTOCOL }, RACES, Promise::NoLeak);
}

#[test]
fn bytes_that_are_forgotten_before_they_are_deleted_leak() {
    breaks(Rules { remembers_what_to_delete: false, ..Rules::PROTOCOL }, RACES, Promise::NoLeak);
}

#[test]
fn bytes_must_not_go_before_their_row_or_under_a_reader() {
    breaks(Rules { rows_go_first: false, ..Rules::PROTOCOL }, RACES, Promise::Integrity);
    breaks(Rules { waits_for_readers: false, ..Rules::PROTOCOL }, SWEEPS, Promise::Bytes);
}

#[test]
fn bytes_without_a_row_are_taken_for_garbage() {
    breaks(Rules { row_before_bytes: false, ..Rules::PROTOCOL }, SWEEPS, Promise::Bytes);
}
