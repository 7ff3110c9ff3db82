//! `registry fsck`.

use anyhow::{Context, bail};
use registry_core::{
    collector::FsckOptions,
    config::{Config, Loaded},
    configured,
};

use crate::{
    cli::Fsck,
    commands::{print, warn},
};

pub(crate) fn run(loaded: &Loaded, how: Fsck) -> anyhow::Result<()> {
    if !how.is_deep && (how.sample_percent != 100 || how.mebibytes_per_second != 0) {
        bail!("--sample and --rate say how much is read, and nothing is read without --deep");
    }
    warn(&loaded.warnings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("can not start the runtime")?;
    let options = options(&loaded.config, how);
    let report = runtime.block_on(async {
        let fsck = configured::open_beside(&loaded.config).await?.fsck(options);
        anyhow::Ok(fsck.run().await?)
    })?;
    if how.report.is_json() {
        print(&format!("{}\n", report.to_json()))?;
    } else {
        print(&format!("{report}\n"))?;
    }
    if !report.is_clean() {
        bail!("found {} problems, repaired {}", report.found, report.repaired);
    }
    Ok(())
}

fn options(config: &Config, how: Fsck) -> FsckOptions {
    FsckOptions {
        deep: how.is_deep,
        sample_percent: how.sample_percent,
        kibibytes_per_second: how.mebibytes_per_second.saturating_mul(1024),
        repair: how.repairs,
        accept_older_database: how.accepts_older_database,
        sweep: configured::sweep_options(&config.gc),
    }
}
