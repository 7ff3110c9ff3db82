//! `registry migrate`.

use std::path::Path;

use registry_core::config::Loaded;

#[cfg(feature = "postgres")]
pub(crate) fn run(from: Option<&Path>, loaded: &Loaded) -> anyhow::Result<()> {
    use anyhow::Context;
    use registry_core::migrate::{migrate, source};

    use crate::commands::{print, warn};

    warn(&loaded.warnings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("can not start the runtime")?;
    let moved = runtime.block_on(migrate(&loaded.config, from, |done, table| {
        eprintln!("{done} {}: {} rows", table.table, table.rows);
    }))?;
    let rows: u64 = moved.iter().map(|table| table.rows).sum();
    let from = source(&loaded.config, from).unwrap_or_default();
    print(&format!(
        "moved {rows} rows in {} tables, each compared; start the registry with this configuration.\n\
         {} is unchanged: keep it as a backup, and do not serve from it any more\n",
        moved.len(),
        from.display()
    ))
}

#[cfg(not(feature = "postgres"))]
pub(crate) fn run(_: Option<&Path>, _: &Loaded) -> anyhow::Result<()> {
    anyhow::bail!("`migrate` needs a build with `--features postgres`")
}
