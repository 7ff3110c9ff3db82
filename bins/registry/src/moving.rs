//! `registry import` and `registry export`.

use std::{future::Future, process::ExitCode, time::Duration};

use anyhow::Context;
use registry_core::{
    config::Loaded,
    configured,
    import::{Finished, Import},
};
use rustix::termios::isatty;

use crate::{
    cli::{Export, ImportStorage},
    commands::{print, warn},
};

/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// How often it is shown where standard error is no terminal but a log.
const LOGGED_EVERY: Duration = Duration::from_secs(30);

/// What an import or export exits with that came to its end and left something out.
const LEFT_OUT: u8 = 2;

fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("can not start the runtime")?.block_on(work)
}

fn code(left_out: u64) -> ExitCode {
    if left_out > 0 { ExitCode::from(LEFT_OUT) } else { ExitCode::SUCCESS }
}

pub(crate) fn import(loaded: &Loaded, how: ImportStorage) -> anyhow::Result<ExitCode> {
    warn(&loaded.warnings);
    if how.finishes {
        return finish(loaded, how);
    }
    let report = run(async {
        let import = configured::configure_stores(&loaded.config)?.open_import(how.is_dry).await?;
        let run = import.run();
        tokio::pin!(run);
        let every = if isatty(std::io::stderr()) { SHOWN_EVERY } else { LOGGED_EVERY };
        loop {
            tokio::select! {
                report = &mut run => return anyhow::Ok(report?),
                () = tokio::time::sleep(every) => show(&import),
            }
        }
    })?;
    match how.report.is_json() {
        true => print(&format!("{}\n", report.to_json()))?,
        false => print(&format!("{report}\n"))?,
    }
    Ok(code(report.left_out.count()))
}

fn show(import: &Import) {
    let shown = import.progress.look();
    let rate = shown.tags as f64 / shown.elapsed.as_secs_f64().max(0.001);
    let remaining = shown
        .remaining
        .map_or_else(String::new, |remaining| format!(", about {} s remain", remaining.as_secs()));
    eprintln!("{} repositories, {} tags, {rate:.0} tags/s{remaining}", shown.repositories, shown.tags);
}

fn finish(loaded: &Loaded, how: ImportStorage) -> anyhow::Result<ExitCode> {
    let Finished { hidden, can_remove } = run(async {
        let import = configured::configure_stores(&loaded.config)?.open_import(false).await?;
        anyhow::Ok(import.finish(how.accepts_missing).await?)
    })?;
    if how.report.is_json() {
        print(&format!("{{\"finished\":true,\"hidden\":{hidden},\"can_remove\":{can_remove}}}\n"))?;
    } else {
        print("the import is finished: clients may push to what was imported\n")?;
        if hidden > 0 {
            print(&format!("hid {hidden} blobs whose bytes are missing; a push brings each of them back\n"))?;
        }
    }
    if !can_remove {
        eprintln!(
            "warning: this user may not remove files below docker/registry/v2/blobs: imported bytes that nothing needs any \
             more stay there until the folder is given to the user that serves"
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn export(loaded: &Loaded, how: Export) -> anyhow::Result<ExitCode> {
    warn(&loaded.warnings);
    let exported = run(async {
        let export = configured::configure_stores(&loaded.config)?.open_export().await?;
        anyhow::Ok(export.run().await?)
    })?;
    match how.report.is_json() {
        true => print(&format!("{}\n", exported.to_json()))?,
        false => print(&format!("{exported}\n"))?,
    }
    Ok(code(exported.left_out.count()))
}
