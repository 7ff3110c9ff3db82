use std::{sync::Mutex, time::Duration};

use tokio::time::{Instant, sleep_until};

/// So much a second, and no more: what comes early waits. Nothing is saved up for later but a tenth of a second's worth.
#[derive(Debug)]
pub struct Pace {
    /// What one costs; none if there is no limit.
    each: Option<Duration>,
    /// When the next one may begin.
    next: Mutex<Instant>,
}

/// How far behind the clock a pace may lag, to be caught up with.
const CATCH_UP: Duration = Duration::from_millis(100);

impl Pace {
    /// At most so many a second; zero is without a limit.
    pub fn per_second(count: u32) -> Pace {
        let each = (count > 0).then(|| Duration::from_secs(1) / count);
        Pace { each, next: Mutex::new(Instant::now()) }
    }

    /// Waits until `count` more may be done. If the future is dropped, they count as done.
    pub async fn wait(&self, count: usize) {
        let Some(each) = self.each else { return };
        let begin = {
            let mut next = self.next.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let begin = (*next).max(Instant::now() - CATCH_UP.min(each * 100));
            *next = begin + each * u32::try_from(count).unwrap_or(u32::MAX);
            begin
        };
        sleep_until(begin).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pace_is_kept() {
        let (pace, begun) = (Pace::per_second(100), Instant::now());
        for _ in 0..50 {
            pace.wait(4).await;
        }
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(1800) && took < Duration::from_millis(2100), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let (pace, begun) = (Pace::per_second(0), Instant::now());
        pace.wait(1_000_000).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
