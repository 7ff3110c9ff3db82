//! What the log says of tokens that are refused: enough to find out why, and not more than a line a second.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::Refusal;

/// How often a line is written, at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// How much of a reason is written: some repeat what the client sent.
const REASON_CHARS_MAX: usize = 200;

/// When a line was written last, and how many refusals had none since.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<(Option<Instant>, u64)>);

impl Refusals {
    pub(super) fn note(&self, refusal: &Refusal) {
        if let Some(line) = self.line(refusal, Instant::now()) {
            tracing::info!("{line}");
        }
    }

    fn line(&self, refusal: &Refusal, now: Instant) -> Option<String> {
        let mut state = self.0.lock();
        let (last, untold) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            *untold += 1;
            return None;
        }
        *last = Some(now);
        let more = match std::mem::take(untold) {
            0 => String::new(),
            untold => format!(" ({untold} others were refused before it)"),
        };
        let reason: String = refusal.to_string().chars().take(REASON_CHARS_MAX).collect();
        Some(format!("a token was refused: {}{more}", reason.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_makes_few_lines_and_none_is_long_or_broken() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let refusal = Refusal::Chain(format!("a\nb{}", "x".repeat(1000)));
        let line = refusals.line(&refusal, start).unwrap();
        assert!(
            line.starts_with("a token was refused: its chain of certificates leads to no trusted one: a\\nb")
        );
        assert!(line.len() < 300, "{line}");
        for _ in 0..1000 {
            assert_eq!(refusals.line(&refusal, start), None);
        }
        let line = refusals.line(&Refusal::NoKey, start + INTERVAL).unwrap();
        assert_eq!(line, "a token was refused: it names no key (1000 others were refused before it)");
    }
}
