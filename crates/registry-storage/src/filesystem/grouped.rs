use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Lets callers that arrive while an operation runs share the next run of it.
///
/// For operations like `fsync`, of which one that begins after a caller's write serves that caller as well as its own
/// would. Each caller gets the result of the run that served it. Blocks the thread.
#[derive(Debug)]
pub(super) struct GroupedSync<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<R> {
    is_running: bool,
    /// The run that has not begun: whoever arrives now is served by it.
    next: Arc<Mutex<Option<R>>>,
}

impl<R> Default for GroupedSync<R> {
    fn default() -> Self {
        let state = State { is_running: false, next: Arc::default() };
        GroupedSync { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<R: Copy> GroupedSync<R> {
    /// Returns the result of a run of `operation` that began after this call did.
    pub(super) fn run(&self, operation: impl FnOnce() -> R) -> R {
        let mut state = self.state.lock();
        let ours = state.next.clone();
        loop {
            if let Some(result) = *ours.lock() {
                return result;
            }
            if !state.is_running {
                break;
            }
            self.changed.wait(&mut state);
        }
        state.is_running = true;
        state.next = Arc::default();
        drop(state);
        let running = Running { group: self };
        let result = operation();
        *ours.lock() = Some(result);
        drop(running);
        result
    }
}

/// Lets the next run begin, also if the operation panics: those it should have served then run their own.
struct Running<'g, R> {
    group: &'g GroupedSync<R>,
}

impl<R> Drop for Running<'_, R> {
    fn drop(&mut self) {
        self.group.state.lock().is_running = false;
        self.group.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicU32, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn callers_during_a_run_share_the_next() {
        const CALLERS: usize = 16;
        let (group, runs, release) = (GroupedSync::default(), AtomicU32::new(0), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                group.run(|| {
                    release.wait();
                    release.wait();
                    runs.fetch_add(1, Ordering::SeqCst)
                })
            });
            release.wait();
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| scope.spawn(|| group.run(|| runs.fetch_add(1, Ordering::SeqCst))))
                .collect();
            // All wait for the run after the one that is held up: their references to it say so.
            while Arc::strong_count(&group.state.lock().next) < CALLERS + 1 {
                thread::yield_now();
            }
            release.wait();
            for caller in callers {
                assert_eq!(caller.join().unwrap(), 1);
            }
        });
        assert_eq!(runs.into_inner(), 2);
    }

    #[test]
    fn each_gets_the_result_of_its_own_run() {
        let group = GroupedSync::default();
        assert_eq!(group.run(|| Err::<(), u8>(5)), Err(5));
        assert_eq!(group.run(|| Ok(())), Ok(()));
    }

    #[test]
    fn a_run_never_began_before_its_caller() {
        let (group, clock) = (GroupedSync::default(), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let before = clock.fetch_add(1, Ordering::SeqCst);
                        let began = group.run(|| clock.fetch_add(1, Ordering::SeqCst));
                        assert!(began > before);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_does_not_block_others() {
        let group = GroupedSync::default();
        thread::scope(|scope| assert!(scope.spawn(|| group.run(|| panic!("on purpose"))).join().is_err()));
        assert_eq!(group.run(|| 1), 1);
    }
}
