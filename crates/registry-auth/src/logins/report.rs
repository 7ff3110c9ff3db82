use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::Source;

/// How often lines are written.
const INTERVAL: Duration = Duration::from_secs(60);

/// Of how many addresses a line is written each time; the others are counted in one more.
const LINES_MAX: usize = 8;

/// How many addresses are told apart until then.
const SOURCES_MAX: usize = 1000;

/// How many names a line has.
const NAMES_MAX: usize = 3;

/// How many characters of a name.
const NAME_CHARS_MAX: usize = 32;

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The password was checked and is wrong.
    Wrong,
    /// The same was found wrong a moment ago.
    Repeated,
    /// It was not looked at: too many came before it.
    Slowed,
    /// It has a NUL in it, or more bytes than bcrypt reads, so it is no user's password.
    Unreadable,
}

/// What the log says of logins that failed: once a minute a line for each address from which they came, and for few
/// addresses only. The first one is told of at once.
///
/// docs/secured-registry.md has the format of the lines: programs read them.
pub(crate) struct Report(Mutex<State>);

#[derive(Default)]
struct State {
    sources: HashMap<Source, Failures>,
    /// Failures from addresses for which there was no room.
    others: u64,
    /// Whether lines were written less than a minute ago.
    is_waiting: bool,
}

#[derive(Default)]
struct Failures {
    /// The last address. An IPv6 client may have many.
    address: Option<IpAddr>,
    wrong: u64,
    repeated: u64,
    slowed: u64,
    unreadable: u64,
    names: VecDeque<String>,
    has_more_names: bool,
}

impl Report {
    pub(crate) fn new() -> Arc<Report> {
        Arc::new(Report(Mutex::default()))
    }

    /// Must be called in a runtime.
    pub(crate) fn note(self: &Arc<Self>, address: Option<IpAddr>, user: &str, failure: Failure) {
        let lines = {
            let mut state = self.0.lock();
            state.note(address, user, failure);
            if std::mem::replace(&mut state.is_waiting, true) {
                return;
            }
            state.take()
        };
        write(&lines);
        tokio::spawn(write_later(Arc::downgrade(self)));
    }
}

/// What is left is written when the registry stops.
impl Drop for Report {
    fn drop(&mut self) {
        write(&self.0.lock().take());
    }
}

async fn write_later(report: Weak<Report>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(report) = report.upgrade() else { return };
        let lines = {
            let mut state = report.0.lock();
            let lines = state.take();
            state.is_waiting = !lines.is_empty();
            lines
        };
        if lines.is_empty() {
            return;
        }
        write(&lines);
    }
}

fn write(lines: &[String]) {
    for line in lines {
        tracing::warn!("{line}");
    }
}

impl State {
    fn note(&mut self, address: Option<IpAddr>, user: &str, failure: Failure) {
        let source = Source::of(address);
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            self.others += 1;
            return;
        }
        let failures = self.sources.entry(source).or_default();
        failures.address = address.map(|address| address.to_canonical());
        *match failure {
            Failure::Wrong => &mut failures.wrong,
            Failure::Repeated => &mut failures.repeated,
            Failure::Slowed => &mut failures.slowed,
            Failure::Unreadable => &mut failures.unreadable,
        } += 1;
        failures.name(user);
    }

    /// The lines for what was noted, which is forgotten.
    fn take(&mut self) -> Vec<String> {
        let mut all: Vec<Failures> = self.sources.drain().map(|(_, failures)| failures).collect();
        all.sort_unstable_by_key(|failures| (std::cmp::Reverse(failures.count()), failures.address));
        let rest = all.split_off(all.len().min(LINES_MAX));
        let mut lines: Vec<String> = all.iter().map(Failures::line).collect();
        let others = std::mem::take(&mut self.others) + rest.iter().map(Failures::count).sum::<u64>();
        if others > 0 {
            lines.push(format!("{others} more failed logins from other addresses"));
        }
        lines
    }
}

impl Failures {
    fn count(&self) -> u64 {
        self.wrong + self.repeated + self.slowed + self.unreadable
    }

