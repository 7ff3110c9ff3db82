//! What a node refused since a limit was reached: counted for metrics, and said in the log at most once a minute.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

/// How often the log says that something was refused, for each reason.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The node's memory.
    Memory,
    /// The share of memory of one connection.
    ConnectionMemory,
    /// The share of memory of one address, or of a network.
    AddressMemory,
    /// The node's open files.
    Files,
    /// The share of open files of one connection.
    ConnectionFiles,
    /// The share of open files of one address, or of a network.
    AddressFiles,
    /// The share of connections of one address, or of a network.
    AddressConnections,
    /// The process has no file descriptor for a connection.
    Descriptors,
    /// The turns in which large manifests are parsed.
    Parsing,
    /// The requests that an address may send.
    AddressRate,
    /// The requests that a user may send.
    UserRate,
}

impl Refusal {
    const ALL: [Refusal; 11] = [
        Refusal::Memory,
        Refusal::ConnectionMemory,
        Refusal::AddressMemory,
        Refusal::Files,
        Refusal::ConnectionFiles,
        Refusal::AddressFiles,
        Refusal::AddressConnections,
        Refusal::Descriptors,
        Refusal::Parsing,
        Refusal::AddressRate,
        Refusal::UserRate,
    ];

    /// The value of the label `reason`.
    fn label(self) -> &'static str {
        match self {
            Refusal::Memory => "memory",
            Refusal::ConnectionMemory => "connection_memory",
            Refusal::AddressMemory => "address_memory",
            Refusal::Files => "files",
            Refusal::ConnectionFiles => "connection_files",
            Refusal::AddressFiles => "address_files",
            Refusal::AddressConnections => "address_connections",
            Refusal::Descriptors => "descriptors",
            Refusal::Parsing => "parsing",
            Refusal::AddressRate => "address_rate",
            Refusal::UserRate => "user_rate",
        }
    }

    /// What was refused, why, and what changes it.
    fn explanation(self) -> &'static str {
        match self {
            Refusal::Memory => {
                "requests: answers and manifests hold all the memory that they share (`http.limits.memory`)"
            }
            Refusal::ConnectionMemory => {
                "requests of connections that hold their share of the memory for answers (`http.limits.memory`)"
            }
            Refusal::AddressMemory => {
                "requests of addresses and networks that hold their share of the memory for answers (`http.limits.memory`, \
                 `http.trustedproxies`)"
            }
            Refusal::Files => {
                "requests: answers and uploads hold all the files that they may open (the limit of open files, \
                 RLIMIT_NOFILE)"
            }
            Refusal::ConnectionFiles => {
                "requests of connections that hold their share of the open files (the limit of open files, \
                 RLIMIT_NOFILE)"
            }
            Refusal::AddressFiles => {
                "requests of addresses and networks that hold their share of the open files (the limit of open files, \
                 RLIMIT_NOFILE; `http.trustedproxies`)"
            }
            Refusal::AddressConnections => {
                "connections of addresses and networks that hold as many as one may (`http.limits.peraddress`, \
                 `http.trustedproxies`)"
            }
            Refusal::Descriptors => {
                "connections: the process has no file descriptor left (the limit of open files, RLIMIT_NOFILE)"
            }
            Refusal::AddressRate => {
                "requests of addresses that sent as many as one may (`http.ratelimits.address`, `http.trustedproxies`)"
            }
            Refusal::UserRate => "requests of users that sent as many as one may (`http.ratelimits.user`)",
            Refusal::Parsing => "requests whose large documents waited 10 seconds for others to be parsed",
        }
    }
}

/// The refusals of a node.
#[derive(Clone, Default)]
pub(crate) struct Refusals(Arc<[Count; Refusal::ALL.len()]>);

#[derive(Default)]
struct Count {
    total: AtomicU64,
    unreported: AtomicU64,
    /// Whether a line was written less than [`REPORT_EVERY`] ago.
    is_reported: AtomicBool,
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.totals()).finish()
    }
}

impl Refusals {
    /// Counts a refusal. The first one is said in the log at once, those of the next minute together at its end.
    pub(crate) fn note(&self, refusal: Refusal) {
        let count = self.count(refusal);
        count.total.fetch_add(1, Ordering::Relaxed);
        count.unreported.fetch_add(1, Ordering::SeqCst);
        if !count.is_reported.swap(true, Ordering::SeqCst) {
            self.report(refusal);
            self.report_later(refusal);
        }
    }

    /// How many there were, with the label of each reason.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let total = |refusal| (Refusal::label(refusal), self.count(refusal).total.load(Ordering::Relaxed));
        Refusal::ALL.into_iter().map(total)
    }

    fn count(&self, refusal: Refusal) -> &Count {
        &self.0[refusal as usize]
    }

    /// Writes a line if there is something new; whether there was.
    fn report(&self, refusal: Refusal) -> bool {
        let refused = self.count(refusal).unreported.swap(0, Ordering::SeqCst);
        if refused > 0 {
            tracing::warn!(refused, reason = refusal.label(), "refused {refused} {}", refusal.explanation());
        }
        refused > 0
    }

    /// Ends the reports, unless something was noted before that was seen.
    fn is_quiet(&self, refusal: Refusal) -> bool {
        let count = self.count(refusal);
        count.is_reported.store(false, Ordering::SeqCst);
        count.unreported.load(Ordering::SeqCst) == 0 || count.is_reported.swap(true, Ordering::SeqCst)
    }

    /// Reports until a minute brings nothing new.
    fn report_later(&self, refusal: Refusal) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            self.count(refusal).is_reported.store(false, Ordering::Relaxed);
            return;
        };
        let refusals = self.clone();
        runtime.spawn(async move {
            loop {
                sleep(REPORT_EVERY).await;
                if !refusals.report(refusal) && refusals.is_quiet(refusal) {
                    break;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreported(refusals: &Refusals) -> u64 {
        refusals.count(Refusal::Files).unreported.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_a_line_a_minute() {
        let refusals = Refusals::default();
        refusals.note(Refusal::Files);
        assert_eq!(unreported(&refusals), 0, "the first one is said at once");
        for _ in 0..100 {
            refusals.note(Refusal::Files);
        }
        assert_eq!(unreported(&refusals), 100);
        sleep(REPORT_EVERY + Duration::from_secs(1)).await;
        assert_eq!(unreported(&refusals), 0, "the others at the end of the minute");
        refusals.note(Refusal::Files);
        assert_eq!(unreported(&refusals), 1);
        sleep(3 * REPORT_EVERY).await;
        refusals.note(Refusal::Files);
        assert_eq!(unreported(&refusals), 0, "after a quiet minute one is said at once again");
        let totals: Vec<_> = refusals.totals().filter(|(_, total)| *total > 0).collect();
        assert_eq!(totals, [("files", 103)]);
    }

    #[test]
    fn every_reason_has_its_place() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
        }
    }
}
