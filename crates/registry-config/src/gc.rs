use std::time::Duration;

use crate::field::Field;

/// How long what may be garbage is kept, and who takes it away when. Key `gc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gc {
    /// Whether the serving process collects garbage; otherwise `registry-gc` is to be run. On by default.
    pub enabled: bool,
    /// How often the serving process looks; one minute by default.
    pub interval: Duration,
    /// How long a client that was told of a blob or manifest has to push something that uses it; 24 hours by default.
    pub lease: Duration,
    /// How long the bytes of an object outlive its row: as long as a running read may last. One hour by default.
    pub grace: Duration,
    /// How long deleted tags and manifests can be restored; 7 days by default, zero for not at all.
    pub undelete_window: Duration,
    /// Whether manifests go that lost their last tag, or never had one, and that nothing else refers to. Off by default:
    /// key `gc.untagged` is `keep` or `delete`.
    pub untagged_deleted: bool,
    /// How fast it works.
    pub rate: GcRate,
    /// When the store is looked through for bytes that nobody knows.
    pub sweep: GcSweep,
}

/// When the store is looked through for bytes that nobody knows, and what is done with them. Key `gc.sweep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcSweep {
    /// How often; zero is never. 24 hours by default.
    pub interval: Duration,
    /// For how long, from one sweep to another, bytes must have been unknown to count as garbage. 24 hours by default.
    pub age: Duration,
    /// Whether garbage is deleted; otherwise it is reported. Off by default.
    pub delete: bool,
}

/// How fast garbage is collected. Key `gc.rate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcRate {
    /// How many candidates a second are looked at; zero is without a limit. 1000 by default.
    pub candidates: u32,
    /// How many objects a second are deleted; zero is without a limit. 200 by default.
    pub deletes: u32,
}

impl Gc {
    pub(crate) fn read(gc: &Field<'_>) -> Gc {
        const HOUR: Duration = Duration::from_secs(3600);
        // Tests hurry leases; nobody else has a reason to go below minutes.
        const LEAST: Duration = Duration::from_millis(1);
        Gc {
            enabled: gc.get("enabled").flag(true),
            interval: gc.get("interval").duration(Duration::from_secs(60), LEAST),
            lease: gc.get("lease").duration(24 * HOUR, LEAST),
            grace: gc.get("grace").duration(HOUR, Duration::ZERO),
            undelete_window: gc.get("undelete_window").duration(7 * 24 * HOUR, Duration::ZERO),
            untagged_deleted: gc
                .get("untagged")
                .choice(&[("keep", false), ("delete", true)])
                .unwrap_or(false),
            rate: GcRate::read(&gc.get("rate")),
            sweep: GcSweep::read(&gc.get("sweep")),
        }
    }
}

impl GcRate {
    fn read(rate: &Field<'_>) -> GcRate {
        let per_second = |key: &str, default: u64| {
            u32::try_from(rate.get(key).integer(default, 0..=1_000_000)).unwrap_or(u32::MAX)
        };
        GcRate { candidates: per_second("candidates", 1000), deletes: per_second("deletes", 200) }
    }
}

impl GcSweep {
    fn read(sweep: &Field<'_>) -> GcSweep {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        GcSweep {
            interval: sweep.get("interval").duration(DAY, Duration::ZERO),
            age: sweep.get("age").duration(DAY, Duration::ZERO),
            delete: sweep.get("delete").flag(false),
        }
    }
}
