//! Copying the write-ahead log into the database without keeping the writer waiting.
//!
//! A thread of its own copies while the writer goes on. That alone never ends when there is always something to write:
//! the log can only begin anew once all of it is copied, and there is always a little more. So when the log has grown
//! long and the thread has just copied most of it, the writer copies the last little itself, between two commits.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, MAIN_DB, wal::CheckpointMode};

/// How many more pages of 4 KiB the log has each time that the thread is asked to copy it. Pages that are written
/// again and again in between are copied once.
const COPY_EVERY_PAGES: i32 = 4_000;

/// How long the log is when the writer copies the rest: 64 MiB.
const LOG_PAGES_LONG: i32 = 16_000;

/// How much that rest is at most.
const REST_PAGES_MAX: i32 = 1_000;

/// How long the log is when the writer copies whatever is left: the disk does not keep up, or a reader of another
/// process stands in the way.
const LOG_PAGES_MAX: i32 = 4 * LOG_PAGES_LONG;

/// The writer's view of the log.
pub(crate) struct Log {
    /// How many pages the log has, as of the last commit.
    pages: Arc<AtomicI32>,
    /// How many of them the thread has copied.
    copied_pages: Arc<AtomicI32>,
    /// How many it had when the thread was asked last.
    asked_at_pages: i32,
    /// None only while this is being dropped.
    thread: Option<JoinHandle<()>>,
    ask: Option<SyncSender<()>>,
}

impl Log {
    /// Takes over from SQLite, which would copy within commits. `copier` is a connection for the thread.
    pub(crate) fn watch(writer: &mut Connection, copier: Connection) -> rusqlite::Result<io::Result<Log>> {
        let (pages, copied_pages) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicI32::new(0)));
        let (seen, copied) = (pages.clone(), copied_pages.clone());
        writer.wal_hook(Some(move |_: &mut _, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        // One request may wait while another is worked on; more would ask for the same.
        let (ask, asked) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("database-log".to_owned())
            .spawn(move || copy_whenever_asked(&copier, &asked, &copied));
        let log =
            |thread| Log { pages, copied_pages, asked_at_pages: 0, thread: Some(thread), ask: Some(ask) };
        Ok(thread.map(log))
    }

    /// Has the log copied if it is time. To be called after each commit.
    pub(crate) fn tend(&mut self, writer: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked_at_pages {
            // It began anew.
            self.asked_at_pages = 0;
            self.copied_pages.store(0, Ordering::Relaxed);
        }
        let rest = pages - self.copied_pages.load(Ordering::Relaxed);
        if pages >= LOG_PAGES_MAX || (pages >= LOG_PAGES_LONG && rest <= REST_PAGES_MAX) {
            copy(writer);
        } else if pages - self.asked_at_pages >= COPY_EVERY_PAGES {
            self.asked_at_pages = pages;
            let ask = self.ask.as_ref().expect("the channel is there until this is dropped");
            // If a request is waiting already, that one will do.
            let _ = ask.try_send(());
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.ask.take());
        if let Some(thread) = self.thread.take() {
            // The panic that ended the thread has been reported already.
            let _ = thread.join();
        }
    }
}

fn copy_whenever_asked(connection: &Connection, asked: &Receiver<()>, copied_pages: &AtomicI32) {
    while asked.recv().is_ok() {
        copied_pages.store(copy(connection), Ordering::Relaxed);
    }
}

/// Copies what no reader needs from the log, waiting for nobody, and says how many pages are copied now. What can not be
/// copied now is copied another time: if the disk is full or failing, the writer is told at its next commit.
fn copy(connection: &Connection) -> i32 {
    match connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE) {
        Ok((_, copied_pages)) => copied_pages,
        Err(error) => {
            tracing::debug!(%error, "the log was not copied: {error}");
            0
        }
    }
}
