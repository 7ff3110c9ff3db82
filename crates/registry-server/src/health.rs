//! Whether the server can serve: checks that run now and then, and one that runs when asked.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::sleep;

/// What a server serves, asked whether it is well.
#[async_trait]
pub trait Vitals: Send + Sync + fmt::Debug {
    /// Whether what every request needs answers. The check [`CheckKind::Storage`] asks for it, so it should take no longer than
    /// seconds.
    ///
    /// # Errors
    /// Why not, for the log.
    async fn check(&self) -> Result<(), String>;

    /// What fails now: name and reason.
    async fn failures(&self) -> BTreeMap<String, String>;

    /// What an operator should look at while requests are served: name and reason.
    async fn warnings(&self) -> BTreeMap<String, String>;

    /// Brings those metrics up to date that are looked up when they are asked for.
    async fn refresh(&self);
}

/// Something that is checked now and then. While it fails, every request is answered with 503, as in the Go registry.
#[derive(Clone, Debug)]
pub struct Check {
    /// What is checked.
    pub kind: CheckKind,
    /// How often.
    pub interval: Duration,
    /// How many failures in a row count as one; 0 as 1.
    pub threshold: u32,
}

/// What is checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CheckKind {
    /// What is served answers: [`Vitals::check`].
    Storage,
    /// A file is absent: operators create it to take a node out of service.
    FileAbsent(PathBuf),
    /// Something outside of this process answers as it should.
    Probe {
        /// What the check is called where it is shown: the URL or address that is asked.
        name: String,
        /// What asks.
        probe: Arc<dyn Probe>,
    },
}

/// Asks something outside of this process. This crate serves and opens no connections, so the program that embeds it brings
/// what does.
#[async_trait]
pub trait Probe: Send + Sync + fmt::Debug {
    /// Asks once, within a time of its own.
    ///
    /// # Errors
    /// What was wrong, for the log and `/debug/health`.
    async fn check(&self) -> Result<(), String>;
}

/// What the last round of checks came to.
#[derive(Debug, Default)]
pub struct Health {
    is_failing: AtomicBool,
    is_leaving: AtomicBool,
    failures: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Whether requests are served. Always, unless checks are run.
    pub fn is_serving(&self) -> bool {
        !self.is_failing.load(Ordering::Relaxed)
    }

    /// Serves no request any more: what the server stands on is lost for good.
    pub fn fail(&self, name: &str, reason: &str) {
        self.note(name, Some(reason.to_owned()));
    }

    /// Says that this server takes no new connections any more, so that what sends it requests looks for another one. Requests that run
    /// go on.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Whether this server takes no new connections any more.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// What fails: name and reason, from the checks that run now and then and from a look now.
    pub async fn failures_now(&self, vitals: &dyn Vitals) -> BTreeMap<String, String> {
        let mut failures = self.failures.lock().clone();
        failures.extend(vitals.failures().await);
        failures
    }

    /// Runs a check until the future is dropped.
    pub async fn run(&self, check: Check, vitals: Arc<dyn Vitals>) {
        let name = check.kind.name();
        let mut failed_in_a_row = 0;
        loop {
            sleep(check.interval).await;
            let result = check.kind.run(&*vitals).await;
            failed_in_a_row = if result.is_ok() { 0 } else { failed_in_a_row + 1 };
            match result {
                Err(reason) if failed_in_a_row >= check.threshold.max(1) => self.note(&name, Some(reason)),
                Err(_) => {}
                Ok(()) => self.note(&name, None),
            }
        }
    }

    fn note(&self, name: &str, failure: Option<String>) {
        let mut failures = self.failures.lock();
        match failure {
            Some(reason) => {
                if failures.insert(name.to_owned(), reason.clone()).is_none() {
                    tracing::error!("health check {name} fails, requests are refused: {reason}");
                }
            }
            None => {
                if failures.remove(name).is_some() {
                    tracing::info!("health check {name} succeeds again");
                }
            }
        }
        self.is_failing.store(!failures.is_empty(), Ordering::Relaxed);
    }
}

impl CheckKind {
    fn name(&self) -> String {
        match self {
            CheckKind::Storage => "storage".to_owned(),
            CheckKind::FileAbsent(path) => path.display().to_string(),
            CheckKind::Probe { name, .. } => name.clone(),
        }
    }

    async fn run(&self, vitals: &dyn Vitals) -> Result<(), String> {
        match self {
            CheckKind::Storage => vitals.check().await,
            CheckKind::FileAbsent(path) if path.exists() => Err("the file exists".to_owned()),
            CheckKind::FileAbsent(_) => Ok(()),
            CheckKind::Probe { probe, .. } => probe.check().await,
        }
    }
}
