//! What there is at one moment: rows, bytes, what is on its way, and what everybody is about to do.

pub(super) const REPOSITORIES: usize = 2;
pub(super) const KEYS: usize = 2;

/// Times are what is left of them, in ticks of the clock: so there are few, and the model is finite.
pub(super) const LEASE: u8 = 1;
pub(super) const GRANT: u8 = 2;
pub(super) const GRACE: u8 = 1;
pub(super) const SWEEP_AGE: u8 = 1;

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) repositories: u8,
    /// How many uploads there may be, each with a key of its own.
    pub(super) uploads: u8,
    pub(super) writers: u8,
    pub(super) collectors: u8,
    /// Whether what is asked of the store may come late, or twice.
    pub(super) late: bool,
    /// Whether bytes are read while they go.
    pub(super) readers: bool,
    pub(super) sweep: bool,
}

/// What the protocol does. All of it true is the protocol; one of them false is a mutant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A collector looks at lease and references, though the queue says that it is time.
    pub(super) looks_again: bool,
    /// From that look until the commit nobody else changes the row.
    pub(super) locks: bool,
    /// The statement that removes something has the condition in it once more.
    pub(super) conditions: bool,
    /// The database refuses to remove what a row leads to.
    pub(super) foreign_keys: bool,
    /// An entry leaves the queue in the transaction that deals with it, not before.
    pub(super) dequeues_at_the_end: bool,
    /// Whoever grants a lease has somebody look when it ends.
    pub(super) sets_down: bool,
    /// `HEAD` of what is not referenced and has little of its lease left writes a new one.
    pub(super) head_renews: bool,
    /// And says that it is there only if that write hit a row.
    pub(super) answers_after_the_write: bool,
    /// A mount of what is there already is a grant, too.
    pub(super) mount_renews: bool,
    /// Removing the last reference grants a lease.
    pub(super) last_reference_grants: bool,
    /// No key is used twice.
    pub(super) keys_are_new: bool,
    /// Bytes go after the row that led to them.
    pub(super) rows_go_first: bool,
    /// What is to be deleted is remembered until it is.
    pub(super) remembers_what_to_delete: bool,
    /// Bytes go only when nobody may still read them.
    pub(super) waits_for_readers: bool,
    /// The row of an upload is there before its first byte.
    pub(super) row_before_bytes: bool,
}

impl Rules {
    pub(super) const PROTOCOL: Rules = Rules {
        looks_again: true,
        locks: true,
        conditions: true,
        foreign_keys: true,
        dequeues_at_the_end: true,
        sets_down: true,
        head_renews: true,
        answers_after_the_write: true,
        mount_renews: true,
        last_reference_grants: true,
        keys_are_new: true,
        rows_go_first: true,
        remembers_what_to_delete: true,
        waits_for_readers: true,
        row_before_bytes: true,
    };
}

/// One content, in up to two repositories, under up to two keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Rows: what is left of the lease of the repository's link to the digest.
    pub(super) links: [Option<u8>; REPOSITORIES],
    /// Whether the repository has a manifest that uses it.
    pub(super) manifests: [bool; REPOSITORIES],
    /// The digest, and with it its object: where its bytes lie.
    pub(super) digest: Option<u8>,
    pub(super) uploads: [bool; KEYS],
    /// The queue: when to look at a repository's link, and whether at the digest.
    pub(super) queue: [Option<u8>; REPOSITORIES],
    pub(super) queue_digest: bool,
    /// What is to be deleted, and when.
    pub(super) reclaim: [Option<u8>; KEYS],
    /// What a sweep saw without a row, and how long it waits to see it again.
    pub(super) unknown: [Option<u8>; KEYS],

    /// The store: what is there, and what will still arrive.
    pub(super) bytes: [bool; KEYS],
    pub(super) late_write: [bool; KEYS],
    pub(super) late_delete: [bool; KEYS],

    /// Who is where. The order of equals does not matter, so they are kept sorted.
    pub(super) writers: [Writer; 2],
    pub(super) collectors: [Collector; 2],
    pub(super) sweeper: Option<u8>,

    /// How many uploads there were.
    pub(super) begun: u8,
    /// For how long somebody may rely on having been told that the repository has it.
    pub(super) promised: [u8; REPOSITORIES],
    /// For how long somebody may still read there.
    pub(super) reading: [u8; KEYS],
    /// Bytes that were written when no row led there any more. Only a sweep finds them.
    pub(super) stray: [bool; KEYS],
}

/// A request that takes more than one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Writer {
    #[default]
    Idle,
    /// Its upload has a row.
    Begun { repository: u8, key: u8 },
    /// Its bytes are durable.
    Written { repository: u8, key: u8 },
    /// It knows where the digest's bytes lie, and looks whether they do.
    Compares { repository: u8, key: u8, twin: u8 },
    /// It is about to make a blob of its bytes.
    Finishes { repository: u8, key: u8, replaces: Option<u8> },
    /// It saw a blob whose lease is to be renewed before it answers.
    Renews { repository: u8 },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Collector {
    #[default]
    Idle,
    /// Has an entry of the queue for itself.
    Took {
        repository: u8,
    },
    /// And its target, whose lease it read.
    Locked {
        repository: u8,
        lease: u8,
    },
    /// And knows what to do.
    Decided {
        repository: u8,
        verdict: Verdict,
    },
    TookDigest,
    DecidedDigest {
        take: bool,
    },
    /// Was told to delete the bytes there.
    Deletes {
        key: u8,
    },
    /// Has done so.
    Deleted {
        key: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Verdict {
    Take,
    Leave,
    LookAgain(u8),
}

impl State {
    pub(super) fn is_linked(&self) -> bool {
        self.links.iter().any(Option::is_some)
    }

    /// Whether a row leads to a key, if only that of what is to be deleted.
    pub(super) fn leads_to(&self, key: usize) -> bool {
        self.uploads[key] || self.reclaim[key].is_some() || self.digest == Some(key as u8)
    }

    /// A write reaches the store. What is to be deleted may be deleted already, but for its row.
    pub(super) fn write(&mut self, key: usize) {
        self.stray[key] |= !self.uploads[key] && self.digest != Some(key as u8);
        self.bytes[key] = true;
    }

    /// A deletion reaches the store.
    pub(super) fn delete(&mut self, key: usize) {
        self.stray[key] = false;
        self.bytes[key] = false;
    }

    /// Whether nothing is going on and nothing is left to be done, but for sweeps.
    pub(super) fn is_at_rest(&self) -> bool {
        self.writers == [Writer::Idle; 2]
            && self.collectors == [Collector::Idle; 2]
            && self.queue == [None; REPOSITORIES]
            && !self.queue_digest
            && self.reclaim == [None; KEYS]
            && self.uploads == [false; KEYS]
            && self.late_write == [false; KEYS]
            && self.late_delete == [false; KEYS]
    }

    /// The clock moves.
    pub(super) fn tick(&mut self) {
        let timers = self.links.iter_mut().chain(&mut self.queue).chain(&mut self.reclaim);
        for left in timers.chain(&mut self.unknown).flatten() {
            *left = left.saturating_sub(1);
        }
        for left in self.promised.iter_mut().chain(&mut self.reading) {
            *left = left.saturating_sub(1);
        }
    }

    pub(super) fn sorted(mut self) -> State {
        self.writers.sort_unstable();
        self.collectors.sort_unstable();
        self
    }
}
