//! `registry garbage-collect`: a collection, told in the lines that scripts around the Go registry read.

use std::{
    io::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::{Context, bail};
use registry_core::{
    collector::{Report, Watch},
    config::{Config, Loaded},
    configured,
    metadata::{Candidate, CandidateKind, Collected, Verdict},
};

use crate::{cli::GarbageCollect, logging, serve::log_warnings};

pub(crate) fn collect(loaded: Loaded, how: GarbageCollect) -> anyhow::Result<()> {
    let Loaded { config, warnings } = loaded;
    logging::start(&config.log);
    let ours: Vec<_> = warnings.into_iter().filter(|warning| !warning.is_about_serving()).collect();
    log_warnings(&ours);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.context("can not start the runtime")?.block_on(run(&config, how))?;
    if !report.is_complete() {
        bail!("{} steps failed:\n{}", report.failed, report.failures.join("\n"));
    }
    Ok(())
}

async fn run(config: &Config, how: GarbageCollect) -> anyhow::Result<Report> {
    let options = configured::collector_options(&config.gc);
    let collector = configured::open_beside(config).await?.collector(options);
    let lines = Lines {
        quiet: how.quiet,
        marked: AtomicU64::default(),
        blobs: AtomicU64::default(),
        manifests: AtomicU64::default(),
    };
    let report = if how.dry_run {
        collector.preview(&lines, how.delete_untagged).await?
    } else {
        if how.delete_untagged {
            collector.condemn_untagged().await?;
        }
        collector.collect(&lines).await
    };
    lines.summary();
    Ok(report)
}

/// Says what goes.
struct Lines {
    quiet: bool,
    marked: AtomicU64,
    blobs: AtomicU64,
    manifests: AtomicU64,
}

impl Lines {
    fn say(&self, line: &str) {
        if !self.quiet {
            // A closed standard output is no reason to stop.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// The Go registry says this before the blobs; here each is told when it goes. What it calls marked is what was looked
    /// at and stays: nothing else is looked at.
    fn summary(&self) {
        let (marked, blobs, manifests) =
            (self.marked.load(Relaxed), self.blobs.load(Relaxed), self.manifests.load(Relaxed));
        self.say(&format!(
            "\n{marked} blobs marked, {blobs} blobs and {manifests} manifests eligible for deletion"
        ));
    }
}

impl Watch for Lines {
    fn collected(&self, collected: &Collected) {
        let Candidate { kind, repository, digest, .. } = &collected.candidate;
        let repository = repository.as_ref().map(ToString::to_string);
        let repository = repository.unwrap_or_else(|| "a deleted repository".to_owned());
        match (&collected.verdict, kind) {
            (Verdict::Removed { .. }, CandidateKind::Digest) => {
                self.blobs.fetch_add(1, Relaxed);
                self.say(&format!("blob eligible for deletion: {digest}"));
            }
            (Verdict::Removed { .. }, CandidateKind::Manifest) => {
                self.manifests.fetch_add(1, Relaxed);
                self.say(&format!("manifest eligible for deletion: {{{repository} {digest} []}}"));
            }
            (Verdict::Removed { .. }, CandidateKind::Blob) => {
                self.say(&format!("{repository}: layer link eligible for deletion: {digest}"));
            }
            (Verdict::Removed { .. }, _) => {}
            (Verdict::Kept(_), CandidateKind::Manifest) => {
                self.say(&format!("{repository}: marking manifest {digest} "));
            }
            (Verdict::Kept(_), CandidateKind::Blob) => {
                self.marked.fetch_add(1, Relaxed);
                self.say(&format!("{repository}: marking blob {digest}"));
            }
            // A digest is of all repositories that have it.
            (Verdict::Kept(_), CandidateKind::Digest) => {
                self.marked.fetch_add(1, Relaxed);
                self.say(&format!("marking blob {digest}"));
            }
            // What was deleted and can still be restored is no blob, and has not been looked into.
            (Verdict::Kept(_), _) => {}
        }
    }
}
