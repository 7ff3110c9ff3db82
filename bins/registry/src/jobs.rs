//! `registry jobs`: work that waits or was given up.

use std::fmt::Write;

use anyhow::{Context, bail};
use registry_core::{
    configured,
    jobs::{Inspector, KindNumbers, ListedJob, Listing},
};
use serde_json::{Value, json};

use crate::{
    cli::{ConfigFile, DiscardJobs, Jobs, ListJobs},
    commands::{load_beside, print, warn},
    content::time,
};

/// What is shown of an error in a table, in characters.
const ERROR_SHOWN_MAX: usize = 120;

pub(crate) fn run(command: Jobs) -> anyhow::Result<()> {
    match command {
        Jobs::List(list) => on(list.file.clone(), async move |jobs| listed(jobs, list).await),
        Jobs::Replay { id, file } => on(file, async move |jobs| match jobs.replay(id).await? {
            true => Ok(format!("job {id} is tried again\n")),
            false => bail!("there is no job {id} that was given up"),
        }),
        Jobs::Discard(discard) => on(discard.file.clone(), async move |jobs| discarded(jobs, &discard).await),
    }
}

/// Opens the jobs of a configuration beside the process that serves, and prints what comes of it.
fn on(file: ConfigFile, work: impl AsyncFnOnce(&Inspector) -> anyhow::Result<String>) -> anyhow::Result<()> {
    let loaded = load_beside(file)?;
    warn(&loaded.warnings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let said = runtime.context("can not start the runtime")?.block_on(async {
        let beside = configured::open_beside(&loaded.config).await?;
        let database = beside.database.clone().context("the database is not one of the registry's own")?;
        work(&Inspector::of(database)).await
    })?;
    print(&said)
}

async fn listed(jobs: &Inspector, list: ListJobs) -> anyhow::Result<String> {
    let ListJobs { kind, only_dead, limit, report, .. } = list;
    let all = jobs.list(Listing { kind, only_dead, limit: usize::from(limit) }).await?;
    let numbers = jobs.numbers().await?;
    Ok(if report.is_json() { as_json(&all, &numbers) } else { as_text(&all, &numbers) })
}

fn state(job: &ListedJob) -> &'static str {
    match (job.is_dead(), job.attempts) {
        (true, _) => "dead",
        (false, Some(0) | None) => "waiting",
        (false, Some(_)) => "failing",
    }
}

fn as_json(all: &[ListedJob], numbers: &[KindNumbers]) -> String {
    let job = |job: &ListedJob| {
        json!({
            "id": job.id, "kind": job.kind, "lane": job.lane, "subject": job.subject, "state": state(job),
            "attempts": job.attempts, "created_at": time(job.created_at_ms), "due_at": job.due_at_ms.map(time),
            "ended_at": job.ended_at_ms.map(time), "error": job.error,
        })
    };
    let kind = |of: &KindNumbers| json!({"kind": of.kind, "waiting": of.waiting, "dead": of.dead});
    let (jobs, kinds): (Vec<Value>, Vec<Value>) =
        (all.iter().map(job).collect(), numbers.iter().map(kind).collect());
    format!("{}\n", json!({"jobs": jobs, "kinds": kinds}))
}

fn as_text(all: &[ListedJob], numbers: &[KindNumbers]) -> String {
    if numbers.is_empty() {
        return "there are no jobs\n".to_owned();
    }
    let mut said = format!(
        "{:<10} {:<10} {:<8} {:>8} {:<20} {:<20} ERROR\n",
        "ID", "KIND", "STATE", "ATTEMPTS", "SINCE", "LANE"
    );
    for job in all {
        let attempts = job.attempts.map_or_else(|| "-".to_owned(), |attempts| attempts.to_string());
        let error = job.error.as_deref().unwrap_or("-").escape_debug().take(ERROR_SHOWN_MAX);
        let (state, since) = (state(job), time(job.created_at_ms));
        let _ = writeln!(
            said,
            "{:<10} {:<10} {state:<8} {attempts:>8} {since:<20} {:<20} {}",
            job.id,
            job.kind,
            job.lane,
            error.collect::<String>()
        );
    }
    for KindNumbers { kind, waiting, dead } in numbers {
        let _ = writeln!(said, "{kind}: {waiting} wait, {dead} are dead");
    }
    said
}

async fn discarded(jobs: &Inspector, discard: &DiscardJobs) -> anyhow::Result<String> {
    match (discard.id, &discard.kind) {
        (Some(id), _) if jobs.discard(id).await? => Ok(format!("job {id} is removed\n")),
        (Some(id), _) => bail!("there is no job {id} that was given up"),
        (None, Some(kind)) => Ok(format!("{} jobs are removed\n", jobs.discard_all(kind).await?)),
        (None, None) => bail!("which job is to be removed?"),
    }
}
