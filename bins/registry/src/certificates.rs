//! `registry certificate`: certificates that were ordered from an authority.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use registry_core::{
    acme_authority::{Kept, kept, remove},
    config::Loaded,
    configured,
    database::Database,
};
use serde_json::json;

use crate::{
    cli::Certificate,
    commands::{load_beside, print, warn},
};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(crate) fn run(command: Certificate) -> anyhow::Result<()> {
    match command {
        Certificate::List { report, file } => {
            let all = with(&load_beside(file)?, async |database| Ok(kept(database).await?))?;
            print(&if report.is_json() { as_json(&all) } else { as_text(&all) })
        }
        Certificate::Remove { host, file } => {
            if !with(&load_beside(file)?, async |database| Ok(remove(database, &host).await?))? {
                bail!("there is no certificate for {host}");
            }
            print(&format!("the certificate for {host} is removed; a server that wants one orders another\n"))
        }
    }
}

fn with<T>(loaded: &Loaded, work: impl AsyncFnOnce(&Database) -> anyhow::Result<T>) -> anyhow::Result<T> {
    warn(&loaded.warnings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can not start the runtime")?.block_on(async {
        let beside = configured::open_beside(&loaded.config).await?;
        work(beside.database.as_ref().context("the database is not one of the registry's own")?).await
    })
}

fn as_json(all: &[Kept]) -> String {
    let one = |kept: &Kept| json!({"host": kept.host, "directory": kept.directory, "not_before_ms": kept.not_before_ms, "not_after_ms": kept.not_after_ms});
    format!("{}\n", json!({"certificates": all.iter().map(one).collect::<Vec<_>>()}))
}

fn as_text(all: &[Kept]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let line = |kept: &Kept| {
        let days = (kept.not_after_ms - now_ms).div_euclid(DAY_MS);
        format!("{:<40} {days:>9} {}\n", kept.host, kept.directory)
    };
    format!("{:<40} {:>9} {}\n", "HOST", "DAYS LEFT", "FROM") + &all.iter().map(line).collect::<String>()
}
