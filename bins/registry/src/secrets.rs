//! `registry secrets`: the key that seals what is secret in the database.

use anyhow::{Context, bail};
use registry_core::{
    config::{Config, Loaded},
    configured, sealed,
    secrets::{Key, Sealed, add_to_file},
};
use serde_json::json;

use crate::{
    cli::{Format, Secrets},
    commands::{load_beside, print, warn},
};

pub(crate) fn run(command: Secrets) -> anyhow::Result<()> {
    match command {
        Secrets::Key => print(&format!("{}\n", *Key::generate()?.to_text())),
        Secrets::Status { report, file } => status(&load_beside(file)?, report),
        Secrets::Rotate { makes_key, file } => rotate(&load_beside(file)?, makes_key),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can not start the runtime")
}

fn status(loaded: &Loaded, report: Format) -> anyhow::Result<()> {
    warn(&loaded.warnings);
    let all = runtime()?.block_on(async {
        let beside = configured::open_beside(&loaded.config).await?;
        let database = beside.database.as_ref().context("the database is not one of the registry's own")?;
        let secrets = configured::secrets(&loaded.config)?;
        anyhow::Ok(secrets.status(database, &sealed()).await?)
    })?;
    print(&if report.is_json() { as_json(&all) } else { as_text(&all) })?;
    let closed: u64 = all.iter().filter(|sealed| !sealed.is_open).map(|sealed| sealed.count).sum();
    if closed > 0 {
        bail!("{closed} secrets do not open with the keys that are here");
    }
    Ok(())
}

fn as_json(all: &[Sealed]) -> String {
    let one = |sealed: &Sealed| json!({"table": sealed.table, "column": sealed.column, "key": sealed.key, "open": sealed.is_open, "count": sealed.count});
    format!("{}\n", json!({"sealed": all.iter().map(one).collect::<Vec<_>>()}))
}

fn as_text(all: &[Sealed]) -> String {
    if all.is_empty() {
        return "nothing is sealed\n".to_owned();
    }
    let line = |sealed: &Sealed| {
        let key = sealed.key.as_deref().unwrap_or("-");
        let opens = if sealed.is_open { "opens" } else { "does not open" };
        format!(
            "{:<32} {key:<10} {:>8} {opens}\n",
            format!("{}.{}", sealed.table, sealed.column),
            sealed.count
        )
    };
    format!("{:<32} {:<10} {:>8}\n", "WHERE", "KEY", "COUNT") + &all.iter().map(line).collect::<String>()
}

fn rotate(loaded: &Loaded, makes_key: bool) -> anyhow::Result<()> {
    warn(&loaded.warnings);
    if makes_key {
        let path = key_file(&loaded.config)?;
        let key = Key::generate()?;
        let id = key.id();
        add_to_file(&path, key)?;
        print(&format!("{} begins with the new key {id}\n", path.display()))?;
    }
    let count = runtime()?.block_on(async {
        let beside = configured::open_beside(&loaded.config).await?;
        let database = beside.database.as_ref().context("the database is not one of the registry's own")?;
        let secrets = configured::secrets(&loaded.config)?;
        secrets.check_sealed(database, &sealed()).await?;
        anyhow::Ok(secrets.rotate(database, &sealed()).await?)
    })?;
    print(&format!("{count} secrets were sealed anew\n"))
}

fn key_file(config: &Config) -> anyhow::Result<std::path::PathBuf> {
    if config.secrets.key.is_some() {
        bail!("the key comes from REGISTRY_SECRETS_KEY: put the new one there, in a line before the others");
    }
    configured::key_file(config).context("there is no file of keys: `secrets.keyfile` names one")
}
