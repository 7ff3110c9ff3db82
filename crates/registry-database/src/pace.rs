use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Writing rests for so many times as long as it took.
const REST: u32 = 2;

/// How often work in the background writes, so that it leaves the database to clients: after a write none begins for twice as long as
/// it took. All that wants to write meanwhile begins at the same moment, and shares a commit or what it gathered. A database that is
/// busy takes longer, and so is written to less often. What comes first after a rest does not wait.
#[derive(Debug)]
pub struct Pace {
    shortest: Duration,
    longest: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// Rests are at least and at most so long.
    ///
    /// # Panics
    /// If the shortest is longer than the longest.
    pub fn new(shortest: Duration, longest: Duration) -> Pace {
        assert!(shortest <= longest, "the shortest rest is the shorter one");
        Pace { shortest, longest, next: Mutex::new(Instant::now()) }
    }

    /// Waits for the end of the rest, and writes.
    ///
    /// **Cancellation**: what is dropped while it waits has not begun.
    pub async fn write<T>(&self, writing: impl Future<Output = T>) -> T {
        self.wait().await;
        let began = Instant::now();
        let written = writing.await;
        self.rest(began.elapsed());
        written
    }

    /// Waits for the end of the rest, and of another one that began meanwhile: all that wait begin together.
    pub async fn wait(&self) {
        loop {
            let next = *self.next.lock();
            if next <= Instant::now() {
                return;
            }
            sleep_until(next).await;
        }
    }

    /// Nothing is written for a while, since it took so long.
    fn rest(&self, took: Duration) {
        let rest = took.saturating_mul(REST).clamp(self.shortest, self.longest);
        let mut next = self.next.lock();
        *next = (*next).max(Instant::now() + rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writing_rests_for_longer_than_it_works_and_all_begin_together() {
        let pace = Pace::new(Duration::from_millis(2), Duration::from_millis(50));
        let began = Instant::now();
        let write = async |took_ms: u64| {
            pace.write(async {
                let at_ms = began.elapsed().as_millis();
                tokio::time::sleep(Duration::from_millis(took_ms)).await;
                at_ms
            })
            .await
        };
        assert_eq!(write(0).await, 0, "what comes first does not wait");
        assert_eq!(tokio::join!(write(10), write(8), write(1)), (2, 2, 2), "after the shortest rest");
        assert_eq!(write(1000).await, 32, "after twice what the longest took");
        assert_eq!(write(0).await, 1082, "after the longest rest");
        let late = async {
            tokio::time::sleep(Duration::from_millis(13)).await;
            write(0).await
        };
        // It comes when the rest after the first one has begun, and the other one still writes.
        assert_eq!(tokio::join!(write(10), write(20), late), (1084, 1084, 1144), "after the last rest");
    }
}