    fn name(&mut self, user: &str) {
        let name: String = user.chars().take(NAME_CHARS_MAX).collect();
        let name = if name.len() < user.len() { format!("{name}…") } else { name };
        if self.names.contains(&name) {
            return;
        }
        if self.names.len() < NAMES_MAX {
            self.names.push_back(name);
        } else {
            self.has_more_names = true;
        }
    }

    fn line(&self) -> String {
        let mut line = match self.address {
            Some(address) => format!("failed logins from {address}:"),
            None => "failed logins from a Unix socket:".to_owned(),
        };
        let counts = [
            (self.wrong, "wrong"),
            (self.repeated, "wrong again"),
            (self.slowed, "refused without a check"),
            (self.unreadable, "with a NUL or more than 72 bytes, which bcrypt does not read"),
        ];
        let mut separator = " ";
        for (count, what) in counts {
            if count > 0 {
                let _ = write!(line, "{separator}{count} {what}");
                separator = ", ";
            }
        }
        let names: Vec<String> = self.names.iter().map(|name| format!("{name:?}")).collect();
        let more = if self.has_more_names { " and others" } else { "" };
        let _ = write!(line, "; users {}{more}", names.join(", "));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn each_address_has_a_line_with_names_cut_and_escaped() {
        let mut state = State::default();
        for failure in [Failure::Wrong, Failure::Wrong, Failure::Slowed, Failure::Unreadable] {
            state.note(address("203.0.113.9"), "ada", failure);
        }
        state.note(address("::ffff:203.0.113.9"), "a\nb\u{202e}\"", Failure::Repeated);
        for name in ["x".repeat(33), "y".repeat(32), "z".into()] {
            state.note(None, &name, Failure::Wrong);
        }
        state.note(None, "one more", Failure::Wrong);
        state.note(address("2001:db8::1"), "", Failure::Wrong);
        let (x, y) = ("x".repeat(32), "y".repeat(32));
        assert_eq!(
            state.take(),
            [
                "failed logins from 203.0.113.9: 2 wrong, 1 wrong again, 1 refused without a check, 1 with a NUL or more \
                 than 72 bytes, which bcrypt does not read; users \"ada\", \"a\\nb\\u{202e}\\\"\""
                    .to_owned(),
                format!("failed logins from a Unix socket: 4 wrong; users \"{x}…\", \"{y}\", \"z\" and others"),
                "failed logins from 2001:db8::1: 1 wrong; users \"\"".to_owned(),
            ]
        );
        assert!(state.take().is_empty(), "nothing is told twice");
    }

    #[test]
    fn a_flood_from_many_addresses_makes_few_lines() {
        let mut state = State::default();
        for number in 0..2000_u32 {
            let [_, _, a, b] = number.to_be_bytes();
            state.note(Some(IpAddr::from([203, 0, a, b])), &format!("user{number}"), Failure::Wrong);
            assert!(state.sources.len() <= SOURCES_MAX);
        }
        state.note(address("203.0.0.7"), "ada", Failure::Slowed);
        let lines = state.take();
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert!(lines[0].starts_with("failed logins from 203.0.0.7: 1 wrong, 1 refused"), "{}", lines[0]);
        let told = u32::try_from(LINES_MAX).unwrap();
        assert_eq!(lines[LINES_MAX], format!("{} more failed logins from other addresses", 2000 - told));
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_written_once_a_minute_and_the_first_at_once() {
        let report = Report::new();
        let pending = || report.0.lock().sources.len();
        report.note(address("203.0.113.9"), "ada", Failure::Wrong);
        assert_eq!(pending(), 0, "the first is told of at once");
        for _ in 0..1000 {
            report.note(address("203.0.113.9"), "ada", Failure::Wrong);
        }
        assert_eq!(pending(), 1, "the others wait");
        tokio::time::sleep(INTERVAL + Duration::from_secs(1)).await;
        assert_eq!(pending(), 0);
        assert!(report.0.lock().is_waiting);
        tokio::time::sleep(INTERVAL).await;
        assert!(!report.0.lock().is_waiting, "a minute without failures: the next is told of at once");
    }
}
