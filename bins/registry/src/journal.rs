//! `registry journal`: a look at the journal of the database, and its end.

use anyhow::bail;
use registry_core::{
    OWNERS,
    config::Config,
    configured,
    journal::{JournalReport, drop_journal, survey_journal, verify_journal},
};

use crate::cli::{ConfigFile, Journal};

/// What is to be done with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Status,
    Verify,
    Drop,
}

impl Action {
    pub(crate) fn of(command: Journal) -> (ConfigFile, Action) {
        match command {
            Journal::Status { file } => (file, Action::Status),
            Journal::Verify { file } => (file, Action::Verify),
            Journal::Drop { file } => (file, Action::Drop),
        }
    }
}

/// Does it, and says in words what came of it.
pub(crate) fn run(action: Action, config: &Config) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let builder = configured::configure_stores(config)?;
        let (path, objects) = builder.open_journal_store().await?;
        match action {
            Action::Status => Ok(status(&survey_journal(&path, objects).await?)),
            Action::Verify => verified(&verify_journal(&path, OWNERS, objects).await?),
            Action::Drop => {
                drop_journal(&path, objects).await?;
                Ok(format!("the journal is gone; {} goes on without one\n", path.display()))
            }
        }
    })
}

fn status(report: &JournalReport) -> String {
    let JournalReport { entries, entries_bytes, first, last, .. } = report;
    let snapshots = match &report.snapshots[..] {
        [] => "no snapshot".to_owned(),
        commits => {
            let commits: Vec<String> = commits.iter().map(i64::to_string).collect();
            format!("snapshots as of commit {}", commits.join(", "))
        }
    };
    let database = match report.database {
        None => "there is no journalled database".to_owned(),
        Some(commit) if commit > *last => {
            format!("the database is at commit {commit}: {} are not stored yet", commit - last)
        }
        Some(commit) => format!("the database is at commit {commit}"),
    };
    format!(
        "{entries} entries of {entries_bytes} bytes, commits {first} to {last}\n{snapshots}\n{database}\n"
    )
}

fn verified(report: &JournalReport) -> anyhow::Result<String> {
    let text = status(report);
    if !report.problems.is_empty() {
        bail!("the journal is damaged:\n  {}\n{text}", report.problems.join("\n  "));
    }
    Ok(format!(
        "{text}read and replayed all of it, to commit {}: the journal is intact\n",
        report.replayed_to
    ))
}
