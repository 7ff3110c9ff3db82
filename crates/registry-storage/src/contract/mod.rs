//! What every [`BlobStore`] promises, as a suite that runs over any of them.
//!
//! ```
//! use std::sync::Arc;
//! use registry_storage::{MemoryStore, contract};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! contract::all(async || Arc::new(MemoryStore::new()) as _).await;
//! # }
//! ```
//!
//! A broken promise panics, with the seed of what was random in it. What a power cut or the end of a process leaves is
//! for the tests of each store, as is what happens when its disk is full.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests, with a panic for an answer"
)]

mod identity;
mod listing;
mod reading;
mod removing;
mod resuming;
mod small;
mod support;
mod uploading;

use std::sync::Arc;

use crate::{BlobStore, SmallObjects};

/// Runs the whole suite, each part of it on a new and empty store.
pub async fn all(make: impl AsyncFn() -> Arc<dyn BlobStore>) {
    macro_rules! run {
        ($($check:path),+ $(,)?) => { $( $check(make().await).await; )+ };
    }
    run!(
        identity::is_decided_once,
        identity::one_of_many_attempts_wins,
        identity::the_last_mark_is_kept,
        uploading::finished_objects_read_back,
        uploading::any_chunking_gives_the_same_object,
        uploading::a_mismatch_leaves_nothing,
        uploading::the_closing_digest_may_be_of_another_algorithm,
        uploading::only_keys_of_uploads_are_taken,
        uploading::many_at_once_do_not_disturb_each_other,
        uploading::a_dropped_append_appended_nothing,
        uploading::a_dropped_checkpoint_may_be_repeated,
        resuming::goes_on_at_any_offset,
        resuming::what_came_after_the_checkpoint_does_not_count,
        resuming::an_older_state_cuts_off_what_is_newer,
        resuming::an_upload_begun_again_starts_empty,
        resuming::lost_bytes_are_noticed,
        resuming::a_checkpoint_of_nothing_goes_on_too,
        resuming::the_later_of_two_writers_wins,
        resuming::a_dropped_finish_leaves_the_upload_usable,
        reading::ranges_are_exact,
        reading::an_opened_object_outlives_its_removal,
        removing::may_be_repeated,
        removing::an_abandoned_upload_can_not_be_finished,
        listing::is_ordered_and_complete,
        listing::shows_uploads_that_are_not_finished,
        listing::an_empty_store_has_nothing,
    );
}

/// Runs the suite of [`SmallObjects`], each part of it on a new and empty store.
pub async fn small_objects(make: impl AsyncFn() -> Arc<dyn SmallObjects>) {
    small::are_created_once(make().await).await;
    small::one_of_many_attempts_creates(make().await).await;
    small::are_read_whole(make().await).await;
    small::are_listed_in_order(make().await).await;
    small::are_removed(make().await).await;
    small::have_names_of_their_own(make().await).await;
}
